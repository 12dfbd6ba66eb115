-- Prelude of every script of this folder (it is put before each).
--
-- announce(stream, channel, cap, event): appends an event (a table) to the capped stream and
-- publishes the same JSON; both happen in the transaction of the state they tell of.
local function announce(stream, channel, cap, event)
  local json = cjson.encode(event)
  redis.call('XADD', stream, 'MAXLEN', '~', cap, '*', 'event', json)
  redis.call('PUBLISH', channel, json)
end

-- Who holds an agent beside its attempt's number; as `holder_of` in transition.py.
local function holder_of(agent)
  return (agent.worker or '') .. ' ' .. (agent.workerProcess or '')
end
