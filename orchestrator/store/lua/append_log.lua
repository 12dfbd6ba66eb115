-- Appends lines of output to an agent's log, if the attempt still owns the agent.
--
-- append_log(
--   K.agent  string  AgentState JSON   read
--   K.log    stream  fields: line      appended, capped
--   ARGV[1] attempt  ARGV[2] cap, lines  ARGV[3] cap, bytes  ARGV[4..] lines, JSON
-- ) -> 1 | 0 (stale attempt or absent agent: nothing was written)
check_arguments(3, math.huge)
local attempt = whole_of('attempt', ARGV[1], 0, MOST_COUNT)
local cap = whole_of('cap', ARGV[2], 1, MOST_COUNT)
local most_bytes = whole_of('byte cap', ARGV[3], 1, MOST_MS)
for position = 4, #ARGV do check_braces('line', ARGV[position]) end
local agent = record_of(K.agent)
if not agent or agent.attempt ~= attempt then return 0 end
for position = 4, #ARGV do
  redis.call('XADD', K.log, 'MAXLEN', '~', cap, '*', 'line', ARGV[position])
end
-- Lines differ in size, so that one trim by their number may leave too many bytes.
local lines, bytes = redis.call('XLEN', K.log), redis.call('MEMORY', 'USAGE', K.log, 'SAMPLES', 0)
while bytes > most_bytes and lines > 1 do
  lines = math.floor(lines * math.min(most_bytes / bytes, 0.9))
  redis.call('XTRIM', K.log, 'MAXLEN', math.max(lines, 1))
  bytes = redis.call('MEMORY', 'USAGE', K.log, 'SAMPLES', 0)
end
return 1
