-- Records until when a provider is at its limit, and removes the limits that are over.
--
-- limit_provider(
--   K.limits  zset  `AGENT` or `AGENT:MODEL` -> ms   written
--   ARGV[1] name  ARGV[2] until, ms  ARGV[3] now, ms
-- ) -> nil
check_arguments(3)
local name = text_of('name', ARGV[1])
local until_ms = whole_of('until', ARGV[2], 0, MOST_MS)
local now_ms = whole_of('now', ARGV[3], 0, MOST_MS)
redis.call('ZREMRANGEBYSCORE', K.limits, '-inf', whole(now_ms))
redis.call('ZADD', K.limits, whole(until_ms), name)
return nil
