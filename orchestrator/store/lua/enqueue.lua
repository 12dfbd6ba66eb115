-- Enqueues the message of an agent again.
--
-- enqueue(
--   K.queue     list  kombu's list                      pushed
--   K.awaiting  zset  see _budget.lua                   changed if the agent is in it
--   ARGV[1] agentId  ARGV[2] message  ARGV[3] where it is awaited
-- ) -> 1
check_arguments(3)
local agent_id = text_of('agentId', ARGV[1])
object_of('message', ARGV[2])
local awaited = whole_of('awaited', ARGV[3], 0, MOST_AWAITED)
redis.call('LPUSH', K.queue, ARGV[2])
redis.call('ZADD', K.awaiting, 'XX', whole(awaited), agent_id)
return 1
