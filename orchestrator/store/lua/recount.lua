-- Removes reservations of agents that cannot spend any more, and recomputes the sum.
--
-- recount(
--   K.reserved  hash  agentId -> tokens; '*' the sum of them   written
--   ARGV[1..] agentIds
-- ) -> the sum
for _, agent_id in ipairs(ARGV) do text_of('agentId', agent_id) end
for _, agent_id in ipairs(ARGV) do redis.call('HDEL', K.reserved, agent_id) end
redis.call('HDEL', K.reserved, TOTAL)
local sum = 0
for _, tokens in ipairs(redis.call('HVALS', K.reserved)) do sum = sum + (finite(tokens) or 0) end
redis.call('HSET', K.reserved, TOTAL, whole(sum))
return sum
