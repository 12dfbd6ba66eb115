-- Appends entries to one transcript of an agent's session; entries with a known uuid are left out.
--
-- append_session(
--   K.transcript  list  entry JSON                appended
--   K.uuids       set   uuid                      added
--   K.index       zset  session or subpath -> ms  set
--   ARGV[1] session or subpath  ARGV[2] now, ms  ARGV[3..] uuid or '', entry, alternating
-- ) -> the number of appended entries
check_arguments(2, math.huge, 2)
local now = whole_of('now', ARGV[2], 0, MOST_MS)
for position = 4, #ARGV, 2 do text_of('entry', ARGV[position]) end
local appended = 0
for position = 3, #ARGV, 2 do
  local uuid = ARGV[position]
  if uuid == '' or redis.call('SADD', K.uuids, uuid) == 1 then
    redis.call('RPUSH', K.transcript, ARGV[position + 1])
    appended = appended + 1
  end
end
if #ARGV > 2 then redis.call('ZADD', K.index, whole(now), ARGV[1]) end
return appended
