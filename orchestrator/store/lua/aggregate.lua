-- Adds to counters what a stretch of a stream comes to, if nobody has added it yet.
--
-- aggregate(
--   KEYS[1] counters  hash  name -> number, and the places up to which streams are counted   written
--   ARGV[1] field of the place  ARGV[2] the place counted from, or ''  ARGV[3] the place counted to
--   ARGV[4..] name, increment, in turns
-- ) -> 1 (added) | 0 (another was faster: nothing was written)
local place = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if place ~= ARGV[2] then return 0 end
for position = 4, #ARGV, 2 do
  redis.call('HINCRBYFLOAT', KEYS[1], ARGV[position], ARGV[position + 1])
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
