-- Removes transcripts of an agent's session together with their entry in the index.
--
-- drop_session(
--   K.index    zset  session or subpath -> ms   entry removed
--   K.parts[]  transcripts and what belongs to them   removed
--   ARGV[1] session or subpath
-- ) -> how many keys were removed
check_arguments(1)
redis.call('ZREM', K.index, ARGV[1])
local removed = 0
for _, key in ipairs(K.parts) do removed = removed + redis.call('UNLINK', key) end
return removed
