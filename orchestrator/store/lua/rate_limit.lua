-- Takes one token out of a bucket that fills evenly, by Valkey's clock.
--
-- rate_limit(
--   KEYS[1] bucket  string  "<tokens> <ms of the last take>"   read, written; lapses when full
--   ARGV[1] size: how many fit  ARGV[2] ms in which an empty one fills
-- ) -> 0 (taken) | ms until there is one (nothing was taken)
local size, fills_in = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local tokens = size
local held = redis.call('GET', KEYS[1])
if held then
  local left, at = string.match(held, '^(%S+) (%S+)$')
  tokens = math.min(size, tonumber(left) + math.max(0, now - tonumber(at)) * size / fills_in)
end
if tokens < 1 then return math.ceil((1 - tokens) * fills_in / size) end
redis.call('SET', KEYS[1], string.format('%.6f %d', tokens - 1, now), 'PX', fills_in)
return 0
