-- Shared functions of the budget: limits, the usage of a day, reservations, slots.
--
-- A script that declares `K.budget.*` has these keys in `K.budget`:
--   K.budget.settings     hash    limit -> value of the settings of the processes
--   K.budget.limits       hash    limit -> value set at run time; precedes the settings
--   K.budget.reserved     hash    agentId -> tokens it may still spend; '*' their sum
--   K.budget.requests     hash    agentId -> its open model requests, JSON; '*' the tokens by which
--                                 they extend reservations, '$' the nanodollars that they may cost
--   K.budget.day          hash    used, cost, cost:<agentId>, <outcome>:{agents,tokens,cost}
--   K.budget.spenders     zset    agentId -> tokens of the day
--   K.budget.status       string  the last reported status of the day
--   K.budget.slots        zset    agentId -> instant (ms) since which it holds a slot
--   K.budget.waiting      zset    agentId -> urgency; the lowest is the most urgent
--   K.budget.uncalled     hash    agentId -> message, of waiting agents not yet enqueued
--   K.budget.awaiting     zset    agentId -> number of the list that has its message * STEP + sent ms
--   K.budget.queues.{0,1,2,3,4,5,6,7,8,9}  lists  kombu's of queue `spawn`, most urgent first
local TOTAL = '*'
local DOLLARS = '$'
local NANO = 1e9
local DAY_TTL_S = 100 * 86400
-- One step of priority in an urgency; the remainder is the instant (ms) of the spawn.
local STEP = 1e13
-- The lists of the three queues have the numbers 0 to 29, those of `spawn` first.
local LISTS = 30
local MOST_AWAITED = LISTS * STEP - 1
local MOST_TOKENS = 1e15
local MOST_COST_USD = 1e6
local MOST_URGENCY = 10 * STEP - 1
local COUNTS = { 'inputTokens', 'outputTokens', 'cacheReadTokens', 'cacheWriteTokens', 'totalTokens' }
local COSTS = { 'costUsd', 'clientCostUsd' }
-- What the usage of an ended agent counts as, by its status.
local OUTCOMES = { completed = 'delivered', failed = 'in_nothing', killed = 'in_nothing' }
-- The contract's defaults, until a process has published its settings; without an entry: no limit.
local DEFAULTS = { daily = 10000000, agent = 2000000, reservation = 10000, concurrency = 10 }

local function limit(budget, name)
  local value = redis.call('HGET', budget.limits, name) or redis.call('HGET', budget.settings, name)
  return finite(value) or DEFAULTS[name]
end

local function is_hard(budget)
  local mode = redis.call('HGET', budget.limits, 'mode') or redis.call('HGET', budget.settings, 'mode')
  return mode ~= 'soft'
end

local function spent(budget)
  return finite(redis.call('HGET', budget.day, 'used')) or 0
end

local function spent_usd(budget)
  return finite(redis.call('HGET', budget.day, 'cost')) or 0
end

local function usd(number)
  return string.format(number < 1 and '$%.4f' or '$%.2f', number)
end

-- The limit of dollars of one agent: that of the fleet or of its request, the lower; nil if neither.
local function agent_limit_usd(budget, agent)
  local most, own = limit(budget, 'agentUsd'), finite(agent.maxCostUsd)
  return most and own and math.min(most, own) or most or own
end

local function reserved(budget, agent_id)
  return finite(redis.call('HGET', budget.reserved, agent_id)) or 0
end

-- Adds to a number of a hash; a malformed stored value counts as 0, so that no write fails midway.
local function add_to(key, field, number, format)
  local sum = (finite(redis.call('HGET', key, field)) or 0) + number
  redis.call('HSET', key, field, string.format(format or '%.0f', sum))
end

-- Reserves tokens for a new agent; if the day lacks them, returns the limit, used and reserved, and
-- if its dollars are spent, the limit and the used ones as texts.
local function reserve(budget, agent_id)
  local most_usd, cost = limit(budget, 'dailyUsd'), spent_usd(budget)
  if most_usd and is_hard(budget) and cost >= most_usd then return { usd(most_usd), usd(cost) } end
  local asked = math.min(limit(budget, 'reservation'), limit(budget, 'agent'))
  local daily, used, held = limit(budget, 'daily'), spent(budget), reserved(budget, TOTAL)
  if is_hard(budget) and used + held + asked > daily then return { daily, used, held, asked } end
  redis.call('HSET', budget.reserved, agent_id, whole(asked))
  add_to(budget.reserved, TOTAL, asked)
end

