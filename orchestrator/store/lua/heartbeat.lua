-- Renews the lease of one attempt and tells its supervisor whether to go on.
--
-- heartbeat(
--   KEYS[1] agent         string  AgentState JSON           read
--   KEYS[2] leases        zset    agentId -> deadline ms    renewed if this attempt still owns the agent
--   KEYS[3..20] budget    as _budget.lua says               read
--   ARGV[1] agentId  ARGV[2] attempt  ARGV[3] deadline, ms  ARGV[4] holder: worker and process
-- ) -> "held", in hard mode with a space and the limit that leaves it nothing to spend, if one does
--      | "released" (handed on: a late heartbeat takes nothing back) | "stale" | "absent"
--      | the final status that ended it
local document = redis.call('GET', KEYS[1])
if not document then return 'absent' end
local agent = cjson.decode(document)
if agent.status ~= 'spawning' and agent.status ~= 'running' then return agent.status end
if agent.attempt ~= tonumber(ARGV[2]) or holder_of(agent) ~= ARGV[4] then return 'stale' end
if not redis.call('ZSCORE', KEYS[2], ARGV[1]) then return 'released' end
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
local budget = budget_of(KEYS, 3)
local over = is_hard(budget) and overrun(budget, agent) or ''
return over == '' and 'held' or 'held ' .. over
