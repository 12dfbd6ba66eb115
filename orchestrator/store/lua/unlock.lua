-- Lets a lock go that is still ours.
--
-- unlock(
--   KEYS[1] lock  string  the holder's token    removed if it is ours
--   ARGV[1] token
-- ) -> 1 | 0 (another's by now)
local held = redis.call('GET', KEYS[1])
if held ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
