-- Grant holds: each gets its full time. On all of its claims, if each is still held as it was placed.
-- KEYS: for each a hold key a claim, then an intents key a claim; the claims of a resource stand together.
-- ARGV: hold (ms), longest hold (ms); then for each how many claims, token, digest of the name, and when each claim was
-- placed (Unix ms).
-- Returns for each when it ends (Unix ms) and in how many ms; nothing where a claim was lost, used up, released or
-- withdrawn.
local now = now_ms()
local answers, first, a = {}, 0, 3
while a <= #ARGV do
  local count, token, digest = tonumber(ARGV[a]), ARGV[a + 1], ARGV[a + 2]
  local granted, stands = {}, true
  for i = 1, count do
    local value = redis.call('GET', KEYS[first + i]) or ''
    local by, at, since = string.match(value, '^(%S+) %S+ (%d+) ?(%d*)$')
    if by ~= token or at ~= ARGV[a + 2 + i] then
      stands = false
      break
    end
    granted[i] = tonumber(since)
  end
  local answer = {}
  if stands then
    local earliest, latest = math.huge, 0
    local of, moments, ends = nil, {}, {} -- of one resource after the other
    for i = 1, count do
      local key, since = KEYS[first + i], granted[i] or now
      local expires = math.min(now + ARGV[1], since + ARGV[2])
      if granted[i] then -- what was granted before is never shortened
        expires = math.max(expires, now + redis.call('PTTL', key))
      end
      local value = string.format('%s %s %s %.0f', token, digest, ARGV[a + 2 + i], since)
      local expires_text = text(expires)
      redis.call('SET', key, value, 'PXAT', expires_text)
      local resource, moment = string.match(key, '}:(.*)/(.*)$')
      if of and resource ~= of then
        list(of, moments, ends, latest, now)
        moments, ends = {}, {}
      end
      of, earliest, latest = resource, math.min(earliest, expires), math.max(latest, expires)
      append(moments, moment, moment)
      append(ends, expires_text, moment)
    end
    list(of, moments, ends, latest, now)
    answer = {earliest, earliest - now}
  end
  answers[#answers + 1], first, a = answer, first + 2 * count, a + 3 + count
end
return answers
