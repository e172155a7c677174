-- Take back what one placement has set, unless the hold was placed again since: that one may be granted.
-- KEYS: a hold key per instant, then an intents key per instant. ARGV: token, id of the placement.
-- Returns how many instants were freed.
local removed = 0
for i = 1, #KEYS / 2 do
  local held = redis.call('GET', KEYS[i])
  local token, placement = string.match(held or '', '^(%S+) %S+ %S+ (%S+)$')
  if token == ARGV[1] and placement == ARGV[2] then
    removed = removed + redis.call('DEL', KEYS[i])
  end
end
return removed
