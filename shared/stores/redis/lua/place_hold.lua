-- Place a hold that is yet to be granted, or an extension, on all claims or on none.
-- KEYS: a hold key a claim, then an intents key a claim.
-- ARGV: token, digest of the name, how long it may take to be granted (ms), longest hold (ms).
-- Value: token, digest, when it was placed and, once it is, when it was first granted (Unix ms).
-- Returns nothing where another token holds a claim, else when each was placed, and the intents that are there.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local count, placed, granted = #KEYS / 2, {}, {}
for i = 1, count do
  local token, at, since = string.match(redis.call('GET', KEYS[i]) or '', '^(%S+) %S+ (%d+) ?(%d*)$')
  if token and token ~= ARGV[1] then
    return {}
  end
  placed[i], granted[i] = tonumber(at or now), tonumber(since)
end
local intents, seen = {}, {}
for i = 1, count do
  local ttl, value = tonumber(ARGV[3]), string.format('%s %s %.0f', ARGV[1], ARGV[2], placed[i])
  if granted[i] then
    value = string.format('%s %.0f', value, granted[i])
    ttl = math.min(ttl, granted[i] + ARGV[4] - now)
  end
  ttl = math.max(ttl, redis.call('PTTL', KEYS[i]), 1) -- what stands is never shortened
  redis.call('SET', KEYS[i], value, 'PX', string.format('%.0f', ttl))
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[count + i], string.format('(%.0f', now), '+inf')) do
    if not seen[id] then
      seen[id] = true
      table.insert(intents, id)
    end
  end
end
return {placed, intents}
