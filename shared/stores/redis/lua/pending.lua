-- Which of some bookings are still under way.
-- KEYS: a hold key per instant, then an intents key per instant. ARGV: ids of bookings.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local pending = {}
for i = #KEYS / 2 + 1, #KEYS do
  for _, id in ipairs(ARGV) do
    local ends = redis.call('ZSCORE', KEYS[i], id)
    if ends and tonumber(ends) > now then
      table.insert(pending, id)
    end
  end
end
return pending