-- Returns the open model requests of an agent: {session, base, held = {requestId: tokens},
-- dollars = {requestId: nanodollars}}; nil without any. `base` is its reservation without them.
local function open_requests(budget, agent_id)
  local found = parsed_object(redis.call('HGET', budget.requests, agent_id))
  if not found or type(found.held) ~= 'table' then return nil end
  for id, tokens in pairs(found.held) do found.held[id] = finite(tokens) or 0 end
  found.dollars = type(found.dollars) == 'table' and found.dollars or {}
  for id, nano in pairs(found.dollars) do found.dollars[id] = finite(nano) or 0 end
  found.base = math.min(finite(found.base) or 0, reserved(budget, agent_id))
  return found
end

-- The tokens by which open requests extend reservations.
local function reserved_for_requests(budget)
  return finite(redis.call('HGET', budget.requests, TOTAL)) or 0
end

local function sum_of(numbers)
  local sum = 0
  for _, number in pairs(numbers) do sum = sum + number end
  return sum
end

local function held_by(open)
  return sum_of(open.held)
end

-- Writes the reservation of an agent together with its open requests; both sums follow.
local function write_reservation(budget, agent_id, tokens, open)
  local before, earlier = reserved(budget, agent_id), open_requests(budget, agent_id)
  local is_open = open and next(open.held)
  local more = (is_open and tokens - open.base or 0) - (earlier and before - earlier.base or 0)
  redis.call('HSET', budget.reserved, agent_id, whole(tokens))
  if tokens ~= before then add_to(budget.reserved, TOTAL, tokens - before) end
  if is_open then
    redis.call('HSET', budget.requests, agent_id, cjson.encode(open))
  else
    redis.call('HDEL', budget.requests, agent_id)
  end
  if more ~= 0 then add_to(budget.requests, TOTAL, more) end
  local nano = (is_open and sum_of(open.dollars) or 0) - (earlier and sum_of(earlier.dollars) or 0)
  if nano ~= 0 then add_to(budget.requests, DOLLARS, nano) end
end

-- Ends the open requests with these ids, or all: the reservation shrinks to what the others need.
local function close_requests(budget, agent_id, ids)
  local open = open_requests(budget, agent_id)
  if not open then return end
  if not ids then open.held, open.dollars = {}, {} end
  for _, id in ipairs(ids or {}) do open.held[id], open.dollars[id] = nil, nil end
  local needed = math.max(open.base, held_by(open))
  write_reservation(budget, agent_id, math.min(reserved(budget, agent_id), needed), open)
end

-- Returns the unspent reservation of an agent; a second call has no effect.
local function return_reservation(budget, agent_id)
  close_requests(budget, agent_id)
  local left = reserved(budget, agent_id)
  if redis.call('HDEL', budget.reserved, agent_id) == 1 then add_to(budget.reserved, TOTAL, -left) end
end

-- Refuses a usage with a malformed number, or with more than any agent spends.
local function check_usage(name, usage)
  if type(usage) ~= 'table' then refuse_argument(name, 'a JSON object') end
  for _, field in ipairs(COUNTS) do
    if usage[field] ~= nil and not is_whole(usage[field], 0, MOST_TOKENS) then
      refuse_argument(name .. '.' .. field, 'a whole number from 0 to ' .. whole(MOST_TOKENS))
    end
  end
  for _, field in ipairs(COSTS) do
    local cost = usage[field]
    if cost ~= nil and not (type(cost) == 'number' and cost >= 0 and cost <= MOST_COST_USD) then
      refuse_argument(name .. '.' .. field, 'a number from 0 to ' .. whole(MOST_COST_USD))
    end
  end
end

-- Whether no count of a usage is lower than before.
local function moves_forward(before, after)
  for _, name in ipairs(COUNTS) do
    if (after[name] or 0) < (finite(before[name]) or 0) then return false end
  end
  return true
end

-- Charges the usage since `before` to the day, first against the agent's reservation.
local function settle(budget, agent_id, before, after)
  local tokens = (after.totalTokens or 0) - (finite(before.totalTokens) or 0)
  local cost = (after.costUsd or 0) - (finite(before.costUsd) or 0)
  local held, open = reserved(budget, agent_id), open_requests(budget, agent_id)
  if open then open.base = math.max(0, open.base - tokens) end
  if held > 0 and tokens > 0 then
    write_reservation(budget, agent_id, held - math.min(held, tokens), open)
  end
  if tokens > 0 then
    add_to(budget.day, 'used', tokens)
    redis.call('ZINCRBY', budget.spenders, whole(tokens), agent_id)
  end
  if cost > 0 then
    add_to(budget.day, 'cost', cost, '%.9f')
    add_to(budget.day, 'cost:' .. agent_id, cost, '%.9f')
  end
  redis.call('EXPIRE', budget.day, DAY_TTL_S)
  redis.call('EXPIRE', budget.spenders, DAY_TTL_S)
end

