-- Mark a hold as granted: nobody takes it back any more. On all instants, if each is still held as it was placed.
-- KEYS: a hold key per instant, then an intents key per instant.
-- ARGV: token, then since when each instant is held (Unix ms).
-- Returns 1, or 0 where an instant was lost, used up or taken back since.
local values = {}
for i = 1, #KEYS / 2 do
  values[i] = redis.call('GET', KEYS[i]) or ''
  local token, first = string.match(values[i], '^(%S+) %S+ (%d+)')
  if token ~= ARGV[1] or first ~= ARGV[i + 1] then
    return 0
  end
end
for i, value in ipairs(values) do
  redis.call('SET', KEYS[i], string.match(value, '^%S+ %S+ %d+') .. ' granted', 'KEEPTTL')
end
return 1
