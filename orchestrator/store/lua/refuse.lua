-- Answers a raw request that never became an agent: Celery's result and the event, together.
--
-- refuse(
--   KEYS[1] agent         string  must not exist
--   KEYS[2] result        string  Celery's result JSON   set; also the channel
--   KEYS[3] event stream  stream                         appended
--   ARGV[1] result JSON  ARGV[2] ttl, s  ARGV[3] event JSON  ARGV[4] channel  ARGV[5] stream cap
-- ) -> 1 | 0 (an agent of this id exists: nothing was written)
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[2])
redis.call('PUBLISH', KEYS[2], ARGV[1])
announce(KEYS[3], ARGV[4], ARGV[5], cjson.decode(ARGV[3]))
return 1
