-- Place or extend a hold on all instants of a slot, or on none.
-- KEYS: a hold key per instant, then an intents key per instant.
-- ARGV: token, digest of the name, hold in ms, longest hold in ms, id of this placement.
-- Returns nothing where another token holds an instant, else when the hold expires (Unix ms), in how many ms,
-- 1 if it was extended, and the ids of the bookings that were under way.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local count, first, mine = #KEYS / 2, now, {}
for i = 1, count do
  local held = redis.call('GET', KEYS[i])
  if held then
    local token, since = string.match(held, '^(%S+) %S+ (%d+) ')
    if token ~= ARGV[1] then
      return {}
    end
    first, mine[i] = math.min(first, tonumber(since)), true
  end
end
local expires = math.min(now + ARGV[3], first + ARGV[4])
local value = string.format('%s %s %.0f %s', ARGV[1], ARGV[2], first, ARGV[5])
local answer = {expires, expires - now, next(mine) and 1 or 0}
for i = 1, count do
  redis.call('SET', KEYS[i], value, mine[i] and 'XX' or 'NX', 'PXAT', string.format('%.0f', expires))
end
for i = count + 1, #KEYS do
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[i], string.format('(%.0f', now), '+inf')) do
    table.insert(answer, id)
  end
end
return answer
