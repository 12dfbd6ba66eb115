-- Enqueues a deferred agent, unless another process has done so.
--
-- release(
--   K.delayed  zset  agentId -> due ms    removed
--   K.queue    list  kombu's list         pushed
--   ARGV[1] agentId  ARGV[2] message
-- ) -> 1 | 0 (it is no longer deferred: nothing was written)
check_arguments(2)
local agent_id = text_of('agentId', ARGV[1])
object_of('message', ARGV[2])
local removed = redis.call('ZREM', K.delayed, agent_id)
if removed == 1 then redis.call('LPUSH', K.queue, ARGV[2]) end
return removed
