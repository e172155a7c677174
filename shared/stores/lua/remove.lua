-- Take back the hold that a token placed.
-- KEYS: a hold key per instant, then an intents key per instant. ARGV: token.
-- Returns how many instants were freed.
local removed = 0
for i = 1, #KEYS / 2 do
  local held = redis.call('GET', KEYS[i])
  if held and string.match(held, '^%S+') == ARGV[1] then
    removed = removed + redis.call('DEL', KEYS[i])
  end
end
return removed
