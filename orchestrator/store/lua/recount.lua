-- Removes reservations of agents that cannot spend any more, and recomputes the sum.
--
-- recount(
--   K.reserved  hash  agentId -> tokens; '*' the sum of them            written
--   K.requests  hash  agentId -> open model requests; '*' as _budget.lua   written
--   ARGV[1..] agentIds
-- ) -> the sum
for _, agent_id in ipairs(ARGV) do text_of('agentId', agent_id) end
for _, agent_id in ipairs(ARGV) do
  redis.call('HDEL', K.reserved, agent_id)
  redis.call('HDEL', K.requests, agent_id)
end
redis.call('HDEL', K.reserved, TOTAL)
local sum, extended, nano = 0, 0, 0
local agents = redis.call('HGETALL', K.reserved)
for number = 1, #agents, 2 do
  local tokens = finite(agents[number + 1]) or 0
  local open = open_requests(K, agents[number])
  sum = sum + tokens
  if open then extended, nano = extended + tokens - open.base, nano + sum_of(open.dollars) end
end
redis.call('HSET', K.reserved, TOTAL, whole(sum))
redis.call('HSET', K.requests, TOTAL, whole(extended), DOLLARS, whole(nano))
return sum
