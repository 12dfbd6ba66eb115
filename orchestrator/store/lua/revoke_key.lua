-- Removes an API key, and records that the API requires a key, even if no key is left.
--
-- revoke_key(
--   K.keys   hash    name -> StoredKey JSON     removed from
--   K.used   hash    name -> time of last use   removed from
--   K.asked  string  1                          written
--   ARGV[1] name
-- ) -> 1 | 0 (the name is unknown: nothing was written)
check_arguments(1)
local name = text_of('name', ARGV[1])
local revoked = redis.call('HDEL', K.keys, name)
if revoked == 0 then return 0 end
redis.call('HDEL', K.used, name)
-- The version that added the key may not have recorded this.
redis.call('SET', K.asked, 1)
return 1
