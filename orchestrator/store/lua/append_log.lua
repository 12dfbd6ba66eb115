-- Appends lines of output to an agent's log, if the attempt still owns the agent.
--
-- append_log(
--   KEYS[1] agent  string  AgentState JSON   read
--   KEYS[2] log    stream  fields: line      appended, capped
--   ARGV[1] attempt  ARGV[2] cap  ARGV[3..] lines, JSON
-- ) -> 1 | 0 (stale or absent: nothing was written)
local document = redis.call('GET', KEYS[1])
if not document or cjson.decode(document).attempt ~= tonumber(ARGV[1]) then return 0 end
for position = 3, #ARGV do
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', 'line', ARGV[position])
end
return 1
