-- Enqueues a deferred agent, unless another process has done so.
--
-- release(
--   K.delayed  zset  agentId -> due ms    removed
--   K.queue    list  kombu's list         pushed
--   K.awaiting  zset  see _budget.lua     added
--   ARGV[1] agentId  ARGV[2] message  ARGV[3] where it is awaited
-- ) -> 1 | 0 (it is no longer deferred: nothing was written)
check_arguments(3)
local agent_id = text_of('agentId', ARGV[1])
object_of('message', ARGV[2])
local awaited = whole_of('awaited', ARGV[3], 0, MOST_AWAITED)
local removed = redis.call('ZREM', K.delayed, agent_id)
if removed == 1 then
  redis.call('LPUSH', K.queue, ARGV[2])
  redis.call('ZADD', K.awaiting, whole(awaited), agent_id)
end
return removed
