-- Answers a raw request that was not registered: stores Celery's result and the event together.
--
-- refuse(
--   K.agent   string  must not exist
--   K.result  string  Celery's result JSON   set; also the channel
--   K.events  stream                         appended
--   ARGV[1] result JSON  ARGV[2] ttl, s  ARGV[3] event JSON  ARGV[4] channel  ARGV[5] stream cap
-- ) -> 1 | 0 (an agent of this id exists: nothing was written)
check_arguments(5)
object_of('result', ARGV[1])
local ttl_s = whole_of('ttl', ARGV[2], 1, MOST_COUNT)
local event = object_of('event', ARGV[3])
text_of('event.type', event.type)
local channel = text_of('channel', ARGV[4])
local cap = whole_of('stream cap', ARGV[5], 1, MOST_COUNT)
if redis.call('EXISTS', K.agent) == 1 then return 0 end
redis.call('SET', K.result, ARGV[1], 'EX', ttl_s)
redis.call('PUBLISH', K.result, ARGV[1])
announce(K.events, channel, cap, event)
return 1
