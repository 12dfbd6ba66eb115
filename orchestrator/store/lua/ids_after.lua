-- Reads ids of an index, newest first, that follow a given id.
--
-- ids_after(
--   K.index  zset  id -> ms   read
--   ARGV[1] the id to start after, or ''  ARGV[2] the number of ids
-- ) -> {id, ...} | false (the id is not in the index)
check_arguments(2)
local count = whole_of('how many', ARGV[2], 1, MOST_COUNT)
local start = 0
if ARGV[1] ~= '' then
  local rank = redis.call('ZREVRANK', K.index, ARGV[1])
  if not rank then return false end
  start = rank + 1
end
return redis.call('ZRANGE', K.index, start, start + count - 1, 'REV')
