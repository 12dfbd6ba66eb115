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
--   ARGV[10] price of the prompt  ARGV[11] of a token of output, nanodollars; '': it has no price
-- ) -> {"admitted", output of one answer, tokens}
--      | {"wait", reason}: open requests hold what it needs
--      | {"refused", reason}: the limits leave less than its prompt and the least output
--      | {"unpriced", ""}: dollars are limited, and its model has no price
--      | {"ended", ""}: the attempt does not hold the agent
-- The least output that a provider accepts as a limit.
local LEAST = 16
local MOST_ANSWERS = 1000
check_arguments(11)
local agent_id = text_of('agentId', ARGV[1])
local attempt = whole_of('attempt', ARGV[2], 0, MOST_COUNT)
local holder = text_of('holder', ARGV[3])
local session = text_of('session', ARGV[4])
local request = text_of('request', ARGV[5])
local prompt = whole_of('prompt', ARGV[6], 0, MOST_COUNT)
local asked = whole_of('output', ARGV[7], 1, MOST_COUNT)
local answers = whole_of('answers', ARGV[8], 1, MOST_ANSWERS)
local worth = whole_of('output worth', ARGV[9], 1, MOST_COUNT)
local has_price = ARGV[10] .. ARGV[11] ~= ''
local prompt_price = has_price and whole_of('price of the prompt', ARGV[10], 0, MOST_TOKENS) or 0
local output_price = has_price and whole_of('price of the output', ARGV[11], 0, MOST_COUNT) or 0

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
local most, most_usd, daily_usd = limit(budget, 'agent'), agent_limit_usd(budget, agent), limit(budget, 'dailyUsd')
if (most_usd or daily_usd) and not has_price then return { 'unpriced', '' } end

-- What agent and day have left of each kind of limit, without and with open requests.
local kinds = { {
  prompt = prompt, each = 1, text = whole,
  own = own, most = most, rest = most - own,
  used = used, daily = daily, reserved = all - extended, rest_of_day = daily - used - (all - extended - base),
  left = math.min(most - own, daily - used - all + mine) - held,
  words = { 'The agent has spent %s tokens, its limit is %s, and %s', "Of today's %s tokens %s are spent and %s reserved, and %s" },
} }
if most_usd or daily_usd then
  local cost, cost_of_day = cost_of(agent.usage) * NANO, spent_usd(budget) * NANO
  local rest = (most_usd or math.huge) * NANO - cost
  local rest_of_day = (daily_usd or math.huge) * NANO - cost_of_day
  local reserved_nano = finite(redis.call('HGET', budget.requests, DOLLARS)) or 0
  local mine_nano = open and sum_of(open.dollars) or 0
  kinds[2] = {
    prompt = prompt_price, each = output_price, text = function(nano) return usd(nano / NANO) end,
    own = cost, most = (most_usd or 0) * NANO, rest = rest,
    used = cost_of_day, daily = (daily_usd or 0) * NANO, reserved = 0, rest_of_day = rest_of_day,
    left = math.min(rest - mine_nano, rest_of_day - reserved_nano),
    words = { 'The agent has cost %s, its limit is %s, and %s', "Of today's %s, %s are spent and %s reserved, and %s" },
  }
end

local output = asked
for _, kind in ipairs(kinds) do
  local least = kind.prompt + answers * math.min(asked, LEAST) * kind.each
  local needs = string.format('its next request needs up to %s.', kind.text(least))
  if least > kind.rest then
    return { 'refused', string.format(kind.words[1], kind.text(kind.own), kind.text(kind.most), needs) }
  end
  if least > kind.rest_of_day then
    return { 'refused', string.format(kind.words[2], kind.text(kind.daily), kind.text(kind.used),
      kind.text(kind.reserved), needs) }
  end
  -- What would be left without open requests: only more than now is worth a wait.
  local later, left = math.min(kind.rest, kind.rest_of_day), kind.left
  local wanted = kind.prompt + answers * math.min(asked, worth) * kind.each
  if left < least or (left < later and left < wanted) then
    return { 'wait', string.format('Other requests hold the rest of the budget, and %s', needs) }
  end
  if kind.each > 0 then output = math.min(output, math.floor((left - kind.prompt) / (answers * kind.each))) end
end
open = open or { session = session, base = mine, held = {}, dollars = {} }
open.held[request] = prompt + answers * output
open.dollars[request] = has_price and prompt_price + answers * output * output_price or nil
write_reservation(budget, agent_id, math.max(mine, held_by(open)), open)
return { 'admitted', output }
