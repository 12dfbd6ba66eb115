-- Puts an agent that was waiting for its time into its queue, if nobody else has done so.
--
-- release(
--   KEYS[1] delayed  zset  agentId -> due ms    removed
--   KEYS[2] queue    list  kombu's list         pushed
--   ARGV[1] agentId  ARGV[2] message
-- ) -> 1 | 0 (it no longer waits: nothing was written)
local removed = redis.call('ZREM', KEYS[1], ARGV[1])
if removed == 1 then redis.call('LPUSH', KEYS[2], ARGV[2]) end
return removed
