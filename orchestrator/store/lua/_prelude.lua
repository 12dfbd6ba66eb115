-- Prelude of every script of this folder (it is put before each).
--
-- announce(stream, channel, cap, event): appends an event (a table) to the capped stream and
-- publishes the same JSON; both happen in the transaction of the state they tell of.
local function announce(stream, channel, cap, event)
  local json = cjson.encode(event)
  redis.call('XADD', stream, 'MAXLEN', '~', cap, '*', 'event', json)
  redis.call('PUBLISH', channel, json)
end
