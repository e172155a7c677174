#!lua flags=allow-oom
-- Which resources of a site have holds, some at a time.
-- KEYS: the set of these resources, by when the last hold of each ends at the latest.
-- ARGV: 1, where to go on ('0' at first).
-- Returns, once, where to go on ('0' if that was all), then the resources; one may come twice.
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
