-- Appends entries to the audit, if its head is still the one they were chained to.
--
-- append_audit(
--   K.audit    stream  fields: entry, mac; id: <seq>-0   appended, never trimmed
--   K.head     string  AuditHead JSON                    compared, set
--   K.waiting  list    AuditDraft JSON                   those taken in are removed
--   ARGV[1] the head they were chained to, or ''  ARGV[2] the head after them
--   ARGV[3] seq of the first  ARGV[4] how many of them waited  ARGV[5..] entry JSON, mac, in turns
-- ) -> {"appended"} | {"late", the head there is} | {"broken"} (nothing was written by either)
check_arguments(6, math.huge, 2)
object_of('head', ARGV[2])
local seq = whole_of('seq', ARGV[3], 1, MOST_MS)
local waited = whole_of('how many waited', ARGV[4], 0, (#ARGV - 4) / 2)
for position = 5, #ARGV, 2 do
  object_of('entry', ARGV[position])
  if not string.find(ARGV[position + 1], '^%x+$') then refuse_argument('mac', 'hex digits') end
end
local head = redis.call('GET', K.head) or ''
if head ~= ARGV[1] then
  -- The reply of the first sending may have been lost: what was sent again stands already. The last
  -- entry shows it: the first may be a draft, which another took in just as well.
  local last = string.format('%.0f-0', seq + (#ARGV - 6) / 2)
  local there = redis.call('XRANGE', K.audit, last, last)[1]
  if there and there[2][4] == ARGV[#ARGV] then return { 'appended' } end
  return { 'late', head }
end
-- Entries behind the head are not ours; nor is a stream whose head is gone one to go on from.
if #redis.call('XRANGE', K.audit, whole(seq) .. '-0', '+', 'COUNT', 1) > 0 then return { 'broken' } end
for position = 5, #ARGV, 2 do
  local id = string.format('%.0f-0', seq + (position - 5) / 2)
  redis.call('XADD', K.audit, id, 'entry', ARGV[position], 'mac', ARGV[position + 1])
end
redis.call('SET', K.head, ARGV[2])
redis.call('LTRIM', K.waiting, waited, -1)
return { 'appended' }