-- Adds what an agent has spent on the day of its end to the sums of its outcome.
local function count_outcome(budget, agent_id, status)
  local tokens = redis.call('ZSCORE', budget.spenders, agent_id)
  if not tokens then return end
  local outcome = OUTCOMES[status]
  add_to(budget.day, outcome .. ':agents', 1)
  add_to(budget.day, outcome .. ':tokens', tonumber(tokens))
  add_to(budget.day, outcome .. ':cost', finite(redis.call('HGET', budget.day, 'cost:' .. agent_id)) or 0, '%.9f')
end

local function cost_of(usage)
  return type(usage) == 'table' and finite(usage.costUsd) or 0
end

-- Whether an agent has reached its own limit by its usage, and had not before.
local function crosses(budget, agent, before, usage)
  local most, most_usd = limit(budget, 'agent'), agent_limit_usd(budget, agent)
  local own = finite(before.totalTokens) or 0
  if own < most and (usage.totalTokens or 0) >= most then return true end
  return most_usd ~= nil and cost_of(before) < most_usd and cost_of(usage) >= most_usd
end

-- Returns the limit of dollars that leaves an agent nothing to spend; '' if none does.
local function overrun_usd(budget, agent)
  local own, most = cost_of(agent.usage), agent_limit_usd(budget, agent)
  if most and own >= most then
    return string.format('The agent has cost %s, its limit is %s.', usd(own), usd(most))
  end
  local cost, daily = spent_usd(budget), limit(budget, 'dailyUsd')
  if not daily or cost < daily then return '' end
  return string.format("Of today's %s, %s are spent.", usd(daily), usd(cost))
end

-- Returns the limit that leaves an agent nothing to spend; '' if none does.
local function overrun(budget, agent)
  local own = type(agent.usage) == 'table' and finite(agent.usage.totalTokens) or 0
  local most = limit(budget, 'agent')
  if own >= most then
    return string.format('The agent has spent %s tokens, its limit is %s.', whole(own), whole(most))
  end
  local daily, used, held = limit(budget, 'daily'), spent(budget), reserved(budget, TOTAL)
  -- An agent with a remaining reservation takes no tokens from the others. Open requests of others
  -- may return most of what they hold.
  local lasting = used + held - reserved_for_requests(budget)
  if used < daily and (lasting < daily or reserved(budget, agent.agentId) > 0) then
    return overrun_usd(budget, agent)
  end
  return string.format("Of today's %s tokens %s are spent and %s reserved.", whole(daily), whole(used), whole(held))
end

local STATUSES = { 'within_budget', 'approaching_limit', 'at_limit', 'exceeded' }

-- The rank of the status of a day by one limit; 1 without it.
local function rank_of(used, daily)
  if not daily or used * 100 < daily * 80 then return 1 end
  if used < daily then return 2 end
  return used == daily and 3 or 4
end

-- Reports the status of the day if it changed; `event` holds the timestamp and the agent's fields.
local function report_status(budget, stream, channel, cap, event, trail)
  local used, daily = spent(budget), limit(budget, 'daily')
  local cost, daily_usd = spent_usd(budget), limit(budget, 'dailyUsd')
  local status = STATUSES[math.max(rank_of(used, daily), rank_of(cost, daily_usd))]
  if status == (redis.call('GET', budget.status) or 'within_budget') then return end
  redis.call('SET', budget.status, status)
  announce(stream, channel, cap, {
    type = 'budget.status', timestamp = event.timestamp, agentId = event.agentId,
    budget = status, used = used, limit = daily,
    usedUsd = daily_usd and cost, limitUsd = daily_usd,
  }, trail)
end

-- Whether a slot is left for an agent after all more urgent waiting agents.
local function has_slot(budget, urgency)
  local free = limit(budget, 'concurrency') - redis.call('ZCARD', budget.slots)
  return redis.call('ZCOUNT', budget.waiting, '-inf', '(' .. whole(urgency)) < free
end

local function stop_waiting(budget, agent_id)
  redis.call('ZREM', budget.waiting, agent_id)
  redis.call('HDEL', budget.uncalled, agent_id)
end

-- Enqueues the most urgent waiting agents, one per free slot. They remain in the waiting list until
-- they claim, so that no less urgent agent claims first.
local function call_waiting(budget)
  local free = limit(budget, 'concurrency') - redis.call('ZCARD', budget.slots)
  if free <= 0 then return end
  for _, agent_id in ipairs(redis.call('ZRANGE', budget.waiting, 0, free - 1)) do
    local message = redis.call('HGET', budget.uncalled, agent_id)
    if message then
      local step = math.floor(tonumber(redis.call('ZSCORE', budget.waiting, agent_id)) / STEP)
      step = math.max(0, math.min(9, step))
      redis.call('HDEL', budget.uncalled, agent_id)
      redis.call('LPUSH', budget.queues[step], message)
      redis.call('ZADD', budget.awaiting, whole(step * STEP + clock_ms()), agent_id)
    end
  end
end

