-- Moves one agent if its state allows it: state, indexes, lease, task, event, next message and
-- final result, place and tokens change together or not at all. Which moves are legal is passed in.
--
-- transition(
--   KEYS[1] agent         string  AgentState JSON             read, written
--   KEYS[2] task          string  TaskState JSON              patched if this agent is its latest
--   KEYS[3] leases        zset    agentId -> deadline ms      set, or removed when final or released
--   KEYS[4] event stream  stream                              appended if an event is given
--   KEYS[5] result        string  Celery's result JSON        set when final; also the channel
--   KEYS[6] halt          string  Halt JSON                   read if the move heeds it
--   KEYS[7] delayed       zset    agentId -> due ms           added if delayed, else removed
--   KEYS[8..12] indexes   zset    agentId -> entered ms       one per status, in the order of move.statuses
--   KEYS[13..30] budget   as _budget.lua says                 settled, a place taken or freed
--   KEYS[31] queue        list    kombu's list                pushed if a message is given
--   ARGV[1] move, JSON: {agentId, from: [status], phases?: [phase], attempt?, holder?, bump?, heedsHalt?, expiredAtMs?, dueMs?, to?, final?,
--           patch: {field: value|null}, taskPatch?: {…}, event?: {type, error?, errorCode?},
--           timestamp, nowMs, leaseUntilMs?, release?, statuses: [status], outcome: [field],
--           urgency? (it takes a place: if none is left it waits, with this urgency, for the message)}
--   ARGV[2] channel  ARGV[3] stream cap  ARGV[4] message or ''
--   ARGV[5] what Celery writes before a result  ARGV[6] and after it  ARGV[7] result ttl, s
-- ) -> {"absent"} | {"halted"} | {"refused"|"stale"|"full", agent JSON}
--      | {"moved", agent JSON, agent JSON before,
--         if it spent or took a place, in hard mode: the limit that leaves it nothing to spend; else ""}
local function contains(list, value)
  for _, item in ipairs(list) do
    if item == value then return true end
  end
  return false
end

local function merge(document, patch)
  for name, value in pairs(patch) do
    if value == cjson.null then value = nil end
    document[name] = value
  end
end

local before = redis.call('GET', KEYS[1])
if not before then return { 'absent' } end
local agent = cjson.decode(before)
local move = cjson.decode(ARGV[1])
if move.heedsHalt and redis.call('EXISTS', KEYS[6]) == 1 then return { 'halted' } end
if move.attempt and agent.attempt ~= move.attempt then return { 'stale', before } end
-- The same number with another holder: each claimed it on one side of a failover.
if move.holder and holder_of(agent) ~= move.holder then return { 'stale', before } end
-- A lease that was renewed since it was found expired belongs to somebody; one that is gone was let go.
if move.expiredAtMs then
  local deadline = redis.call('ZSCORE', KEYS[3], move.agentId)
  if not deadline or tonumber(deadline) > move.expiredAtMs then return { 'refused', before } end
end
if not contains(move.from, agent.status) then return { 'refused', before } end
if move.phases and not contains(move.phases, agent.phase) then return { 'refused', before } end

local budget = budget_of(KEYS, 13)
if move.urgency and not has_place(budget, move.urgency) then
  redis.call('ZADD', budget.waiting, whole(move.urgency), move.agentId)
  redis.call('HSET', budget.uncalled, move.agentId, ARGV[4])
  call_waiting(budget)
  return { 'full', before }
end

local function tell(event)
  announce(KEYS[4], ARGV[2], ARGV[3], {
    type = event.type, timestamp = move.timestamp, agentId = agent.agentId,
    taskId = agent.taskId, status = agent.status, phase = agent.phase, attempt = agent.attempt,
    yolo = agent.yolo, error = event.error or agent.error, errorCode = event.errorCode or agent.errorCode,
  })
end

local usage, spent_before = move.patch.usage, agent.usage or {}
if usage ~= nil and not moves_forward(spent_before, usage) then
  tell({ type = 'agent.warning', errorCode = 'usage_refused',
    error = 'A report of its tokens is no number, or less than what it had spent: not counted.' })
  usage, move.patch.usage = nil, nil
end

local entered = move.to and move.to ~= agent.status
if entered then
  for position, status in ipairs(move.statuses) do
    if status == agent.status then redis.call('ZREM', KEYS[7 + position], move.agentId) end
    if status == move.to then redis.call('ZADD', KEYS[7 + position], move.nowMs, move.agentId) end
  end
  agent.status = move.to
end
if move.bump then agent.attempt = agent.attempt + 1 end
merge(agent, move.patch)
if usage then settle(budget, move.agentId, spent_before, usage) end
local after = cjson.encode(agent)
redis.call('SET', KEYS[1], after)

if move.final or move.release then
  redis.call('ZREM', KEYS[3], move.agentId)
elseif move.leaseUntilMs then
  redis.call('ZADD', KEYS[3], move.leaseUntilMs, move.agentId)
end

if move.urgency then redis.call('ZADD', budget.places, move.nowMs, move.agentId) end
if move.final then give_back(budget, move.agentId) end
if move.final or move.release then redis.call('ZREM', budget.places, move.agentId) end
if move.urgency or move.final or move.release or move.dueMs then
  stop_waiting(budget, move.agentId)
  call_waiting(budget)
end

if move.dueMs then
  redis.call('ZADD', KEYS[7], move.dueMs, move.agentId)
else
  redis.call('ZREM', KEYS[7], move.agentId)
end

if move.final then
  local outcome = {}
  for _, name in ipairs(move.outcome) do outcome[name] = agent[name] or cjson.null end
  local result = ARGV[5] .. cjson.encode(outcome) .. ARGV[6]
  redis.call('SET', KEYS[5], result, 'EX', ARGV[7])
  redis.call('PUBLISH', KEYS[5], result)
end

if move.taskPatch then
  local document = redis.call('GET', KEYS[2])
  local task = document and cjson.decode(document)
  if task and task.agentId == move.agentId then
    merge(task, move.taskPatch)
    redis.call('SET', KEYS[2], cjson.encode(task))
  end
end

if ARGV[4] ~= '' and not move.urgency then redis.call('LPUSH', KEYS[31], ARGV[4]) end

if move.event then tell(move.event) end
local over = ''
if usage then
  tell_status(budget, KEYS[4], ARGV[2], ARGV[3], { timestamp = move.timestamp, agentId = move.agentId })
  local most = limit(budget, 'agent')
  if not is_hard(budget) and (spent_before.totalTokens or 0) < most and usage.totalTokens >= most then
    tell({ type = 'agent.warning', errorCode = 'budget_exceeded', error = overrun(budget, agent) })
  end
end
if (usage or move.urgency) and is_hard(budget) then over = overrun(budget, agent) end
return { 'moved', after, before, over }
