-- What the scripts share of the budget: limits, the day's account, reservations, places.
--
-- budget_of(KEYS, first) names the run of keys that begins at KEYS[first]:
--   first      settings     hash    limit -> value, as the processes were started with
--   first + 1  limits       hash    limit -> value, as somebody set it since: these win
--   first + 2  reserved     hash    agentId -> tokens it may still spend; '*' the sum of them
--   first + 3  day          hash    used, cost, tokens:<agentId>, cost:<agentId>
--   first + 4  status       string  what was last told of the day
--   first + 5  places       zset    agentId -> since when (ms) it holds one of the fleet's places
--   first + 6  waiting      zset    agentId -> urgency, the least first
--   first + 7  uncalled     hash    agentId -> message, of those who wait and were not called yet
--   first + 8 .. + 17       lists   kombu's of the queue `spawn`, the most urgent first
local TOTAL = '*'
local DAY_TTL_S = 100 * 86400
-- One step of priority in an urgency; below it stands the instant (ms) of the spawn.
local STEP = 1e13
local MOST_TOKENS = 1e15
local COUNTS = { 'inputTokens', 'outputTokens', 'cacheReadTokens', 'cacheWriteTokens', 'totalTokens' }
-- The contract's, until a process has said what it was started with.
local DEFAULTS = { daily = 10000000, agent = 2000000, reservation = 10000, concurrency = 10 }

local function budget_of(keys, first)
  local budget = { queues = {} }
  local names = { 'settings', 'limits', 'reserved', 'day', 'status', 'places', 'waiting', 'uncalled' }
  for position, name in ipairs(names) do budget[name] = keys[first + position - 1] end
  for step = 0, 9 do budget.queues[step] = keys[first + 8 + step] end
  return budget
end

local function whole(number)
  return string.format('%.0f', number)
end

local function limit(budget, name)
  local value = redis.call('HGET', budget.limits, name) or redis.call('HGET', budget.settings, name)
  return tonumber(value) or DEFAULTS[name]
end

local function is_hard(budget)
  return redis.call('HGET', budget.settings, 'mode') ~= 'soft'
end

local function spent(budget)
  return tonumber(redis.call('HGET', budget.day, 'used')) or 0
end

local function reserved(budget, agent_id)
  return tonumber(redis.call('HGET', budget.reserved, agent_id)) or 0
end

-- Reserves for a new agent; where the day does not hold that much: the limit and what takes it up.
local function reserve(budget, agent_id)
  local asked = math.min(limit(budget, 'reservation'), limit(budget, 'agent'))
  local daily, used, held = limit(budget, 'daily'), spent(budget), reserved(budget, TOTAL)
  if is_hard(budget) and used + held + asked > daily then return { daily, used, held, asked } end
  redis.call('HSET', budget.reserved, agent_id, whole(asked))
  redis.call('HINCRBY', budget.reserved, TOTAL, whole(asked))
end

-- Returns what an agent has not spent, once: it has no reservation then.
local function give_back(budget, agent_id)
  local left = reserved(budget, agent_id)
  if redis.call('HDEL', budget.reserved, agent_id) == 1 and left > 0 then
    redis.call('HINCRBY', budget.reserved, TOTAL, whole(-left))
  end
end

local function moves_forward(before, after)
  if type(after) ~= 'table' then return false end
  for _, name in ipairs(COUNTS) do
    local count = after[name] or 0
    if type(count) ~= 'number' or count ~= math.floor(count) or count > MOST_TOKENS then return false end
    if count < (before[name] or 0) then return false end
  end
  return true
end

-- Enters what an agent has spent since `before` in the day's account, first out of its reservation.
local function settle(budget, agent_id, before, after)
  local tokens = (after.totalTokens or 0) - (before.totalTokens or 0)
  local cost = (tonumber(after.costUsd) or 0) - (tonumber(before.costUsd) or 0)
  local drawn = math.min(reserved(budget, agent_id), tokens)
  if drawn > 0 then
    redis.call('HINCRBY', budget.reserved, agent_id, whole(-drawn))
    redis.call('HINCRBY', budget.reserved, TOTAL, whole(-drawn))
  end
  if tokens > 0 then
    redis.call('HINCRBY', budget.day, 'used', whole(tokens))
    redis.call('HINCRBY', budget.day, 'tokens:' .. agent_id, whole(tokens))
  end
  if cost > 0 then
    redis.call('HINCRBYFLOAT', budget.day, 'cost', string.format('%.6f', cost))
    redis.call('HINCRBYFLOAT', budget.day, 'cost:' .. agent_id, string.format('%.6f', cost))
  end
  redis.call('EXPIRE', budget.day, DAY_TTL_S)
end

-- Says which limit leaves an agent nothing to spend; '' while there is something.
local function overrun(budget, agent)
  local own = agent.usage and agent.usage.totalTokens or 0
  local most = limit(budget, 'agent')
  if own >= most then
    return string.format('The agent has spent %s tokens, its limit is %s.', whole(own), whole(most))
  end
  local daily, used, held = limit(budget, 'daily'), spent(budget), reserved(budget, TOTAL)
  -- Whoever has something left of its own reservation takes nothing from the others.
  if used < daily and (used + held < daily or reserved(budget, agent.agentId) > 0) then return '' end
  return string.format("Of today's %s tokens %s are spent and %s reserved.", whole(daily), whole(used), whole(held))
end

local function status_of(used, daily)
  if used * 100 < daily * 80 then return 'within_budget' end
  if used < daily then return 'approaching_limit' end
  if used == daily then return 'at_limit' end
  return 'exceeded'
end

-- Tells how the day stands if that has changed; `event` holds the timestamp, and whose move it was.
local function tell_status(budget, stream, channel, cap, event)
  local used, daily = spent(budget), limit(budget, 'daily')
  local status = status_of(used, daily)
  if status == (redis.call('GET', budget.status) or 'within_budget') then return end
  redis.call('SET', budget.status, status)
  announce(stream, channel, cap, {
    type = 'budget.status', timestamp = event.timestamp, agentId = event.agentId,
    budget = status, used = used, limit = daily,
  })
end

-- Whether a place is left for an agent after all who wait and are more urgent.
local function has_place(budget, urgency)
  local free = limit(budget, 'concurrency') - redis.call('ZCARD', budget.places)
  return redis.call('ZCOUNT', budget.waiting, '-inf', '(' .. whole(urgency)) < free
end

local function stop_waiting(budget, agent_id)
  redis.call('ZREM', budget.waiting, agent_id)
  redis.call('HDEL', budget.uncalled, agent_id)
end

-- Queues the most urgent of those who wait, as many as there are places. They wait on, so that
-- nobody less urgent comes before them, until they have claimed.
local function call_waiting(budget)
  local free = limit(budget, 'concurrency') - redis.call('ZCARD', budget.places)
  if free <= 0 then return end
  for _, agent_id in ipairs(redis.call('ZRANGE', budget.waiting, 0, free - 1)) do
    local message = redis.call('HGET', budget.uncalled, agent_id)
    if message then
      local step = math.floor(tonumber(redis.call('ZSCORE', budget.waiting, agent_id)) / STEP)
      redis.call('HDEL', budget.uncalled, agent_id)
      redis.call('LPUSH', budget.queues[step], message)
    end
  end
end

