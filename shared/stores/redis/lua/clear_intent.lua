-- A booking is decided: its intent is cleared, and one that was confirmed uses up its patient's holds.
-- KEYS: a hold key a claim, then an intents key a claim.
-- ARGV: token ('' for none), digest of the patient's name, id of the booking, 1 to use up the holds.
for i = 1, #KEYS / 2 do
  local held = ARGV[4] == '1' and redis.call('GET', KEYS[i])
  if held then
    local token, digest = string.match(held, '^(%S+) (%S+) ')
    if token == ARGV[1] or digest == ARGV[2] then
      redis.call('DEL', KEYS[i])
    end
  end
end
for i = #KEYS / 2 + 1, #KEYS do
  redis.call('ZREM', KEYS[i], ARGV[3])
end
return 0
