-- Keeps a new key, and that from now on nobody is let in without one.
--
-- add_key(
--   KEYS[1] keys   hash    name -> StoredKey JSON  written
--   KEYS[2] asked  string  1                       written
--   ARGV[1] name  ARGV[2] StoredKey JSON
-- ) -> 1 | 0 (there is one of this name: nothing was written)
local added = redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
if added == 1 then redis.call('SET', KEYS[2], 1) end
return added
