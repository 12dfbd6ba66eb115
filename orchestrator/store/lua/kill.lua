-- Kills agents: each active one becomes `killed`, final and fenced, with its event, its task, its
-- Celery result, its receipt and its cleanup message. Its reservation and its slot are returned. One
-- entry of the kill stream names the agents that a worker holds.
--
-- kill(
--   K.leases        zset    agentId -> deadline ms    removed
--   K.events        stream                            appended
--   K.kills         stream                            appended if a worker holds an agent
--   K.unconfirmed   zset    agentId -> killed ms      agents that a worker holds are added
--   K.delayed       zset    agentId -> due ms         removed
--   K.agents        zset    agentId -> spawned ms     read
--   K.index.{spawning,running,completed,failed,killed}  zsets  agentId -> entered ms
--   K.listed.{spawning,running,completed,failed,killed}  zsets  agentId -> spawned ms
--   K.budget.*      see _budget.lua                   reservations returned, slots freed
--   K.targets[].agent     string  AgentState JSON       written
--   K.targets[].task      string  TaskState JSON        patched if this agent is its latest
--   K.targets[].result    string  Celery's result JSON  set; also the channel
--   K.targets[].receipt   string  Receipt JSON          written
--   K.targets[].trail     list    places of its events  appended
--   K.targets[].cleanup   list    kombu's list          pushed
--   ARGV[1] order, JSON: {nowMs, active: [status], outcome: [field], patch: {…}, taskPatch: {…},
--           event: {type, timestamp}, receipt: {…}, agents: [{agentId, orderId, message, awaited, before, after}]}
--   ARGV[2] channel  ARGV[3] stream cap  ARGV[4] result ttl, s
-- ) -> for each agent {"absent"} | {"malformed"} | {"ended", agent JSON} | {"killed", agent JSON before, "held"|"idle"};
--    a repeated call after a lost reply returns the same, by the order's id in the receipt
local FIELDS = {
  nowMs = 'ms', active = 'texts', outcome = 'texts', patch = 'object', taskPatch = 'object',
  event = 'object', receipt = 'object', agents = 'list',
}
local TARGET = { agentId = 'text', orderId = 'text', message = 'text', awaited = 'ms', before = 'text', after = 'text' }
IS_OF.list = function(value) return type(value) == 'table' end

check_arguments(4)
local order = object_of('order', ARGV[1])
check_fields('order', order, FIELDS)
check_fields('order.event', order.event, { type = 'text', timestamp = 'text' })
if #order.agents ~= #K.targets then refuse_argument('order.agents', 'as many as there are keys for') end
for number, target in ipairs(order.agents) do
  if type(target) ~= 'table' then refuse_argument('order.agents', 'a list of objects') end
  check_fields('order.agents.' .. number, target, TARGET)
  object_of('order.agents.' .. number .. '.message', target.message)
  object_of('order.agents.' .. number .. ' result', target.before .. '{}' .. target.after)
end
local channel = text_of('channel', ARGV[2])
local cap = whole_of('stream cap', ARGV[3], 1, MOST_COUNT)
local result_ttl_s = whole_of('result ttl', ARGV[4], 1, MOST_COUNT)

local function answer_again(agent, receipt_key, order_id)
  local receipt = readable_record(receipt_key)
  if not receipt or receipt.orderId ~= order_id then return nil end
  agent.status, agent.phase = receipt.statusBefore, receipt.phaseBefore
  return { 'killed', cjson.encode(agent), receipt.confirmedBy == 'state' and 'idle' or 'held' }
end

local function killed_task(key, agent_id)
  local task = readable_record(key)
  if not task or task.agentId ~= agent_id then return nil end
  for name, value in pairs(order.taskPatch) do task[name] = value end
  local is_json, document = pcall(cjson.encode, task)
  return is_json and document or nil
end

-- Builds all that a kill writes; nil if the record cannot be written back.
local function kill_of(agent, target, keys, is_held, now)
  local receipt = { agentId = target.agentId, orderId = target.orderId, statusBefore = agent.status,
    phaseBefore = agent.phase, attempt = agent.attempt, worker = agent.worker,
    workerProcess = agent.workerProcess, clockMs = now }
  for name, value in pairs(order.receipt) do receipt[name] = value end
  if not is_held then receipt.confirmed, receipt.confirmedBy, receipt.durationMs = true, 'state', 0 end
  agent.status = 'killed'
  for name, value in pairs(order.patch) do agent[name] = value end
  local outcome = {}
  for _, name in ipairs(order.outcome) do
    outcome[name] = agent[name] or cjson.null
  end
  local event = { type = order.event.type, timestamp = order.event.timestamp, agentId = agent.agentId,
    taskId = agent.taskId, status = agent.status, phase = agent.phase, attempt = agent.attempt,
    yolo = agent.yolo, agent = agent.agent, model = agent.model, effort = agent.effort,
    error = agent.error, errorCode = agent.errorCode }
  local is_json, made = pcall(function()
    return { receipt = cjson.encode(receipt), agent = cjson.encode(agent),
      result = target.before .. cjson.encode(outcome) .. target.after, event = event }
  end)
  if not is_json then return nil end
  made.task = killed_task(keys.task, target.agentId)
  return made
end

local now = clock_ms()
local replies, held = {}, {}
local budget = K.budget
local indexes = { agents = K.agents, index = K.index, listed = K.listed }

for number, target in ipairs(order.agents) do
  local keys, id = K.targets[number], target.agentId
  local document = redis.call('GET', keys.agent)
  local agent = document and parsed_object(document)
  local status = agent and agent.status
  if not document then
    replies[number] = { 'absent' }
  elseif not agent then
    -- A malformed record must not prevent the kill of the other agents.
    replies[number] = { 'malformed' }
  elseif not contains(order.active, status) then
    replies[number] = answer_again(agent, keys.receipt, target.orderId) or { 'ended', document }
  else
    local is_held = redis.call('ZSCORE', K.leases, id) and true or false
    local made = kill_of(agent, target, keys, is_held, now)
    if not made then
      replies[number] = { 'malformed' }
    else
      redis.call('ZREM', K.leases, id)
      redis.call('ZREM', K.delayed, id)
      redis.call('ZREM', budget.slots, id)
      stop_waiting(budget, id)
      return_reservation(budget, id)
      count_outcome(budget, id, 'killed')
      if is_held then
        held[#held + 1] = id
        redis.call('ZADD', K.unconfirmed, whole(order.nowMs), id)
      end
      redis.call('SET', keys.receipt, made.receipt)
      enter_status(indexes, id, status, 'killed', order.nowMs)
      redis.call('SET', keys.agent, made.agent)
      redis.call('SET', keys.result, made.result, 'EX', result_ttl_s)
      redis.call('PUBLISH', keys.result, made.result)
      if made.task then redis.call('SET', keys.task, made.task) end
      redis.call('LPUSH', keys.cleanup, target.message)
      redis.call('ZADD', budget.awaiting, whole(target.awaited), id)
      announce(K.events, channel, cap, made.event, keys.trail)
      replies[number] = { 'killed', document, is_held and 'held' or 'idle' }
    end
  end
end

call_waiting(budget)
if #held > 0 then
  redis.call('XADD', K.kills, 'MAXLEN', '~', cap, '*', 'agents', cjson.encode(held))
end
return replies
