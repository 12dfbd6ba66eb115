-- Writes one piece of an object; an object without a name lapses some time after its last piece.
--
-- put_piece(
--   K.object  hash  number of a piece -> bytes       set, expiry renewed
--   K.names   zset  key that names it -> ms or inf   read
--   ARGV[1] number, from 0  ARGV[2] lifetime without a name, ms  ARGV[3] bytes
-- ) -> 1
check_arguments(3)
local number = whole_of('number', ARGV[1], 0, MOST_COUNT)
local lifetime = whole_of('lifetime', ARGV[2], 1, MOST_MS)
redis.call('HSET', K.object, whole(number), text_of('piece', ARGV[3]))
if redis.call('EXISTS', K.names) == 0 then redis.call('PEXPIRE', K.object, whole(lifetime)) end
return 1
