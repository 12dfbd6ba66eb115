-- Removes a lock that is still ours.
--
-- unlock(
--   K.lock  string  the holder's token    removed if it is ours
--   ARGV[1] token
-- ) -> 1 | 0 (another's by now)
check_arguments(1)
local held = redis.call('GET', K.lock)
if held ~= text_of('token', ARGV[1]) then return 0 end
return redis.call('DEL', K.lock)
