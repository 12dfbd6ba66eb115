-- Appends lines of output to an agent's log, if the attempt still owns the agent.
--
-- append_log(
--   K.agent  string  AgentState JSON   read
--   K.log    stream  fields: line      appended, capped
--   ARGV[1] attempt  ARGV[2] cap  ARGV[3..] lines, JSON
-- ) -> 1 | 0 (stale attempt or absent agent: nothing was written)
check_arguments(2, math.huge)
local attempt = whole_of('attempt', ARGV[1], 0, MOST_COUNT)
local cap = whole_of('cap', ARGV[2], 1, MOST_COUNT)
for position = 3, #ARGV do check_braces('line', ARGV[position]) end
local agent = record_of(K.agent)
if not agent or agent.attempt ~= attempt then return 0 end
for position = 3, #ARGV do
  redis.call('XADD', K.log, 'MAXLEN', '~', cap, '*', 'line', ARGV[position])
end
return 1
