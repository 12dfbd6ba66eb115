-- Reads a part of the trail of an agent: its events and its audit entries, as far as they are stored.
--
-- read_trail(
--   K.trail   list    e<id of an event> | a<id of an audit entry>   read
--   K.events  stream  lifecycle events, in the field `event`        read
--   K.audit   stream  fields: entry, mac                            read
--   ARGV[1] the position of the first one  ARGV[2] the number of them
-- ) -> {the number of entries of the part, then for each that is stored: 'e' or 'a', id, JSON}
check_arguments(2)
local first = whole_of('position', ARGV[1], 0, MOST_COUNT)
local count = whole_of('how many', ARGV[2], 1, MOST_COUNT)
local part = redis.call('LRANGE', K.trail, first, first + count - 1)
local found = { #part }
for _, entry in ipairs(part) do
  local kind, id = string.match(entry, '^([ea])(%d+%-%d+)$')
  local stored = kind and redis.call('XRANGE', kind == 'e' and K.events or K.audit, id, id)[1]
  local fields = stored and stored[2] or {}
  for at = 1, #fields, 2 do
    if fields[at] == 'event' or fields[at] == 'entry' then
      found[#found + 1] = kind
      found[#found + 1] = id
      found[#found + 1] = fields[at + 1]
    end
  end
end
return found
