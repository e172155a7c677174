-- Place or extend a hold on all instants of a slot, or on none.
-- KEYS: a hold key per instant, then an intents key per instant.
-- ARGV: token, digest of the name, hold in ms, longest hold in ms, id of this placement.
-- Returns nothing where another token holds an instant, else when the hold expires (Unix ms), in how many ms,
-- the numbers of the instants that were not held before, and the ids of the bookings that were under way.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local count, since = #KEYS / 2, {}
for i = 1, count do
  local held = redis.call('GET', KEYS[i])
  if held then
    local token, first = string.match(held, '^(%S+) %S+ (%d+) ')
    if token ~= ARGV[1] then
      return {}
    end
    since[i] = tonumber(first)
  end
end
local earliest, fresh, under_way = math.huge, {}, {}
for i = 1, count do
  local first = since[i] or now
  -- What was granted before is never shortened.
  local expires = math.max(math.min(now + ARGV[3], first + ARGV[4]), now + redis.call('PTTL', KEYS[i]))
  local value = string.format('%s %s %.0f %s', ARGV[1], ARGV[2], first, ARGV[5])
  redis.call('SET', KEYS[i], value, 'PXAT', string.format('%.0f', expires))
  earliest = math.min(earliest, expires)
  if not since[i] then
    table.insert(fresh, i)
  end
  local intents = KEYS[count + i]
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', intents, string.format('(%.0f', now), '+inf')) do
    table.insert(under_way, id)
  end
end
return {earliest, earliest - now, fresh, under_way}
