-- Withdraw holds that cannot be granted: where one is not granted already, or where its claim is booked. What was
-- placed anew since then stays.
-- KEYS: for each a hold key a claim, then an intents key a claim.
-- ARGV: for each how many claims, token, when each claim was placed (Unix ms), then 1 for a claim that is booked.
-- Returns for each how many claims stay held by the token.
local answers, first, a = {}, 0, 1
while a <= #ARGV do
  local count, token, stay, withdrawn = tonumber(ARGV[a]), ARGV[a + 1], 0, {}
  for i = 1, count do
    local key = KEYS[first + i]
    local by, at, granted = string.match(redis.call('GET', key) or '', '^(%S+) %S+ (%d+) ?(%d*)$')
    if by == token then
      if at ~= ARGV[a + 1 + i] or (granted ~= '' and ARGV[a + 1 + count + i] ~= '1') then
        stay = stay + 1
      else
        redis.call('DEL', key)
        withdrawn[#withdrawn + 1] = claim_of(key)
        if granted ~= '' then
          local resource, moment = string.match(key, '}:(.*)/(.*)$')
          unlist(resource, {moment})
        end
      end
    end
  end
  if withdrawn[1] then
    redis.call('ZREM', 'token:' .. tag .. ':' .. token, unpack(withdrawn))
  end
  answers[#answers + 1], first, a = stay, first + 2 * count, a + 2 + 2 * count
end
return answers
