-- Reads the next lines of an agent's log, up to a number of lines and of bytes.
--
-- read_log(
--   K.log  stream  fields: line  read
--   ARGV[1] 'XRANGE' or 'XREVRANGE'  ARGV[2] id before the first line, '-' or '+' for none
--   ARGV[3] most lines  ARGV[4] size, bytes; one line may be larger
-- ) -> 1 if there is no line after these, else 0; then the lines
check_arguments(4)
local STEP = 16
local name, after = text_of('command', ARGV[1]), text_of('id', ARGV[2])
local left = whole_of('lines', ARGV[3], 1, MOST_COUNT)
local most = whole_of('size', ARGV[4], 1, MOST_COUNT)
if name ~= 'XRANGE' and name ~= 'XREVRANGE' then refuse_argument('command', 'XRANGE or XREVRANGE') end
if after ~= '-' and after ~= '+' and not string.find(after, '^%d+%-?%d*$') then
  refuse_argument('id', 'an id of a stream')
end
local last = name == 'XRANGE' and '+' or '-'
local found, bytes = { 0 }, 0
while left > 0 do
  local start = (after == '-' or after == '+') and after or '(' .. after
  local step = math.min(STEP, left)
  local lines = redis.call(name, K.log, start, last, 'COUNT', whole(step))
  for _, line in ipairs(lines) do
    bytes = bytes + #line[1]
    for _, part in ipairs(line[2]) do bytes = bytes + #part end
    if #found > 1 and bytes > most then return found end
    found[#found + 1] = line
    after = line[1]
  end
  if #lines < step then
    found[1] = 1
    break
  end
  left = left - step
end
return found
