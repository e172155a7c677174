-- Take back a hold that cannot be granted: where it is not granted already, or where the slot is booked.
-- KEYS: a hold key per instant, then an intents key per instant. ARGV: token, then 1 for an instant that is booked.
-- Returns how many instants stay held by the token.
local stay = 0
for i = 1, #KEYS / 2 do
  local token, mark = string.match(redis.call('GET', KEYS[i]) or '', '^(%S+) %S+ %d+(.*)$')
  if token == ARGV[1] then
    if mark == ' granted' and ARGV[i + 1] ~= '1' then
      stay = stay + 1
    else
      redis.call('DEL', KEYS[i])
    end
  end
end
return stay
