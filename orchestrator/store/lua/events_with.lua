-- Reads the events of a section of the stream whose JSON contains a text.
--
-- events_with(
--   K.stream  stream  lifecycle events, in the field `event`   read
--   ARGV[1] the text  ARGV[2] the id to start after  ARGV[3] the last id, or '+'
--   ARGV[4] the number of events to look at
-- ) -> {id of the last event that was looked at, or '' at the end; id, event JSON, alternating}
check_arguments(4)
local mark = text_of('text', ARGV[1])
for position = 2, 3 do
  local is_last = position == 3 and ARGV[3] == '+'
  if not is_last and not string.find(ARGV[position], '^%d+%-%d+$') then
    refuse_argument('place', 'the id of a stream entry')
  end
end
local count = whole_of('how many', ARGV[4], 1, MOST_COUNT)
local entries = redis.call('XRANGE', K.stream, '(' .. ARGV[2], ARGV[3], 'COUNT', count)
local found = { #entries == count and entries[count][1] or '' }
for _, entry in ipairs(entries) do
  for position = 1, #entry[2], 2 do
    local document = entry[2][position + 1]
    if entry[2][position] == 'event' and string.find(document, mark, 1, true) then
      found[#found + 1] = entry[1]
      found[#found + 1] = document
    end
  end
end
return found
