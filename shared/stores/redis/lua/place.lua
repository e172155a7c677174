-- Place or extend a hold on all instants of a slot, or on none.
-- KEYS: a hold key per instant, then an intents key per instant.
-- ARGV: token, digest of the name, hold in ms, longest hold in ms.
-- Returns nothing where another token holds an instant, else when the hold expires (Unix ms), in how many ms,
-- since when each instant is held (Unix ms), and the ids of the bookings that were under way.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local count, since, granted = #KEYS / 2, {}, {}
for i = 1, count do
  local token, first, mark = string.match(redis.call('GET', KEYS[i]) or '', '^(%S+) %S+ (%d+)(.*)$')
  if token and token ~= ARGV[1] then
    return {}
  end
  since[i], granted[i] = tonumber(first or now), mark or ''
end
local earliest, under_way = math.huge, {}
for i = 1, count do
  -- What was granted before is never shortened.
  local expires = math.max(math.min(now + ARGV[3], since[i] + ARGV[4]), now + redis.call('PTTL', KEYS[i]))
  local value = string.format('%s %s %.0f%s', ARGV[1], ARGV[2], since[i], granted[i])
  redis.call('SET', KEYS[i], value, 'PXAT', string.format('%.0f', expires))
  earliest = math.min(earliest, expires)
  local intents = KEYS[count + i]
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', intents, string.format('(%.0f', now), '+inf')) do
    table.insert(under_way, id)
  end
end
return {earliest, earliest - now, since, under_way}
