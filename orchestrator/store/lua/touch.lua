-- Notes which files an agent has touched, and warns of each that another live agent of the same
-- repository has touched too, until the agent has been told of so many of that other one that a
-- further one is no news, and at most of so many others at once: files that all of them touch are
-- nobody's. What is kept of an agent, and so the cost of a call, has an end.
--
-- touch(
--   KEYS[1] touched       hash    agentId -> JSON {files: [path], told: {agentId: files}}    written
--   KEYS[2] event stream  stream                                   appended for each other agent
--   ARGV[1] agentId  ARGV[2] paths, JSON list  ARGV[3] event JSON {type, timestamp, taskId, …}
--   ARGV[4] channel  ARGV[5] stream cap  ARGV[6] ttl of the hash, s
-- ) -> how many warnings were given
local MOST_FILES = 200
-- In an event, and until no more is told of a pair.
local MOST_TOLD = 20
local MOST_WARNINGS = 20

local function noted(agent_id)
  local document = redis.call('HGET', KEYS[1], agent_id)
  -- A list without names is what an older version left.
  local found = document and cjson.decode(document) or {}
  return { files = found.files or {}, told = found.told or {} }
end

local mine = noted(ARGV[1])
local is_known, is_new = {}, {}
for _, path in ipairs(mine.files) do is_known[path] = true end
for _, path in ipairs(cjson.decode(ARGV[2])) do
  if not is_known[path] and #mine.files < MOST_FILES then
    mine.files[#mine.files + 1] = path
    is_new[path] = true
  end
end

local warnings = 0
for _, other in ipairs(next(is_new) and redis.call('HKEYS', KEYS[1]) or {}) do
  if warnings == MOST_WARNINGS then break end
  local told = mine.told[other] or 0
  if other ~= ARGV[1] and told < MOST_TOLD then
    local both, count = {}, 0
    for _, path in ipairs(noted(other).files) do
      if is_new[path] then
        count = count + 1
        if count <= MOST_TOLD then both[count] = path end
      end
    end
    if count > 0 then
      local event = cjson.decode(ARGV[3])
      event.other, event.files = other, both
      if count > #both then event.moreFiles = count - #both end
      announce(KEYS[2], ARGV[4], ARGV[5], event)
      mine.told[other] = told + count
      warnings = warnings + 1
    end
  end
end
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(mine))
redis.call('EXPIRE', KEYS[1], ARGV[6])
return warnings
