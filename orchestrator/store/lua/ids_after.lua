-- Reads ids of an index, newest first, that follow a given id.
--
-- ids_after(
--   K.index  zset  id -> spawned ms   read
--   K.known  zset  id -> spawned ms   read: an id that has left the index keeps its place in it
--   ARGV[1] the id to start after, or ''  ARGV[2] the number of ids
-- ) -> {id, ...} | false (the id is not known)

-- Whether a text is before another in the order of a sorted set: by bytes, in no locale.
local function is_before(text, other)
  for at = 1, math.min(#text, #other) do
    local byte, other_byte = string.byte(text, at), string.byte(other, at)
    if byte ~= other_byte then return byte < other_byte end
  end
  return #text < #other
end

check_arguments(2)
local count = whole_of('how many', ARGV[2], 1, MOST_COUNT)
local start = 0
if ARGV[1] ~= '' then
  local spawned = redis.call('ZSCORE', K.known, ARGV[1])
  if not spawned then return false end
  local rank = redis.call('ZREVRANK', K.index, ARGV[1])
  if rank then
    start = rank + 1
  else
    start = redis.call('ZCOUNT', K.index, '(' .. spawned, '+inf')
    -- Those of the same millisecond are in the order of their ids.
    for _, id in ipairs(redis.call('ZRANGE', K.index, spawned, spawned, 'BYSCORE', 'REV')) do
      if is_before(id, ARGV[1]) then break end
      start = start + 1
    end
  end
end
return redis.call('ZRANGE', K.index, start, start + count - 1, 'REV')
