-- Ends open model requests of an agent: the tokens that they did not use are free again. Their usage
-- is charged before.
--
-- close_requests(
--   K.budget.*  see _budget.lua    reservation and open requests written
--   ARGV[1] agentId  ARGV[2] session of the requests  ARGV[3] requests, JSON list
-- ) -> 1; 0 if the session has no open requests
check_arguments(3)
local agent_id = text_of('agentId', ARGV[1])
local session = text_of('session', ARGV[2])
local requests = texts_of('requests', ARGV[3])
local open = open_requests(K.budget, agent_id)
if not open or open.session ~= session then return 0 end
close_requests(K.budget, agent_id, requests)
return 1
