-- Records the files that an agent has changed. Warns of each file that another active agent of the
-- same repository has changed too: one event for each of the two agents. Warnings about a pair stop after a number of files, and one call
-- warns of a limited number of other agents: files that all agents change are no news. These limits
-- bound the stored data per agent and the cost of a call.
--
-- touch(
--   K.touched  hash    agentId -> JSON {files: [path], reported: {agentId: files}, taskId,
--                      attempt, phase}                                              written
--   K.events   stream                                   appended twice for each other agent
--   K.trail    list    places of the agent's events     appended
--   K.trails[]  lists  the same of each other agent     appended
--   ARGV[1] agentId  ARGV[2] paths, JSON list  ARGV[3] event JSON {type, timestamp, taskId, …}
--   ARGV[4] channel  ARGV[5] stream cap  ARGV[6] ttl of the hash, s
--   ARGV[7] agentIds of the trails, JSON list
-- ) -> the number of other agents that share a file
local MOST_FILES = 200
-- The limit of files in an event and in the warnings about a pair.
local MOST_REPORTED = 20
local MOST_WARNINGS = 20

check_arguments(7)
local agent_id = text_of('agentId', ARGV[1])
local paths = texts_of('paths', ARGV[2])
local given = object_of('event', ARGV[3])
text_of('event.type', given.type)
local channel = text_of('channel', ARGV[4])
local cap = whole_of('stream cap', ARGV[5], 1, MOST_COUNT)
local ttl_s = whole_of('ttl', ARGV[6], 1, MOST_COUNT)

local others = texts_of('others', ARGV[7])
if #others ~= #K.trails then refuse_argument('others', 'as many as there are trails') end
local trail_of = {}
for number, other in ipairs(others) do trail_of[other] = K.trails[number] end

local function table_of(value)
  return type(value) == 'table' and value or {}
end

local function recorded(name)
  -- A malformed record counts as empty; a list without names comes from an older version.
  local found = parsed_object(redis.call('HGET', K.touched, name)) or {}
  return {
    files = table_of(found.files),
    reported = table_of(found.reported),
    taskId = type(found.taskId) == 'string' and found.taskId or nil,
    attempt = finite(found.attempt),
    phase = type(found.phase) == 'string' and found.phase or nil,
  }
end

local mine = recorded(agent_id)
mine.taskId, mine.attempt, mine.phase = given.taskId, given.attempt, given.phase
local is_known, is_new = {}, {}
for _, path in ipairs(mine.files) do is_known[path] = true end
for _, path in ipairs(paths) do
  if not is_known[path] and #mine.files < MOST_FILES then
    mine.files[#mine.files + 1] = path
    is_new[path] = true
  end
end

local warnings = 0
for _, other in ipairs(next(is_new) and redis.call('HKEYS', K.touched) or {}) do
  if warnings == MOST_WARNINGS then break end
  local reported = finite(mine.reported[other]) or 0
  if other ~= agent_id and reported < MOST_REPORTED then
    local both, count = {}, 0
    local theirs = recorded(other)
    for _, path in ipairs(theirs.files) do
      if is_new[path] then
        count = count + 1
        if count <= MOST_REPORTED then both[count] = path end
      end
    end
    if count > 0 then
      local event = cjson.decode(ARGV[3])
      event.other, event.files = other, both
      if count > #both then event.moreFiles = count - #both end
      announce(K.events, channel, cap, event, K.trail)
      event.agentId, event.other = other, agent_id
      event.taskId, event.attempt, event.phase = theirs.taskId, theirs.attempt, theirs.phase
      -- One that came after the caller has read the others has no trail here.
      announce(K.events, channel, cap, event, trail_of[other])
      mine.reported[other] = reported + count
      warnings = warnings + 1
    end
  end
end
redis.call('HSET', K.touched, agent_id, cjson.encode(mine))
redis.call('EXPIRE', K.touched, ttl_s)
return warnings
