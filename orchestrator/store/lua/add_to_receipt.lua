-- Adds facts to the receipt of a kill; the first confirmation is final.
--
-- add_to_receipt(
--   K.receipt      string  Receipt JSON            written
--   K.unconfirmed  zset    agentId -> killed ms    the agent is removed once confirmed
--   K.acks         stream                          appended when it becomes confirmed, or unproven
--   ARGV[1] agentId  ARGV[3] acks cap
--   ARGV[2] facts, JSON object; `endedMsAgo` (time since the last process end) is not stored
-- ) -> "absent" | "added" | "again" (already confirmed: only missing facts are added)
check_arguments(3)
local agent_id = text_of('agentId', ARGV[1])
local facts = object_of('facts', ARGV[2])
local cap = whole_of('acks cap', ARGV[3], 1, MOST_COUNT)
local ended_ms_ago = facts.endedMsAgo or 0
if not IS_OF.ms(math.floor(finite(ended_ms_ago) or -1)) then
  refuse_argument('facts.endedMsAgo', 'a number of milliseconds')
end
if facts.confirmed ~= nil and type(facts.confirmed) ~= 'boolean' then
  refuse_argument('facts.confirmed', 'of the kind `flag`')
end
if facts.unproven ~= nil and type(facts.unproven) ~= 'string' then
  refuse_argument('facts.unproven', 'of the kind `text`')
end
facts.endedMsAgo = nil
local receipt = record_of(K.receipt)
if not receipt then return 'absent' end
local was_confirmed = receipt.confirmed
local is_news = facts.unproven and not was_confirmed and receipt.unproven ~= facts.unproven
if facts.confirmed and not was_confirmed then
  local now = clock_ms()
  local since_ms = now - (finite(receipt.clockMs) or now)
  -- A process that ended before the request was not the last one.
  receipt.durationMs = ended_ms_ago <= since_ms and since_ms - ended_ms_ago or since_ms
  receipt.survivors, receipt.unproven = nil, nil -- of an earlier check
end
if is_news then receipt.survivors = nil end -- a later check found none
for name, value in pairs(facts) do
  if not was_confirmed or receipt[name] == nil then receipt[name] = value end
end
redis.call('SET', K.receipt, encoded(K.receipt, receipt))
if receipt.confirmed then redis.call('ZREM', K.unconfirmed, agent_id) end
if (receipt.confirmed and not was_confirmed) or is_news then
  redis.call('XADD', K.acks, 'MAXLEN', '~', cap, '*', 'agent', agent_id)
end
return was_confirmed and 'again' or 'added'
