-- Removes a lock, if the caller still holds it.
--
-- unlock(
--   K.lock  string  the holder's token    removed if it equals ARGV[1]
--   ARGV[1] token
-- ) -> 1 | 0 (another process holds it)
check_arguments(1)
local held = redis.call('GET', K.lock)
if held ~= text_of('token', ARGV[1]) then return 0 end
return redis.call('DEL', K.lock)
