-- Appends entries to one transcript of an agent's session; one whose uuid it holds is left out.
--
-- append_session(
--   KEYS[1] transcript  list  entry JSON               appended
--   KEYS[2] uuids       set   uuid                     added
--   KEYS[3] index       zset  session or subpath -> ms  set
--   ARGV[1] session or subpath  ARGV[2] now, ms  ARGV[3..] uuid or '', entry JSON, in turns
-- ) -> how many were appended
local appended = 0
for position = 3, #ARGV, 2 do
  local uuid = ARGV[position]
  if uuid == '' or redis.call('SADD', KEYS[2], uuid) == 1 then
    redis.call('RPUSH', KEYS[1], ARGV[position + 1])
    appended = appended + 1
  end
end
if #ARGV > 2 then redis.call('ZADD', KEYS[3], ARGV[2], ARGV[1]) end
return appended
