-- Registers an agent, reserves its tokens and enqueues its message: all of it, or nothing.
--
-- register(
--   KEYS[1] agent              string  AgentState JSON                    written
--   KEYS[2] task               string  TaskState JSON                     written
--   KEYS[3] request            string  SpawnRequest JSON                  written
--   KEYS[4] agents             zset    agentId -> spawned ms              written
--   KEYS[5] status index       zset    agentId -> entered ms              written
--   KEYS[6] task's agents      zset    agentId -> spawned ms              written
--   KEYS[7] event stream       stream                                     appended
--   KEYS[8] queue              list    kombu's list of this priority      pushed
--   KEYS[9] halt               string  Halt JSON                          read
--   KEYS[10..27] budget        as _budget.lua says                        reserved
--   KEYS[28] audit waiting     list    AuditDraft JSON                    appended
--   KEYS[29] idempotency       string  "<digest> <agentId>"               optional
--   ARGV[1] agent JSON   ARGV[2] task JSON   ARGV[3] request JSON   ARGV[4] agentId
--   ARGV[5] now, ms      ARGV[6] envelope    ARGV[7] event JSON     ARGV[8] channel
--   ARGV[9] stream cap   ARGV[10] digest of the body                ARGV[11] idempotency ttl, s
--   ARGV[12] audit draft JSON
-- ) -> {"registered"|"repeated"|"conflict", agentId} | {"halted", Halt JSON}
--      | {"exhausted", the day's limit, used, reserved, asked}
local agent_id = ARGV[4]
if KEYS[29] then
  local held = redis.call('GET', KEYS[29])
  if held then
    local digest, owner = string.match(held, '^(%S+) (%S+)$')
    return { digest == ARGV[10] and 'repeated' or 'conflict', owner }
  end
end
if redis.call('EXISTS', KEYS[1]) == 1 then
  return { 'repeated', agent_id }
end
local halt = redis.call('GET', KEYS[9])
if halt then return { 'halted', halt } end
local lacking = reserve(budget_of(KEYS, 10), agent_id)
if lacking then return { 'exhausted', unpack(lacking) } end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], ARGV[2])
redis.call('SET', KEYS[3], ARGV[3])
redis.call('ZADD', KEYS[4], ARGV[5], agent_id)
redis.call('ZADD', KEYS[5], ARGV[5], agent_id)
redis.call('ZADD', KEYS[6], ARGV[5], agent_id)
if KEYS[29] then
  redis.call('SET', KEYS[29], ARGV[10] .. ' ' .. agent_id, 'EX', ARGV[11])
end
redis.call('LPUSH', KEYS[8], ARGV[6])
redis.call('RPUSH', KEYS[28], ARGV[12])
announce(KEYS[7], ARGV[8], ARGV[9], cjson.decode(ARGV[7]))
return { 'registered', agent_id }
