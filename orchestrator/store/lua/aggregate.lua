-- Adds the counts of a section of a stream to counters, unless another process has added it.
--
-- aggregate(
--   K.counters  hash  name -> number, and the positions up to which streams are counted   written
--   ARGV[1] field of the position  ARGV[2] start of the section, or ''  ARGV[3] its end
--   ARGV[4..] name, increment, alternating
-- ) -> 1 (added) | 0 (another process was first: nothing was written)
check_arguments(3, math.huge, 2)
local field = text_of('field of the position', ARGV[1])
for position = 2, 3 do
  local is_first = position == 2 and ARGV[2] == ''
  if not is_first and not string.find(ARGV[position], '^%d+%-%d+$') then
    refuse_argument('position', 'the id of a stream entry')
  end
end
for position = 4, #ARGV, 2 do
  text_of('counter', ARGV[position])
  if not (finite(ARGV[position + 1]) and finite(ARGV[position + 1]) >= 0) then
    refuse_argument('increment of ' .. ARGV[position], 'a number from 0')
  end
end
local position = redis.call('HGET', K.counters, field) or ''
if position ~= ARGV[2] then return 0 end
for position = 4, #ARGV, 2 do
  add_to(K.counters, ARGV[position], finite(ARGV[position + 1]), '%.17g')
end
redis.call('HSET', K.counters, field, ARGV[3])
return 1
