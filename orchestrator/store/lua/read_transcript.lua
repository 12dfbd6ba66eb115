-- Reads the next items of one transcript of an agent's session, up to a number of bytes.
--
-- read_transcript(
--   K.transcript  list  entry JSON, or a part of one  read
--   ARGV[1] number of the first item, from 0  ARGV[2] size, bytes; one item may be larger
-- ) -> items; none after the last one
check_arguments(2)
local STEP, MOST_ITEMS = 8, 4096
local at = whole_of('first item', ARGV[1], 0, MOST_COUNT)
local most = whole_of('size', ARGV[2], 1, MOST_COUNT)
local found, bytes = {}, 0
repeat
  local items = redis.call('LRANGE', K.transcript, whole(at), whole(at + STEP - 1))
  for _, item in ipairs(items) do
    bytes = bytes + #item
    if #found > 0 and bytes > most then return found end
    found[#found + 1] = item
  end
  at = at + STEP
until #items < STEP or #found >= MOST_ITEMS
return found
