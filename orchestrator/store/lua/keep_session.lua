-- Keeps the next entries of one transcript of an agent's session, if those before them are kept.
--
-- keep_session(
--   KEYS[1] transcript  list    entry JSON                appended; begun anew if none is before
--   KEYS[2] mark        string  "count:digest" of all     compared, set
--   KEYS[3] index       zset    session or subpath -> ms  set
--   ARGV[1] session or subpath  ARGV[2] now, ms  ARGV[3] mark of what is before, '' for nothing
--   ARGV[4] mark afterwards  ARGV[5..] entries, JSON
-- ) -> 1 | 0 (something else is before; nothing was written)
local mark = redis.call('GET', KEYS[2]) or ''
-- The reply to this very call was lost.
if mark == ARGV[4] then return 1 end
if ARGV[3] == '' then
  redis.call('UNLINK', KEYS[1])
elseif mark ~= ARGV[3] then
  return 0
end
for position = 5, #ARGV do redis.call('RPUSH', KEYS[1], ARGV[position]) end
redis.call('SET', KEYS[2], ARGV[4])
redis.call('ZADD', KEYS[3], ARGV[2], ARGV[1])
return 1
