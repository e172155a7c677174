-- Withdraw a hold that cannot be granted: where it is not granted already, or where the claim is booked.
-- KEYS: a hold key a claim, then an intents key a claim. ARGV: token, then 1 for a claim that is booked.
-- Returns how many claims stay held by the token.
local stay = 0
for i = 1, #KEYS / 2 do
  local token, granted = string.match(redis.call('GET', KEYS[i]) or '', '^(%S+) %S+ %d+ ?(%d*)$')
  if token == ARGV[1] then
    if granted ~= '' and ARGV[i + 1] ~= '1' then
      stay = stay + 1
    else
      redis.call('DEL', KEYS[i])
    end
  end
end
return stay
