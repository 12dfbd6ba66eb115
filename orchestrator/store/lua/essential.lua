-- Runs one command of one key; as a script it may do so out of memory too.
--
-- essential(
--   KEYS[1] the command's key    ARGV[1] its name    ARGV[2..] its other arguments
-- ) -> its reply
return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))
