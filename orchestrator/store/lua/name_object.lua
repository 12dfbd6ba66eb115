-- Lets a record name an object, name it for another time, or name none. An object lives as long as
-- the longest of the records that name it; without one it is removed.
--
-- name_object(
--   K.record            string  ObjectRef JSON                 compared; set or removed
--   K.objects[].object  hash    number of a piece -> bytes     expiry set, or removed
--   K.objects[].names   zset    key that names it -> ms or inf  changed
--   ARGV[1] ObjectRef JSON of the first object, or '-' to name none  ARGV[2] number of its pieces
--   ARGV[3] lifetime of the record, ms; 0 for no end  ARGV[4] the beginning of the stored record
--   ARGV[5] the compared length, bytes
-- ) -> 1 | 0 (pieces are absent: nothing was written) | -1 (another record is stored: likewise)
check_arguments(5)
local document = text_of('reference', ARGV[1])
local pieces = whole_of('pieces', ARGV[2], 0, MOST_COUNT)
local lifetime = whole_of('lifetime', ARGV[3], 0, MOST_MS)
local compared = whole_of('compared length', ARGV[5], 1, MOST_COUNT)
local is_named = document ~= '-'
if is_named then
  object_of('reference', document)
  if not K.objects[1] then refuse_argument('the number of keys', 'that of its header') end
end
if redis.call('GETRANGE', K.record, 0, whole(compared - 1)) ~= ARGV[4] then return -1 end
local now = clock_ms()
if is_named then
  local first = K.objects[1]
  if document ~= ARGV[4] and redis.call('HLEN', first.object) ~= pieces then return 0 end
  redis.call('SET', K.record, document)
  if lifetime > 0 then redis.call('PEXPIREAT', K.record, whole(now + lifetime)) end
  redis.call('ZADD', first.names, lifetime > 0 and whole(now + lifetime) or 'inf', K.record)
else
  redis.call('UNLINK', K.record)
end
for position, one in ipairs(K.objects) do
  if not is_named or position > 1 then redis.call('ZREM', one.names, K.record) end
  redis.call('ZREMRANGEBYSCORE', one.names, '-inf', whole(now))
  local last = redis.call('ZREVRANGE', one.names, 0, 0, 'WITHSCORES')[2]
  for _, key in ipairs({ one.object, one.names }) do
    if not last then
      redis.call('UNLINK', key)
    elseif last == 'inf' then
      redis.call('PERSIST', key)
    else
      redis.call('PEXPIREAT', key, last)
    end
  end
end
return 1
