-- Removes transcripts of an agent's session, and their index entry.
--
-- drop_session(
--   K.index    zset  session or subpath -> ms   entry removed
--   K.parts[]  transcripts and their dependent keys   removed
--   ARGV[1] session or subpath
-- ) -> the number of removed keys
check_arguments(1)
redis.call('ZREM', K.index, ARGV[1])
local removed = 0
for _, key in ipairs(K.parts) do removed = removed + redis.call('UNLINK', key) end
return removed
