#!lua flags=allow-oom
-- Read which resources of a site have holds, some at a time.
-- KEYS: the set of these resources, by the latest end of a hold.
-- ARGV: 1, the cursor ('0' at first).
-- Returns once the next cursor ('0' at the end), then the resources; a resource may occur twice.
local now = now_ms()
local expired = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now), 'LIMIT', 0, 1000)
if expired[1] then
  redis.call('ZREM', KEYS[1], unpack(expired))
end
local found = redis.call('ZSCAN', KEYS[1], ARGV[2], 'COUNT', 500)
local answer = {found[1]}
for i = 1, #found[2], 2 do
  if tonumber(found[2][i + 1]) > now then
    answer[#answer + 1] = found[2][i]
  end
end
return {answer}
