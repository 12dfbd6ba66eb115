-- Removes an API key, and records that there was one: without any, nobody is let in from now on.
--
-- revoke_key(
--   K.keys   hash    name -> StoredKey JSON     removed from
--   K.used   hash    name -> its last use       removed from
--   K.asked  string  1                          written
--   ARGV[1] name
-- ) -> 1 | 0 (there is none of this name: nothing was written)
check_arguments(1)
local name = text_of('name', ARGV[1])
local revoked = redis.call('HDEL', K.keys, name)
if revoked == 0 then return 0 end
redis.call('HDEL', K.used, name)
-- It may have been added by a version that left no mark.
redis.call('SET', K.asked, 1)
return 1
