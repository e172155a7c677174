-- Which of some bookings still have an intent.
-- KEYS: a hold key a claim, then an intents key a claim. ARGV: ids of bookings.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local remaining = {}
for _, id in ipairs(ARGV) do
  for i = #KEYS / 2 + 1, #KEYS do
    local ends = redis.call('ZSCORE', KEYS[i], id)
    if ends and tonumber(ends) > now then
      table.insert(remaining, id)
      break
    end
  end
end
return remaining
