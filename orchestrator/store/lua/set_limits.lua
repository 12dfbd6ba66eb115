-- Sets limits of the budget and lets them work at once: who waits for a place is called, and how
-- the day stands is told. With no limits it only looks again, as after midnight.
--
-- set_limits(
--   KEYS[1] event stream  stream                    appended if the day's status changed
--   KEYS[2..19] budget    as _budget.lua says       limits written
--   ARGV[1] limits, JSON: {limit: value, or null for what the settings say}
--   ARGV[2] event JSON: {timestamp}  ARGV[3] channel  ARGV[4] stream cap
-- ) -> 1
local budget = budget_of(KEYS, 2)
for name, value in pairs(cjson.decode(ARGV[1])) do
  if value == cjson.null then
    redis.call('HDEL', budget.limits, name)
  else
    redis.call('HSET', budget.limits, name, whole(value))
  end
end
tell_status(budget, KEYS[1], ARGV[3], ARGV[4], cjson.decode(ARGV[2]))
call_waiting(budget)
return 1
