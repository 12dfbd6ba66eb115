-- Moves one agent if its state allows it: state, indexes, lease, task, event, next message, final
-- result, slot and tokens change together or not at all. The caller passes the legal source states.
--
-- transition(
--   K.agent         string  AgentState JSON             read, written
--   K.task          string  TaskState JSON              patched if this agent is its latest
--   K.leases        zset    agentId -> deadline ms      set, or removed when final or released
--   K.events        stream                              appended if an event is given
--   K.trail         list    places of its events        appended
--   K.result        string  Celery's result JSON        set when final; also the channel
--   K.halt          string  Halt JSON                   read if the move heeds it
--   K.delayed       zset    agentId -> due ms           added if delayed, else removed
--   K.agents        zset    agentId -> spawned ms       read
--   K.index.{spawning,running,completed,failed,killed}  zsets  agentId -> entered ms
--   K.listed.{spawning,running,completed,failed,killed}  zsets  agentId -> spawned ms
--   K.budget.*      see _budget.lua                     charged, a slot claimed or freed
--   K.change        string  ObjectRef JSON              must exist if the move needs it
--   K.queue?        list    kombu's list                pushed if a message is given
--   ARGV[1] move, JSON: {agentId, from: [status], phases?: [phase], attempt?, holder?, bump?, heedsHalt?, needsChange?, foundLeaseMs?, dueMs?, to?, final?,
--           patch: {field: value|null}, taskPatch?: {…}, event?: {type, error?, errorCode?, fallbackFrom?},
--           reason?, reasonCode?, usageRefused?, timestamp, nowMs, leaseUntilMs?, release?, outcome: [field],
--           awaited? (where the message is awaited; given with it unless the move claims a slot),
--           urgency? (claims a slot: without a free slot it waits with this urgency for the message)}
--   ARGV[2] channel  ARGV[3] stream cap  ARGV[4] message or ''
--   ARGV[5] Celery's prefix of a result  ARGV[6] its suffix  ARGV[7] result ttl, s
-- ) -> {"absent"} | {"halted"} | {"refused"|"stale"|"lacks"|"full", agent JSON}
--      | {"moved", agent JSON, agent JSON before,
--         if it spent or claimed a slot, in hard mode: the limit that leaves it nothing to spend, or ""}
local FIELDS = {
  agentId = 'text', from = 'texts', phases = 'texts?', attempt = 'count?', holder = 'text?', bump = 'flag?',
  heedsHalt = 'flag?', needsChange = 'flag?', foundLeaseMs = 'ms?', dueMs = 'ms?', to = 'text?', final = 'flag?',
  patch = 'object', taskPatch = 'object?', event = 'object?', usageRefused = 'flag?',
  timestamp = 'text', nowMs = 'ms', leaseUntilMs = 'ms?', release = 'flag?', outcome = 'texts',
  urgency = 'ms?', awaited = 'ms?', reason = 'text?', reasonCode = 'text?',
}
-- Fields that a patch must not change: other arguments of a move set them.
local FIXED = { agentId = true, taskId = true, status = true, attempt = true }

local function merge(document, patch)
  for name, value in pairs(patch) do
    if value == cjson.null then value = nil end
    document[name] = value
  end
end

check_arguments(7)
local move = object_of('move', ARGV[1])
check_fields('move', move, FIELDS)
for name in pairs(move.patch) do
  if FIXED[name] then refuse_argument('move.patch.' .. name, 'left out: a patch cannot change it') end
end
if move.event then check_fields('move.event', move.event, { type = 'text', error = 'text?', errorCode = 'text?', fallbackFrom = 'text?' }) end
if move.to and not K.index[move.to] then refuse_argument('move.to', 'a status') end
if move.urgency and move.urgency > MOST_URGENCY then refuse_argument('move.urgency', 'an urgency') end
if move.patch.usage ~= nil then check_usage('move.patch.usage', move.patch.usage) end
local channel = text_of('channel', ARGV[2])
local cap = whole_of('stream cap', ARGV[3], 1, MOST_COUNT)
local message = ARGV[4]
if message ~= '' then object_of('message', message) end
if (message ~= '') ~= (K.queue ~= nil) then refuse_argument('message', 'given together with its queue') end
if move.urgency and message == '' then refuse_argument('message', 'given where a slot is claimed') end
if (move.awaited ~= nil) ~= (message ~= '' and not move.urgency) then
  refuse_argument('move.awaited', 'given with a message that is sent')
end
if move.final then
  object_of('result', ARGV[5] .. '{}' .. ARGV[6])
elseif ARGV[5] .. ARGV[6] ~= '' then
  refuse_argument('result', 'empty where the move is not final')
end
local result_ttl_s = whole_of('result ttl', ARGV[7], 1, MOST_COUNT)

local agent, before = record_of(K.agent)
if not agent then return { 'absent' } end
if move.heedsHalt and redis.call('EXISTS', K.halt) == 1 then return { 'halted' } end
if move.attempt and agent.attempt ~= move.attempt then return { 'stale', before } end
-- The same number with another holder: each claimed it on one side of a failover.
if move.holder and holder_of(agent) ~= move.holder then return { 'stale', before } end
-- A lease renewed since it was found expired has a holder; an absent lease was released.
if move.foundLeaseMs then
  local deadline = redis.call('ZSCORE', K.leases, move.agentId)
  if not deadline or tonumber(deadline) ~= move.foundLeaseMs then return { 'refused', before } end
