-- Bookings are decided: their intents are cleared. One that was confirmed uses up its patient's holds on its claims,
-- each with all that it holds.
-- KEYS: for each a hold key a claim, then an intents key a claim.
-- ARGV: for each how many claims, token ('' for none), digest of the name, id, 1 to use up the holds.
-- Returns for each how many of its intents were there.
local answers, first = {}, 0
for a = 1, #ARGV, 5 do
  local count, token, digest, id = tonumber(ARGV[a]), ARGV[a + 1], ARGV[a + 2], ARGV[a + 3]
  if ARGV[a + 4] == '1' then
    for i = first + 1, first + count do
      local held = redis.call('GET', KEYS[i])
      if held then
        local by, of = string.match(held, '^(%S+) (%S+) ')
        if by == token or of == digest then
          free_all(by)
        end
      end
    end
  end
  local cleared = 0
  for i = first + count + 1, first + 2 * count do
    cleared = cleared + redis.call('ZREM', KEYS[i], id)
  end
  answers[#answers + 1], first = cleared, first + 2 * count
end
return answers
