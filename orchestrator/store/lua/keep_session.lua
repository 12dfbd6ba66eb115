-- Appends the next entries of one transcript of an agent's session, if the earlier ones are stored.
--
-- keep_session(
--   K.transcript  list    entry JSON                appended; replaced if ARGV[3] is ''
--   K.mark        string  "count:digest" of all     compared, set
--   K.index       zset    session or subpath -> ms  set
--   ARGV[1] session or subpath  ARGV[2] now, ms  ARGV[3] mark of the stored entries, '' for none
--   ARGV[4] the mark after this call  ARGV[5..] entries, JSON
-- ) -> 1 | 0 (the stored mark differs: nothing was written)
check_arguments(4, math.huge)
local now = whole_of('now', ARGV[2], 0, MOST_MS)
for position = 5, #ARGV do text_of('entry', ARGV[position]) end
local mark = redis.call('GET', K.mark) or ''
-- A repeated call: the reply to the first one was lost.
if mark == ARGV[4] then return 1 end
if ARGV[3] == '' then
  redis.call('UNLINK', K.transcript)
elseif mark ~= ARGV[3] then
  return 0
end
for position = 5, #ARGV do redis.call('RPUSH', K.transcript, ARGV[position]) end
redis.call('SET', K.mark, ARGV[4])
redis.call('ZADD', K.index, whole(now), ARGV[1])
return 1