end
if not contains(move.from, agent.status) then return { 'refused', before } end
if move.phases and not contains(move.phases, agent.phase) then return { 'refused', before } end
-- It was stored before, and a failover may have lost it since.
if move.needsChange and redis.call('EXISTS', K.change) == 0 then return { 'lacks', before } end

local budget = K.budget
if move.urgency and not has_slot(budget, move.urgency) then
  redis.call('ZADD', budget.waiting, whole(move.urgency), move.agentId)
  redis.call('HSET', budget.uncalled, move.agentId, message)
  redis.call('ZREM', budget.awaiting, move.agentId)
  call_waiting(budget)
  return { 'full', before }
end

local function event_of(event)
  return {
    type = event.type, timestamp = move.timestamp, agentId = agent.agentId,
    taskId = agent.taskId, status = agent.status, phase = agent.phase, attempt = agent.attempt,
    yolo = agent.yolo, agent = agent.agent, model = agent.model, effort = agent.effort,
    reason = event.reason, reasonCode = event.reasonCode, fallbackFrom = event.fallbackFrom,
    from = event.from, to = event.to, round = event.round, error = event.error or agent.error, errorCode = event.errorCode or agent.errorCode,
  }
end

-- All values are built here: after the first write nothing can fail.
local events = {}
local usage, spent_before = move.patch.usage, type(agent.usage) == 'table' and agent.usage or {}
if usage and not moves_forward(spent_before, usage) then
  move.usageRefused, usage, move.patch.usage = true, nil, nil
end
-- A report without a cost does not reduce the cost.
if usage and usage.costUsd == nil then usage.costUsd = finite(spent_before.costUsd) end
if move.usageRefused then
  events[1] = event_of({ type = 'agent.warning', errorCode = 'usage_refused',
    error = 'A report of its tokens or its cost is no plausible number, or less than what it had spent: not counted.' })
end

local status_before, phase_before = agent.status, agent.phase
agent.status = move.to or agent.status
if move.bump then agent.attempt = (finite(agent.attempt) or 0) + 1 end
merge(agent, move.patch)
local after = encoded(K.agent, agent)
-- The event of an end, or of the cleanup, names its phase itself.
local is_told = move.final or (move.event and move.event.type == 'agent.cleanup')
if agent.phase ~= phase_before and not is_told then
  events[#events + 1] = event_of({
    type = 'agent.phase', from = phase_before, to = agent.phase, round = (finite(agent.rounds) or 0) + 1,
    reason = move.reason, reasonCode = move.reasonCode,
  })
end
if move.event then
  move.event.reason, move.event.reasonCode = move.reason, move.reasonCode
  events[#events + 1] = event_of(move.event)
end

local task = move.taskPatch and readable_record(K.task)
if task and task.agentId == move.agentId then
  merge(task, move.taskPatch)
  task = encoded(K.task, task)
else
  task = nil
end

local result
if move.final then
  local outcome = {}
  for _, name in ipairs(move.outcome) do
    outcome[name] = agent[name] or cjson.null
  end
  result = ARGV[5] .. encoded(K.agent, outcome) .. ARGV[6]
end

local entered = move.to and move.to ~= status_before
if entered then enter_status({ agents = K.agents, index = K.index, listed = K.listed }, move.agentId, status_before, move.to, move.nowMs) end
if usage then settle(budget, move.agentId, spent_before, usage) end
redis.call('SET', K.agent, after)

if move.final or move.release then
  redis.call('ZREM', K.leases, move.agentId)
elseif move.leaseUntilMs then
  redis.call('ZADD', K.leases, whole(move.leaseUntilMs), move.agentId)
end

if move.urgency then redis.call('ZADD', budget.slots, whole(move.nowMs), move.agentId) end
if move.final then return_reservation(budget, move.agentId) end
if move.final and entered then count_outcome(budget, move.agentId, move.to) end
-- No proxy of this attempt is left to settle them.
if move.release then close_requests(budget, move.agentId) end
if move.final or move.release then redis.call('ZREM', budget.slots, move.agentId) end
if move.awaited then
  redis.call('ZADD', budget.awaiting, whole(move.awaited), move.agentId)
elseif move.urgency or move.dueMs or move.patch.phase then
  redis.call('ZREM', budget.awaiting, move.agentId)
end
if move.urgency or move.final or move.release or move.dueMs then
  stop_waiting(budget, move.agentId)
  call_waiting(budget)
end

if move.dueMs then
  redis.call('ZADD', K.delayed, whole(move.dueMs), move.agentId)
else
  redis.call('ZREM', K.delayed, move.agentId)
end

if result then
  redis.call('SET', K.result, result, 'EX', result_ttl_s)
  redis.call('PUBLISH', K.result, result)
end
if task then redis.call('SET', K.task, task) end
if message ~= '' and not move.urgency then redis.call('LPUSH', K.queue, message) end

for _, event in ipairs(events) do announce(K.events, channel, cap, event, K.trail) end
local over = ''
if usage then
  report_status(budget, K.events, channel, cap, { timestamp = move.timestamp, agentId = move.agentId }, K.trail)
  local most, own_before = limit(budget, 'agent'), finite(spent_before.totalTokens) or 0
  if not is_hard(budget) and own_before < most and (usage.totalTokens or 0) >= most then
    announce(K.events, channel, cap,
      event_of({ type = 'agent.warning', errorCode = 'budget_exceeded', error = overrun(budget, agent) }), K.trail)
  end
end
if (usage or move.urgency) and is_hard(budget) then over = overrun(budget, agent) end
return { 'moved', after, before, over }
