-- Prelude of every script of this folder. The loader puts it before each script and before the
-- generated table `K` of the script's keys, which the header of the script declares.
--
-- A script reads all its arguments with the functions below before its first write, so that a
-- malformed argument changes nothing. The functions end the script with an error reply:
--   BADARG <script>: <argument> ...   an argument of the caller is malformed
--   BADRECORD <key> ...               the record stored under this key is malformed
local MOST_MS = 1e15
local MOST_COUNT = 1e9
local MOST_TRAIL = 1000

local function refuse_argument(name, want)
  error({ err = 'BADARG ' .. SCRIPT .. ': ' .. name .. ' must be ' .. want .. '; nothing was written' })
end

-- Returns the number of a stored value; nil if it is not a finite number.
local function finite(value)
  if type(value) == 'string' and not string.find(value, '^[%d.eE+-]+$') then return nil end
  local number = tonumber(value)
  if number and number == number and number > -math.huge and number < math.huge then return number end
end

local function whole(number)
  return string.format('%.0f', number)
end

local function check_arguments(least, most, step)
  if #ARGV < least or #ARGV > (most or least) or (#ARGV - least) % (step or 1) ~= 0 then
    refuse_argument('the number of arguments', 'that of its header')
  end
end

local function text_of(name, value)
  if type(value) ~= 'string' or value == '' then refuse_argument(name, 'a text') end
  return value
end

local function is_whole(value, least, most)
  return type(value) == 'number' and value == math.floor(value) and value >= least and value <= most
end

-- Returns an argument as a whole number.
local function whole_of(name, text, least, most)
  local number = string.match(text, '^%d+$') and tonumber(text)
  if not is_whole(number, least, most) then
    refuse_argument(name, 'a whole number from ' .. whole(least) .. ' to ' .. whole(most))
  end
  return number
end

-- Returns the name of a field that JSON cannot represent, if any: it could not be written back.
local function field_not_finite(value)
  for field, inner in pairs(value) do
    local kind = type(inner)
    if kind == 'number' then
      if inner - inner ~= 0 then return field end
    elseif kind == 'table' then
      local found = field_not_finite(inner)
      if found then return field .. '.' .. found end
    end
  end
end

-- Returns a JSON object as a table; nil for any other value.
local function parsed_object(document)
  if type(document) ~= 'string' or not string.find(document, '^%s*{') then return nil end
  local is_json, value = pcall(cjson.decode, document)
  return is_json and type(value) == 'table' and value or nil
end

-- Returns an argument that is a JSON object, as a table.
local function object_of(name, document)
  local value = parsed_object(document)
  if not value then refuse_argument(name, 'a JSON object') end
  local field = field_not_finite(value)
  if field then refuse_argument(name .. '.' .. field, 'finite') end
  return value
end

-- Returns an argument that is a JSON list of strings, as a table.
local function texts_of(name, document)
  local is_json, value = pcall(cjson.decode, document)
  if not is_json or not string.find(document, '^%s*%[') then
    refuse_argument(name, 'a JSON list of texts')
  end
  for _, item in ipairs(value) do text_of(name, item) end
  return value
end

-- Whether a text begins and ends as a JSON object does; for texts too long to parse.
local function check_braces(name, document)
  if not string.find(document, '^{.*}$') then refuse_argument(name, 'a JSON object') end
end

local IS_OF = {
  text = function(value) return type(value) == 'string' and value ~= '' end,
  flag = function(value) return type(value) == 'boolean' end,
  count = function(value) return is_whole(value, 0, MOST_COUNT) end,
  ms = function(value) return is_whole(value, 0, MOST_MS) end,
  object = function(value) return type(value) == 'table' and value[1] == nil end,
  texts = function(value)
    if type(value) ~= 'table' or next(value) and not value[1] then return false end
    for _, item in ipairs(value) do
      if type(item) ~= 'string' then return false end
    end
    return true
  end,
}

for _, kind in ipairs({ 'text', 'flag', 'count', 'ms', 'object', 'texts' }) do
  local is_of = IS_OF[kind]
  IS_OF[kind .. '?'] = function(value) return value == nil or is_of(value) end
end

-- Refuses an object with a field of another kind ('?': optional), or with an unknown field.
local function check_fields(name, object, kinds)
  for field, kind in pairs(kinds) do
    local value = object[field]
    if not IS_OF[kind](value) then
      refuse_argument(name .. '.' .. field, 'of the kind `' .. kind .. '`')
    end
  end
  for field in pairs(object) do
    if not kinds[field] then refuse_argument(name .. '.' .. field, 'left out: it has no such field') end
  end
end

-- Returns the stored JSON object of a key, and its text; nil if the key is absent.
local function record_of(key)
  local document = redis.call('GET', key)
  if not document then return nil end
  local record = parsed_object(document)
  if not record then error({ err = 'BADRECORD ' .. key .. ' holds no JSON object; nothing was written' }) end
  return record, document
end

-- Returns the stored JSON object of a key; nil also for a malformed one, which must block no agent.
local function readable_record(key)
  local document = redis.call('GET', key)
  return document and parsed_object(document) or nil
end

-- Returns a table as JSON, before the first write; refuses what cannot be written back.
local function encoded(key, record)
  local is_json, document = pcall(cjson.encode, record)
  if not is_json then error({ err = 'BADRECORD ' .. key .. ' cannot be written back; nothing was written' }) end
  return document
end

-- Appends an entry to the trail of an agent: `e` with the id of an event, or `a` with that of an
-- audit entry. An agent whose data was removed has no trail, and gets none.
local function add_to_trail(trail, entry)
  if redis.call('RPUSHX', trail, entry) > MOST_TRAIL then redis.call('LTRIM', trail, -MOST_TRAIL, -1) end
end

-- Appends an event (a table) to the capped stream and publishes the same JSON, in the transaction
-- that changes the state. Returns the entry for a trail, and appends it to the given one.
local function announce(stream, channel, cap, event, trail)
  local json = cjson.encode(event)
  local entry = 'e' .. redis.call('XADD', stream, 'MAXLEN', '~', cap, '*', 'event', json)
  redis.call('PUBLISH', channel, json)
  if trail then add_to_trail(trail, entry) end
  return entry
end

-- Moves an agent to the index of another status, and to the list of it in the order of spawns;
-- `index` and `listed` hold a key for each status, `agents` is the list of all.
local function enter_status(index, listed, agents, agent_id, before, after, entered_ms)
  if index[before] then
    redis.call('ZREM', index[before], agent_id)
    redis.call('ZREM', listed[before], agent_id)
  end
  redis.call('ZADD', index[after], whole(entered_ms), agent_id)
  local spawned = redis.call('ZSCORE', agents, agent_id)
  if spawned then redis.call('ZADD', listed[after], spawned, agent_id) end
end

local function contains(list, value)
  for _, item in ipairs(list) do
    if item == value then return true end
  end
  return false
end

local function clock_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Who holds an agent beside its attempt's number; as `holder_of` in transition.py.
local function holder_of(agent)
  return (agent.worker or '') .. ' ' .. (agent.workerProcess or '')
end
