-- Appends entries to the audit, if its head is still the one that they were chained to.
--
-- append_audit(
--   K.audit    stream  fields: entry, mac; id: <seq>-0   appended, never trimmed
--   K.head     string  AuditHead JSON                    compared, set
--   K.waiting  list    AuditDraft JSON                   the appended ones are removed
--   K.trails[]  lists  places of an agent's entries      appended; of each entry with an agentId
--   ARGV[1] the head they were chained to, or ''  ARGV[2] the head after them
--   ARGV[3] seq of the first  ARGV[4] how many were waiting  ARGV[5..] entry JSON, mac, alternating
-- ) -> {"appended"} | {"late", the current head} | {"broken"} (late, broken: nothing was written)
check_arguments(6, math.huge, 2)
object_of('head', ARGV[2])
local seq = whole_of('seq', ARGV[3], 1, MOST_MS)
local waited = whole_of('how many waited', ARGV[4], 0, (#ARGV - 4) / 2)
local trail_of, count = {}, 0
for position = 5, #ARGV, 2 do
  local agent_id = object_of('entry', ARGV[position]).agentId
  if type(agent_id) == 'string' and agent_id ~= '' then
    count = count + 1
    trail_of[position] = K.trails[count]
  end
  if not string.find(ARGV[position + 1], '^%x+$') then refuse_argument('mac', 'hex digits') end
end
if count ~= #K.trails then refuse_argument('trails', 'as many as there are entries of agents') end
local head = redis.call('GET', K.head) or ''
if head ~= ARGV[1] then
  -- The reply to the first call may have been lost: the entries are then already stored. The last
  -- entry shows it; the first one may be a draft that another process appended.
  local last = string.format('%.0f-0', seq + (#ARGV - 6) / 2)
  local there = redis.call('XRANGE', K.audit, last, last)[1]
  if there and there[2][4] == ARGV[#ARGV] then return { 'appended' } end
  return { 'late', head }
end
-- Entries after the head are foreign; a stream without a head cannot be continued.
if #redis.call('XRANGE', K.audit, whole(seq) .. '-0', '+', 'COUNT', 1) > 0 then return { 'broken' } end
for position = 5, #ARGV, 2 do
  local id = string.format('%.0f-0', seq + (position - 5) / 2)
  redis.call('XADD', K.audit, id, 'entry', ARGV[position], 'mac', ARGV[position + 1])
  if trail_of[position] then add_to_trail(trail_of[position], 'a' .. id) end
end
redis.call('SET', K.head, ARGV[2])
redis.call('LTRIM', K.waiting, waited, -1)
return { 'appended' }
