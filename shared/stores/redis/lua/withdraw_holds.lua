#!lua flags=allow-oom
-- Withdraw placed claims that are not granted. Claims that were granted, or placed again since, stay.
-- KEYS: per hold, one hold key per claim.
-- ARGV: per hold, the number of claims, token, when each claim was placed (Unix ms).
-- Returns per hold how many claims were withdrawn.
local answers, first, a = {}, 0, 1
while a <= #ARGV do
  local count, token, keys, claims, counted = tonumber(ARGV[a]), ARGV[a + 1], {}, {}, {}
  for i, value in ipairs(values_of(first, count)) do
    local by, _, at, _, granted, shares = parse(value)
    if by == token and at == ARGV[a + 1 + i] and granted == '' then
      keys[#keys + 1] = KEYS[first + i]
      claims[#claims + 1] = claim_of(KEYS[first + i])
      group(counted, shares, claims[#claims])
    end
  end
  if keys[1] then
    redis.call('DEL', unpack(keys))
    redis.call('ZREM', 'token:' .. tag .. ':' .. token, unpack(claims))
    give_back(counted)
  end
  answers[#answers + 1], first, a = #keys, first + count, a + 2 + count
end
return answers
