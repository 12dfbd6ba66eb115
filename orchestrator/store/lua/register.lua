-- Registers an agent, reserves its tokens and enqueues its message, as a whole or not at all.
--
-- register(
--   K.agent           string  AgentState JSON                    written
--   K.task            string  TaskState JSON                     written
--   K.request         string  SpawnRequest JSON                  written
--   K.agents          zset    agentId -> spawned ms              written
--   K.spawning        zset    agentId -> entered ms              written
--   K.listed          zset    agentId -> spawned ms, if spawning  written
--   K.task_agents     zset    agentId -> spawned ms              written
--   K.events          stream                                     appended
--   K.trail           list    places of its events               begun
--   K.queue           list    kombu's list of this priority      pushed
--   K.halt            string  Halt JSON                          read
--   K.budget.*        see _budget.lua                            reserved
--   K.audit_waiting   list    AuditDraft JSON                    appended
--   K.idempotency?    string  "<digest> <agentId>"               written
--   ARGV[1] agent JSON   ARGV[2] task JSON   ARGV[3] request JSON   ARGV[4] agentId
--   ARGV[5] now, ms      ARGV[6] envelope    ARGV[7] event JSON     ARGV[8] channel
--   ARGV[9] stream cap   ARGV[10] digest of the body                ARGV[11] idempotency ttl, s
--   ARGV[12] audit draft JSON                ARGV[13] where the message is awaited
--   ARGV[14] a model without a price that it may use, or ''
-- ) -> {"registered"|"repeated"|"conflict", agentId} | {"halted", Halt JSON}
--      | {"exhausted", the day's limit, used, reserved, requested}
--      | {"exhausted", the day's limit of dollars, used ones} | {"unpriced", the model}
check_arguments(14)
local agent_id = text_of('agentId', ARGV[4])
local agent = object_of('agent', ARGV[1])
if agent.agentId ~= agent_id then refuse_argument('agent.agentId', 'the agentId') end
if object_of('task', ARGV[2]).agentId ~= agent_id then refuse_argument('task.agentId', 'the agentId') end
object_of('request', ARGV[3])
local now = whole(whole_of('now', ARGV[5], 0, MOST_MS))
object_of('message', ARGV[6])
local event = object_of('event', ARGV[7])
text_of('event.type', event.type)
local channel = text_of('channel', ARGV[8])
local cap = whole_of('stream cap', ARGV[9], 1, MOST_COUNT)
if not string.find(ARGV[10], '^%x+$') then refuse_argument('digest', 'hex digits') end
local idempotency_ttl_s = whole_of('idempotency ttl', ARGV[11], 1, MOST_COUNT)
object_of('audit draft', ARGV[12])
local awaited = whole_of('awaited', ARGV[13], 0, MOST_AWAITED)

if K.idempotency then
  local held = redis.call('GET', K.idempotency)
  if held then
    local digest, owner = string.match(held, '^(%S+) (%S+)$')
    return { digest == ARGV[10] and 'repeated' or 'conflict', owner or '' }
  end
end
if redis.call('EXISTS', K.agent) == 1 then
  return { 'repeated', agent_id }
end
local halt = redis.call('GET', K.halt)
if halt then return { 'halted', halt } end
if ARGV[14] ~= '' and is_hard(K.budget) and (agent_limit_usd(K.budget, agent) or limit(K.budget, 'dailyUsd')) then
  return { 'unpriced', ARGV[14] }
end
local lacking = reserve(K.budget, agent_id)
if lacking then return { 'exhausted', unpack(lacking) } end
redis.call('SET', K.agent, ARGV[1])
redis.call('SET', K.task, ARGV[2])
redis.call('SET', K.request, ARGV[3])
redis.call('ZADD', K.agents, now, agent_id)
redis.call('ZADD', K.spawning, now, agent_id)
redis.call('ZADD', K.listed, now, agent_id)
redis.call('ZADD', K.task_agents, now, agent_id)
if K.idempotency then
  redis.call('SET', K.idempotency, ARGV[10] .. ' ' .. agent_id, 'EX', idempotency_ttl_s)
end
redis.call('LPUSH', K.queue, ARGV[6])
redis.call('ZADD', K.budget.awaiting, whole(awaited), agent_id)
redis.call('RPUSH', K.audit_waiting, ARGV[12])
redis.call('RPUSH', K.trail, announce(K.events, channel, cap, event))
return { 'registered', agent_id }
