-- Returns which pieces of an object are absent; an object without a name lapses only later.
--
-- hold_object(
--   K.object  hash  number of a piece -> bytes       read, expiry renewed
--   K.names   zset  key that names it -> ms or inf   read
--   ARGV[1] size, bytes  ARGV[2] size of a piece, bytes  ARGV[3] lifetime without a name, ms
-- ) -> the numbers of the absent pieces, from 0
check_arguments(3)
local size = whole_of('size', ARGV[1], 0, MOST_MS)
local piece_size = whole_of('piece size', ARGV[2], 1, MOST_COUNT)
local lifetime = whole_of('lifetime', ARGV[3], 1, MOST_MS)
local absent = {}
for number = 0, math.ceil(size / piece_size) - 1 do
  local want = math.min(piece_size, size - number * piece_size)
  if redis.call('HSTRLEN', K.object, whole(number)) ~= want then absent[#absent + 1] = number end
end
if redis.call('EXISTS', K.names) == 0 then redis.call('PEXPIRE', K.object, whole(lifetime)) end
return absent
