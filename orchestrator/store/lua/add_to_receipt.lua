-- Adds what was seen to the receipt of a kill; the first to confirm it is the one that counts.
--
-- add_to_receipt(
--   KEYS[1] receipt      string  Receipt JSON            written
--   KEYS[2] unconfirmed  zset    agentId -> killed ms    the agent is removed once confirmed
--   KEYS[3] acks         stream                          appended when it becomes confirmed
--   ARGV[1] agentId  ARGV[3] acks cap
--   ARGV[2] facts, JSON object; with `endedMsAgo` (how long ago the last death was) no fact itself
-- ) -> "absent" | "added" | "again" (it was confirmed before; only what was not yet said is added)
local document = redis.call('GET', KEYS[1])
if not document then return 'absent' end
local receipt = cjson.decode(document)
local facts = cjson.decode(ARGV[2])
local ended_ms_ago = facts.endedMsAgo or 0
facts.endedMsAgo = nil
local was_confirmed = receipt.confirmed
if facts.confirmed and not was_confirmed then
  local time = redis.call('TIME')
  local since_ms = time[1] * 1000 + math.floor(time[2] / 1000) - receipt.clockMs
  -- What died before the request was not the last of it.
  receipt.durationMs = ended_ms_ago <= since_ms and since_ms - ended_ms_ago or since_ms
  receipt.survivors = nil -- whoever was left at an earlier look
end
for name, value in pairs(facts) do
  if not was_confirmed or receipt[name] == nil then receipt[name] = value end
end
redis.call('SET', KEYS[1], cjson.encode(receipt))
if receipt.confirmed then redis.call('ZREM', KEYS[2], ARGV[1]) end
if receipt.confirmed and not was_confirmed then
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[3], '*', 'agent', ARGV[1])
end
return was_confirmed and 'again' or 'added'
