-- Admits one request to a model within the limits of its agent and of the day, and reserves for it
-- its prompt and the output that it may have.
--
-- admit_request(
--   K.agent     string  AgentState JSON    read
--   K.budget.*  see _budget.lua            reservation and open requests written
--   ARGV[1] agentId  ARGV[2] attempt  ARGV[3] holder: worker and process
--   ARGV[4] session: requests of the agent's other sessions are closed
--   ARGV[5] request: the same again replaces its reservation
--   ARGV[6] prompt, tokens  ARGV[7] output of one answer, tokens  ARGV[8] answers
--   ARGV[9] output of one answer, tokens, for which it waits while other requests are open
-- ) -> {"admitted", output of one answer, tokens}
--      | {"wait", reason}: open requests hold what it needs
--      | {"refused", reason}: the limits leave less than its prompt and the least output
--      | {"ended", ""}: the attempt does not hold the agent
-- The least output that a provider accepts as a limit.
local LEAST = 16
local MOST_ANSWERS = 1000
check_arguments(9)
local agent_id = text_of('agentId', ARGV[1])
local attempt = whole_of('attempt', ARGV[2], 0, MOST_COUNT)
local holder = text_of('holder', ARGV[3])
local session = text_of('session', ARGV[4])
local request = text_of('request', ARGV[5])
local prompt = whole_of('prompt', ARGV[6], 0, MOST_COUNT)
local asked = whole_of('output', ARGV[7], 1, MOST_COUNT)
local answers = whole_of('answers', ARGV[8], 1, MOST_ANSWERS)
local worth = whole_of('output worth', ARGV[9], 1, MOST_COUNT)

local agent = record_of(K.agent)
if not agent or agent.attempt ~= attempt or holder_of(agent) ~= holder then return { 'ended', '' } end
if agent.status ~= 'spawning' and agent.status ~= 'running' then return { 'ended', '' } end
local budget = K.budget
if not is_hard(budget) then return { 'admitted', asked } end

local open = open_requests(budget, agent_id)
if open then close_requests(budget, agent_id, open.session == session and { request } or nil) end
open = open_requests(budget, agent_id)
local mine, held = reserved(budget, agent_id), open and held_by(open) or 0
local base = open and open.base or mine
local own = type(agent.usage) == 'table' and finite(agent.usage.totalTokens) or 0
local daily, used, all = limit(budget, 'daily'), spent(budget), reserved(budget, TOTAL)
local extended = reserved_for_requests(budget)
local least = prompt + answers * math.min(asked, LEAST)
local needs = string.format('its next request needs up to %s.', whole(least))

local most = limit(budget, 'agent')
local rest = most - own
if least > rest then
  return { 'refused', string.format('The agent has spent %s tokens, its limit is %s, and %s',
    whole(own), whole(most), needs) }
end
local rest_of_day = daily - used - (all - extended - base)
if least > rest_of_day then
  return { 'refused', string.format("Of today's %s tokens %s are spent and %s reserved, and %s",
    whole(daily), whole(used), whole(all - extended), needs) }
end

local left = math.min(rest, daily - used - all + mine) - held
-- What would be left without open requests: only more than now is worth a wait.
local later = math.min(rest, rest_of_day)
if left < least or (left < later and left < prompt + answers * math.min(asked, worth)) then
  return { 'wait', string.format('Other requests hold the rest of the budget, and %s', needs) }
end
local output = math.min(asked, math.floor((left - prompt) / answers))
open = open or { session = session, base = mine, held = {} }
open.held[request] = prompt + answers * output
write_reservation(budget, agent_id, math.max(mine, held_by(open)), open)
return { 'admitted', output }
