-- Sets limits of the budget with immediate effect: waiting agents are enqueued for free slots, and a
-- change of the day's status is reported. Without limits it only checks again, as after midnight.
--
-- set_limits(
--   K.events    stream                    appended if the day's status changed
--   K.budget.*  see _budget.lua           limits written
--   ARGV[1] limits, JSON: {limit: value, or null for the value of the settings}; mode is a text
--   ARGV[2] event JSON: {timestamp}  ARGV[3] channel  ARGV[4] stream cap
-- ) -> 1
local MOST = { daily = MOST_TOKENS, agent = MOST_TOKENS, reservation = MOST_TOKENS, concurrency = 1e6, time = MOST_COUNT,
  dailyUsd = MOST_COST_USD, agentUsd = MOST_COST_USD }
local FORMAT = { dailyUsd = '%.6f', agentUsd = '%.6f' }
local MODES = { hard = true, soft = true }
check_arguments(4)
local limits = object_of('limits', ARGV[1])
local mode = limits.mode
limits.mode = nil
if mode ~= nil and mode ~= cjson.null and not MODES[mode] then
  refuse_argument('limits.mode', 'null, `hard` or `soft`')
end
for name, value in pairs(limits) do
  if not MOST[name] then refuse_argument('limits.' .. name, 'left out: there is no such limit') end
  if value ~= cjson.null and not (type(value) == 'number' and value > 0 and value <= MOST[name]) then
    refuse_argument('limits.' .. name, 'null, or a number above 0 and up to ' .. whole(MOST[name]))
  end
end
local event = object_of('event', ARGV[2])
check_fields('event', event, { timestamp = 'text' })
local channel = text_of('channel', ARGV[3])
local cap = whole_of('stream cap', ARGV[4], 1, MOST_COUNT)
for name, value in pairs(limits) do
  if value == cjson.null then
    redis.call('HDEL', K.budget.limits, name)
  else
    redis.call('HSET', K.budget.limits, name, string.format(FORMAT[name] or '%.0f', value))
  end
end
if mode == cjson.null then
  redis.call('HDEL', K.budget.limits, 'mode')
elseif mode then
  redis.call('HSET', K.budget.limits, 'mode', mode)
end
report_status(K.budget, K.events, channel, cap, event)
call_waiting(K.budget)
return 1
