-- Finds agents whose message is in no list. It reads the messages of each list that are served next,
-- and the agents that have awaited one of this list for the longest. Where the list is longer, an
-- agent counts only if its turn has passed: the agent that is served next awaits its message since
-- later.
--
-- missing_messages(
--   K.awaiting  zset   agentId -> number of the list * STEP + sent ms   read
--   K.lists[]   lists  kombu's, by their numbers from 0                 read
--   ARGV[1] the number of the first list  ARGV[2] messages of a list  ARGV[3] agents of a list
--   ARGV[4] turns may be this far out of order, ms
-- ) -> {the number of the next list, or '' at the end; agentId, awaited, alternating}
check_arguments(4)
if #K.lists ~= LISTS then refuse_argument('the number of keys', 'that of its header') end
local first = whole_of('list', ARGV[1], 0, #K.lists)
local most_messages = whole_of('messages', ARGV[2], 1, MOST_COUNT)
local most_agents = whole_of('agents', ARGV[3], 1, MOST_COUNT)
local margin = whole_of('margin', ARGV[4], 0, MOST_MS)
-- Messages and agents that one call reads; their number bounds its time.
local left = math.max(most_messages, most_agents)

-- Returns the agents that have a message among those that are served next, and before which of them
-- a message must have been served: any, if all messages of the list were read.
local function served_next(list)
  local length = redis.call('LLEN', list)
  local messages = redis.call('LRANGE', list, -most_messages, -1)
  left = left - #messages
  local has_message, turn = {}, nil
  for at = #messages, 1, -1 do
    -- The id of a Celery task begins with the agentId.
    local id = string.match(messages[at], '"id": ?"([^".]+)')
    if id then
      has_message[id] = true
      local awaited = not turn and redis.call('ZSCORE', K.awaiting, id)
      if awaited then turn = tonumber(awaited) end
    end
  end
  if length <= #messages then return has_message, math.huge end
  return has_message, (turn or 0) - margin
end

local found = { '' }
for number = first, #K.lists - 1 do
  if left <= 0 then
    found[1] = tostring(number)
    return found
  end
  local first_score, last_score = number * STEP, (number + 1) * STEP - 1
  if redis.call('ZCOUNT', K.awaiting, whole(first_score), whole(last_score)) > 0 then
    local has_message, turn = served_next(K.lists[number + 1])
    local waiting = redis.call('ZRANGE', K.awaiting, whole(first_score), whole(math.min(last_score, turn - 1)),
      'BYSCORE', 'LIMIT', 0, most_agents, 'WITHSCORES')
    left = left - #waiting / 2
    for at = 1, #waiting, 2 do
      if not has_message[waiting[at]] then
        found[#found + 1] = waiting[at]
        found[#found + 1] = waiting[at + 1]
      end
    end
  end
end
return found
