-- Drops reservations of agents that can spend nothing any more, and sums up the others again.
--
-- recount(
--   KEYS[1] reserved  hash  agentId -> tokens; '*' the sum of them   written
--   ARGV[1..] agentIds
-- ) -> the sum
if #ARGV > 0 then redis.call('HDEL', KEYS[1], unpack(ARGV)) end
redis.call('HDEL', KEYS[1], TOTAL)
local sum = 0
for _, tokens in ipairs(redis.call('HVALS', KEYS[1])) do sum = sum + tonumber(tokens) end
redis.call('HSET', KEYS[1], TOTAL, whole(sum))
return sum
