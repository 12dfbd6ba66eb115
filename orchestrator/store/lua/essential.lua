-- Runs one command on one key; as a script it runs at Valkey's maxmemory too.
--
-- essential(
--   K.key  the key of the command  whatever the command does
--   ARGV[1] name of the command  ARGV[2..] its other arguments
-- ) -> its reply
check_arguments(1, math.huge)
return redis.call(text_of('command', ARGV[1]), K.key, unpack(ARGV, 2))
