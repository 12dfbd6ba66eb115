-- Renews the lease of one attempt, and returns whether the attempt may continue.
--
-- heartbeat(
--   K.agent         string  AgentState JSON           read
--   K.leases        zset    agentId -> deadline ms    renewed if this attempt still owns the agent
--   K.budget.*      see _budget.lua                   read
--   ARGV[1] agentId  ARGV[2] attempt  ARGV[3] deadline, ms  ARGV[4] holder: worker and process
-- ) -> "held"; in hard mode followed by a space and the limit that leaves it nothing to spend, if any
--      | "released" (a late heartbeat does not claim it again) | "stale" | "absent"
--      | the final status that ended it
check_arguments(4)
local agent_id = text_of('agentId', ARGV[1])
local attempt = whole_of('attempt', ARGV[2], 0, MOST_COUNT)
local deadline = whole_of('deadline', ARGV[3], 0, MOST_MS)
local holder = text_of('holder', ARGV[4])
local agent = record_of(K.agent)
if not agent then return 'absent' end
if agent.status ~= 'spawning' and agent.status ~= 'running' then return tostring(agent.status) end
if agent.attempt ~= attempt or holder_of(agent) ~= holder then return 'stale' end
if not redis.call('ZSCORE', K.leases, agent_id) then return 'released' end
local over = is_hard(K.budget) and overrun(K.budget, agent) or ''
redis.call('ZADD', K.leases, whole(deadline), agent_id)
return over == '' and 'held' or 'held ' .. over
