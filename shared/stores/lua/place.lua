-- Place or extend a hold on all instants of a slot, or on none.
-- KEYS: a hold key per instant. ARGV: token, digest of the name, hold in ms, longest hold in ms.
-- Returns when it expires (Unix ms) and in how many ms, or nothing where another token holds an instant.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local first, mine = now, {}
for _, key in ipairs(KEYS) do
  local held = redis.call('GET', key)
  if held then
    local token, since = string.match(held, '^(%S+) %S+ (%d+)$')
    if token ~= ARGV[1] then
      return {}
    end
    first, mine[key] = math.min(first, tonumber(since)), true
  end
end
local expires = math.min(now + ARGV[3], first + ARGV[4])
local value = string.format('%s %s %.0f', ARGV[1], ARGV[2], first)
for _, key in ipairs(KEYS) do
  redis.call('SET', key, value, mine[key] and 'XX' or 'NX', 'PXAT', string.format('%.0f', expires))
end
return {expires, expires - now}
