-- Reads ids of an index, the newest first, from behind one of them.
--
-- ids_after(
--   KEYS[1] index  zset  id -> ms   read
--   ARGV[1] the id behind which to start, or ''  ARGV[2] how many
-- ) -> {id, ...} | false (the id is not in the index)
local start = 0
if ARGV[1] ~= '' then
  local rank = redis.call('ZREVRANK', KEYS[1], ARGV[1])
  if not rank then return false end
  start = rank + 1
end
return redis.call('ZRANGE', KEYS[1], start, start + ARGV[2] - 1, 'REV')
