-- Records what the capture of one attempt retained and left out. Status, phase, lease, lines and
-- indexes stay as they are, so that it is legal in every state, also for an earlier attempt.
--
-- record_capture(
--   K.agent  string  AgentState JSON  read, written
--   ARGV[1] "captured"; or only for `change`: "continued" (the present attempt continues from it),
--           "apart" (the present attempt cannot)
--   ARGV[2] report, JSON: {attempt, leftOut?: [{reason, count, paths?}], unfinished?: [text],
--           change? (the commit of the bundle, if there is one), retained?: [{ref, commit, kind, subject?}],
--           starting?: [phase] (those of an agent whose next attempt has not begun its work)}
--   ARGV[3] the most entries of `leftOut`  ARGV[4] the most paths of one entry
-- ) -> "absent" | "recorded"
check_arguments(4)
local what = ARGV[1]
if not contains({ 'captured', 'continued', 'apart' }, what) then
  refuse_argument('what', 'captured, continued or apart')
end
local report = object_of('report', ARGV[2])
local function each(name, kinds)
  local list = report[name] or {}
  if type(list) ~= 'table' then refuse_argument('report.' .. name, 'a list') end
  local count = 0
  for _ in pairs(list) do count = count + 1 end
  if count ~= #list then refuse_argument('report.' .. name, 'a list') end
  for _, one in ipairs(list) do
    if type(one) ~= 'table' then refuse_argument('report.' .. name, 'a list of objects') end
    check_fields('report.' .. name, one, kinds)
  end
  return list
end
local left_out = each('leftOut', { reason = 'text', count = 'count', paths = 'texts?' })
local retained = each('retained', { ref = 'text', commit = 'text', kind = 'text', subject = 'text?' })
report.leftOut, report.retained = nil, nil
check_fields('report', report, { attempt = 'count', unfinished = 'texts?', change = 'text?', starting = 'texts?' })
if what ~= 'captured' then text_of('report.change', report.change) end
local most_entries = whole_of('most entries', ARGV[3], 1, MOST_COUNT)
local most_paths = whole_of('most paths', ARGV[4], 1, MOST_COUNT)

local starting = report.starting or {}
local agent = record_of(K.agent)
if not agent then return 'absent' end
local now_is = finite(agent.attempt) or 0

-- Adds the entries of the newer one to the older one's, or the other way round: the sum of both.
local function fold(older, newer)
  local paths, known = {}, {}
  for _, list in ipairs({ newer.paths or {}, older.paths or {} }) do
    for _, path in ipairs(list) do
      if not known[path] and #paths < most_paths then paths[#paths + 1], known[path] = path, true end
    end
  end
  newer.count = (finite(newer.count) or 0) + (finite(older.count) or 0)
  newer.paths = #paths > 0 and paths or nil
end

-- Every attempt's entries stay: its workspace is gone with what it left out. A path that a newer
-- attempt names for the same reason is named once.
local function merged_left_out()
  local all = {}
  for _, one in ipairs(type(agent.leftOut) == 'table' and agent.leftOut or {}) do
    if finite(one.attempt) ~= report.attempt then all[#all + 1] = one end
  end
  for _, one in ipairs(left_out) do
    one.attempt = report.attempt
    all[#all + 1] = one
  end
  table.sort(all, function(one, other)
    local mine, others = finite(one.attempt) or 0, finite(other.attempt) or 0
    if mine ~= others then return mine > others end
    return one.reason < other.reason
  end)
  local kept, named = {}, {}
  for _, one in ipairs(all) do
    local known = named[one.reason] or {}
    named[one.reason] = known
    local paths = {}
    for _, path in ipairs(one.paths or {}) do
      if known[path] then one.count = one.count - 1 else paths[#paths + 1] = path end
    end
    for _, path in ipairs(paths) do known[path] = true end
    one.paths = #paths > 0 and paths or nil
    if one.count > 0 then kept[#kept + 1] = one end
  end
  -- The oldest entries become one with the next newer of their reason, or with the oldest of all.
  while #kept > most_entries do
    local oldest = table.remove(kept)
    local into = kept[#kept]
    for at = #kept, 1, -1 do
      if kept[at].reason == oldest.reason then into = kept[at] break end
    end
    if into.reason ~= oldest.reason then into.reason = 'several reasons' end
    fold(oldest, into)
  end
  return #kept > 0 and kept or nil
end

-- Of the entries so far those that stay. One with an attempt stands for the change of that attempt,
-- which the newest bundle does not contain; the others are commits in the newest bundle.
local function retained_where(stays)
  local kept = {}
  for _, one in ipairs(type(agent.retained) == 'table' and agent.retained or {}) do
    if stays(finite(one.attempt), one.commit) then kept[#kept + 1] = one end
  end
  return kept
end

local function with_own_entry(kept)
  local number = whole(report.attempt)
  kept[#kept + 1] = {
    ref = 'attempt-' .. number, commit = report.change, kind = 'tree', attempt = report.attempt,
    subject = 'What attempt ' .. number .. ' left',
  }
  return kept
end

local kept
if what == 'continued' then
  kept = retained_where(function(attempt, commit)
    return attempt ~= report.attempt or commit ~= report.change
  end)
elseif what == 'apart' then
  -- Its commits are in no newer bundle, so the entry stands for them too.
  kept = with_own_entry(retained_where(function(attempt)
    return attempt ~= nil and attempt ~= report.attempt
  end))
elseif report.change then
  -- Before a newer attempt works, it may yet continue from this change.
  local is_newest = report.attempt >= (finite(agent.retainedAttempt) or 0)
    and (report.attempt >= now_is or contains(starting, agent.phase))
  kept = retained_where(function(attempt)
    if attempt == nil then return not is_newest end
    return attempt ~= report.attempt
  end)
  if is_newest then
    for at, one in ipairs(retained) do table.insert(kept, at, one) end
    agent.retainedAttempt = report.attempt
  end
  if report.attempt < now_is then with_own_entry(kept) end
end

if what == 'captured' then
  agent.leftOut = merged_left_out()
  if report.attempt >= now_is then agent.unfinished = report.unfinished end
end
if kept then agent.retained = #kept > 0 and kept or nil end
redis.call('SET', K.agent, encoded(K.agent, agent))
return 'recorded'
