-- Grant a hold: it gets its full time. On all claims, if each is still held as it was placed.
-- KEYS: a hold key a claim, then an intents key a claim.
-- ARGV: token, hold (ms), longest hold (ms), then when each claim was placed (Unix ms).
-- Returns when the hold ends (Unix ms) and in how many ms; nothing where a claim was lost, used up or withdrawn.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local count, digests, granted = #KEYS / 2, {}, {}
for i = 1, count do
  local token, digest, at, since = string.match(redis.call('GET', KEYS[i]) or '', '^(%S+) (%S+) (%d+) ?(%d*)$')
  if token ~= ARGV[1] or at ~= ARGV[i + 3] then
    return {}
  end
  digests[i], granted[i] = digest, tonumber(since)
end
local earliest = math.huge
for i = 1, count do
  local since = granted[i] or now
  local expires = math.min(now + ARGV[2], since + ARGV[3])
  if granted[i] then -- what was granted before is never shortened
    expires = math.max(expires, now + redis.call('PTTL', KEYS[i]))
  end
  local value = string.format('%s %s %s %.0f', ARGV[1], digests[i], ARGV[i + 3], since)
  redis.call('SET', KEYS[i], value, 'PXAT', string.format('%.0f', expires))
  earliest = math.min(earliest, expires)
end
return {earliest, earliest - now}
