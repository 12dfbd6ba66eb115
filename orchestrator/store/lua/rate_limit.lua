-- Takes one token from a bucket that fills at a constant rate, by Valkey's clock.
--
-- rate_limit(
--   K.bucket  string  "<tokens> <ms of the last call>"   read, written; expires when full
--   ARGV[1] size (tokens)  ARGV[2] ms in which an empty bucket fills
-- ) -> 0 (taken) | ms until a token is available (nothing was taken)
check_arguments(2)
local size = whole_of('size', ARGV[1], 1, MOST_COUNT)
local fills_in = whole_of('ms in which it fills', ARGV[2], 1, MOST_COUNT)
local now, tokens = clock_ms(), size
local held = redis.call('GET', K.bucket)
if held then
  local left, at = string.match(held, '^(%S+) (%S+)$')
  left, at = finite(left) or size, finite(at) or now
  tokens = math.min(size, left + math.max(0, now - at) * size / fills_in)
end
if tokens < 1 then return math.ceil((1 - tokens) * fills_in / size) end
redis.call('SET', K.bucket, string.format('%.6f %.0f', tokens - 1, now), 'PX', whole(fills_in))
return 0
