-- Forgets a key, and keeps that there was one: without any, nobody is let in from now on.
--
-- revoke_key(
--   KEYS[1] keys   hash    name -> StoredKey JSON     removed from
--   KEYS[2] used   hash    name -> its last use       removed from
--   KEYS[3] asked  string  1                          written
--   ARGV[1] name
-- ) -> 1 | 0 (there is none of this name: nothing was written)
local revoked = redis.call('HDEL', KEYS[1], ARGV[1])
if revoked == 0 then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1])
-- It may have been added by a version that left no mark.
redis.call('SET', KEYS[3], 1)
return 1
