-- For each of several lists of bookings: which of them still have an intent.
-- KEYS: for each a hold key a claim, then an intents key a claim.
-- ARGV: for each how many claims, how many bookings, and their ids.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answers, first, a = {}, 0, 1
while a <= #ARGV do
  local count, ids, remaining = tonumber(ARGV[a]), tonumber(ARGV[a + 1]), {}
  for n = a + 2, a + 1 + ids do
    for i = first + count + 1, first + 2 * count do
      local ends = redis.call('ZSCORE', KEYS[i], ARGV[n])
      if ends and tonumber(ends) > now then
        table.insert(remaining, ARGV[n])
        break
      end
    end
  end
  answers[#answers + 1], first, a = remaining, first + 2 * count, a + 2 + ids
end
return answers
