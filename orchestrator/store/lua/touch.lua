-- Notes which files an agent has touched, and warns once of each that another live agent of the same
-- repository has touched too.
--
-- touch(
--   KEYS[1] touched       hash    agentId -> JSON list of paths    written
--   KEYS[2] event stream  stream                                   appended for each new overlap
--   ARGV[1] agentId  ARGV[2] paths, JSON list  ARGV[3] event JSON {type, timestamp, taskId, …}
--   ARGV[4] channel  ARGV[5] stream cap  ARGV[6] ttl of the hash, s
-- ) -> how many warnings were given
local mine = {}
for _, path in ipairs(cjson.decode(ARGV[2])) do mine[path] = true end
local before = {}
local held = redis.call('HGET', KEYS[1], ARGV[1])
for _, path in ipairs(held and cjson.decode(held) or {}) do before[path] = true end

local warnings = 0
local all = redis.call('HGETALL', KEYS[1])
for position = 1, #all, 2 do
  if all[position] ~= ARGV[1] then
    local both = {}
    for _, path in ipairs(cjson.decode(all[position + 1])) do
      if mine[path] and not before[path] then both[#both + 1] = path end
    end
    if #both > 0 then
      local event = cjson.decode(ARGV[3])
      event.other, event.files = all[position], both
      announce(KEYS[2], ARGV[4], ARGV[5], event)
      warnings = warnings + 1
    end
  end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[6])
return warnings
