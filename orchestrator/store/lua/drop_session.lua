-- Removes transcripts of an agent's session together with their entry in the index.
--
-- drop_session(
--   KEYS[1] index  zset  session or subpath -> ms   entry removed
--   KEYS[2..]      transcripts and what belongs to them   removed
--   ARGV[1] session or subpath
-- ) -> how many keys were removed
redis.call('ZREM', KEYS[1], ARGV[1])
local removed = 0
for position = 2, #KEYS do
  removed = removed + redis.call('UNLINK', KEYS[position])
end
return removed
