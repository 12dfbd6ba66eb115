-- Kills some agents: each that is active becomes `killed`, final and fenced, with its event, its
-- task, its Celery result, its receipt and its cleanup message, and gives back what it had of the
-- budget; those a worker holds are named in one entry of the kill stream.
--
-- kill(
--   KEYS[1] leases        zset    agentId -> deadline ms    removed
--   KEYS[2] event stream  stream                            appended
--   KEYS[3] kill stream   stream                            appended if a worker holds one of them
--   KEYS[4] unconfirmed   zset    agentId -> killed ms      those a worker holds are added
--   KEYS[5] delayed       zset    agentId -> due ms         removed
--   KEYS[6..10] indexes   zset    agentId -> entered ms     one per status, in the order of order.statuses
--   KEYS[11..28] budget   as _budget.lua says               reservations returned, places freed
--   and for each agent five more:
--           agent         string  AgentState JSON           written
--           task          string  TaskState JSON            patched if this agent is its latest
--           result        string  Celery's result JSON      set; also the channel
--           receipt       string  Receipt JSON              written
--           cleanup       list    kombu's list              pushed
--   ARGV[1] order, JSON: {nowMs, killed, indexOfKilled, statuses: [status], active: [status],
--           outcome: [field], patch: {…}, taskPatch: {…}, event: {type, timestamp}, receipt: {…},
--           agents: [{agentId, orderId, message, before, after}]}
--   ARGV[2] channel  ARGV[3] stream cap  ARGV[4] result ttl, s
-- ) -> for each agent {"absent"} | {"malformed"} | {"ended", agent JSON} | {"killed", agent JSON before, "held"|"idle"};
--    sent again after a lost reply it answers as it did, by the order's id in the receipt
local SHARED = 28

local function contains(list, value)
  for _, item in ipairs(list) do
    if item == value then return true end
  end
  return false
end

-- What is no object, whatever else stands there, must not keep the others alive.
local function object_of(document)
  local is_json, value = pcall(cjson.decode, document)
  return is_json and type(value) == 'table' and value or nil
end

local function answer_again(agent, receipt_key, order_id)
  local document = redis.call('GET', receipt_key)
  local receipt = document and object_of(document)
  if not receipt or receipt.orderId ~= order_id then return nil end
  agent.status, agent.phase = receipt.statusBefore, receipt.phaseBefore
  return { 'killed', cjson.encode(agent), receipt.confirmedBy == 'state' and 'idle' or 'held' }
end

local order = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local clock_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local replies, held = {}, {}
local budget = budget_of(KEYS, 11)

for number, target in ipairs(order.agents) do
  local first = SHARED + (number - 1) * 5
  local agent_key, task_key, result_key = KEYS[first + 1], KEYS[first + 2], KEYS[first + 3]
  local document = redis.call('GET', agent_key)
  local agent = document and object_of(document)
  if not document then
    replies[number] = { 'absent' }
  elseif not agent then
    replies[number] = { 'malformed' }
  elseif not contains(order.active, agent.status) then
    replies[number] = answer_again(agent, KEYS[first + 4], target.orderId) or { 'ended', document }
  else
    local is_held = redis.call('ZREM', KEYS[1], target.agentId) == 1
    redis.call('ZREM', KEYS[5], target.agentId)
    redis.call('ZREM', budget.places, target.agentId)
    stop_waiting(budget, target.agentId)
    give_back(budget, target.agentId)
    local receipt = { agentId = target.agentId, orderId = target.orderId, statusBefore = agent.status, phaseBefore = agent.phase,
      attempt = agent.attempt, worker = agent.worker, workerProcess = agent.workerProcess,
      clockMs = clock_ms }
    for name, value in pairs(order.receipt) do receipt[name] = value end
    if is_held then
      held[#held + 1] = target.agentId
      redis.call('ZADD', KEYS[4], order.nowMs, target.agentId)
    else
      receipt.confirmed, receipt.confirmedBy, receipt.durationMs = true, 'state', 0
    end
    redis.call('SET', KEYS[first + 4], cjson.encode(receipt))

    for position, status in ipairs(order.statuses) do
      if status == agent.status then redis.call('ZREM', KEYS[5 + position], target.agentId) end
    end
    redis.call('ZADD', KEYS[5 + order.indexOfKilled], order.nowMs, target.agentId)
    agent.status = order.killed
    for name, value in pairs(order.patch) do agent[name] = value end
    redis.call('SET', agent_key, cjson.encode(agent))

    local outcome = {}
    for _, name in ipairs(order.outcome) do outcome[name] = agent[name] or cjson.null end
    local result = target.before .. cjson.encode(outcome) .. target.after
    redis.call('SET', result_key, result, 'EX', ARGV[4])
    redis.call('PUBLISH', result_key, result)

    local task_document = redis.call('GET', task_key)
    local task = task_document and object_of(task_document)
    if task and task.agentId == target.agentId then
      for name, value in pairs(order.taskPatch) do task[name] = value end
      redis.call('SET', task_key, cjson.encode(task))
    end

    redis.call('LPUSH', KEYS[first + 5], target.message)
    announce(KEYS[2], ARGV[2], ARGV[3], {
      type = order.event.type, timestamp = order.event.timestamp, agentId = agent.agentId,
      taskId = agent.taskId, status = agent.status, phase = agent.phase, attempt = agent.attempt,
      yolo = agent.yolo, error = agent.error, errorCode = agent.errorCode,
    })
    replies[number] = { 'killed', document, is_held and 'held' or 'idle' }
  end
end

call_waiting(budget)
if #held > 0 then
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[3], '*', 'agents', cjson.encode(held))
end
return replies
