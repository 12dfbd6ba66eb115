-- Appends entries to the audit, if its head is still the one they were chained to.
--
-- append_audit(
--   KEYS[1] audit    stream  fields: entry, mac; id: <seq>-0   appended, never trimmed
--   KEYS[2] head     string  AuditHead JSON                    compared, set
--   KEYS[3] waiting  list    AuditDraft JSON                   those taken in are removed
--   ARGV[1] the head they were chained to, or ''  ARGV[2] the head after them
--   ARGV[3] seq of the first  ARGV[4] how many of them waited  ARGV[5..] entry JSON, mac, in turns
-- ) -> {"appended"} | {"late", the head there is} | {"broken"} (nothing was written by either)
local first = ARGV[3] .. '-0'
local head = redis.call('GET', KEYS[2]) or ''
if head ~= ARGV[1] then
  -- The reply of the first sending may have been lost: what was sent again stands already. The last
  -- entry shows it: the first may be a draft, which another took in just as well.
  local last = string.format('%d-0', ARGV[3] + (#ARGV - 6) / 2)
  local there = redis.call('XRANGE', KEYS[1], last, last)[1]
  if there and there[2][4] == ARGV[#ARGV] then return { 'appended' } end
  return { 'late', head }
end
-- Entries behind the head are not ours; nor is a stream whose head is gone one to go on from.
if #redis.call('XRANGE', KEYS[1], first, '+', 'COUNT', 1) > 0 then return { 'broken' } end
for position = 5, #ARGV, 2 do
  local id = string.format('%d-0', ARGV[3] + (position - 5) / 2)
  redis.call('XADD', KEYS[1], id, 'entry', ARGV[position], 'mac', ARGV[position + 1])
end
redis.call('SET', KEYS[2], ARGV[2])
redis.call('LTRIM', KEYS[3], ARGV[4], -1)
return { 'appended' }
