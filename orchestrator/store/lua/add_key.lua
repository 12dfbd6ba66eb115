-- Adds an API key, and records that the API requires a key from now on.
--
-- add_key(
--   K.keys   hash    name -> StoredKey JSON  written
--   K.asked  string  1                       written
--   ARGV[1] name  ARGV[2] StoredKey JSON
-- ) -> 1 | 0 (the name exists: nothing was written)
check_arguments(2)
local name = text_of('name', ARGV[1])
object_of('key', ARGV[2])
local added = redis.call('HSETNX', K.keys, name, ARGV[2])
if added == 1 then redis.call('SET', K.asked, 1) end
return added
