-- Let a booking pass the holds on its claims, and register its intent.
-- KEYS: a hold key a claim, then an intents key a claim.
-- ARGV: token ('' for none), digest of the patient's name, id of the booking, how long the intent may stand (ms).
-- Returns 0 where nothing is held, 1 where all that is held is this patient's, 2 where another holds.
local count, state = #KEYS / 2, 0
for i = 1, count do
  local held = redis.call('GET', KEYS[i])
  if held then
    local token, digest = string.match(held, '^(%S+) (%S+) ')
    if token ~= ARGV[1] and digest ~= ARGV[2] then
      -- It may have passed a moment ago, and the answer been lost.
      for j = count + 1, #KEYS do
        redis.call('ZREM', KEYS[j], ARGV[3])
      end
      return 2
    end
    state = 1
  end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = count + 1, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', string.format('%.0f', now))
  redis.call('ZADD', KEYS[i], string.format('%.0f', now + ARGV[4]), ARGV[3])
  -- An intent that stands longer is not forgotten with a shorter one.
  if redis.call('PTTL', KEYS[i]) < tonumber(ARGV[4]) then
    redis.call('PEXPIRE', KEYS[i], ARGV[4])
  end
end
return state
