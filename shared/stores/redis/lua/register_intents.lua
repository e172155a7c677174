-- For each of several bookings: let it pass the holds on its claims, and register its intent.
-- KEYS: for each a hold key a claim, then an intents key a claim.
-- ARGV: for each how many claims, token ('' for none), digest of the name, id, how long the intent may stand (ms).
-- Returns for each 0 where nothing is held, 1 where all that is held is its patient's, 2 where another holds.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local now_text, states, first = string.format('%.0f', now), {}, 0
for a = 1, #ARGV, 5 do
  local count, token, digest, id, stands = tonumber(ARGV[a]), ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], ARGV[a + 4]
  local state = 0
  for i = first + 1, first + count do
    local held = redis.call('GET', KEYS[i])
    if held then
      local by, of = string.match(held, '^(%S+) (%S+) ')
      if by ~= token and of ~= digest then
        state = 2
        break
      end
      state = 1
    end
  end
  local ends = string.format('%.0f', now + stands)
  for i = first + count + 1, first + 2 * count do
    if state == 2 then
      redis.call('ZREM', KEYS[i], id) -- it may have passed a moment ago, and the answer been lost
    else
      local ttl = redis.call('PTTL', KEYS[i])
      redis.call('ZADD', KEYS[i], ends, id)
      if ttl ~= -2 then -- not before: an emptied key is gone, and its end with it
        redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now_text)
      end
      if ttl < tonumber(stands) then -- an intent that stands longer is not forgotten with a shorter one
        redis.call('PEXPIRE', KEYS[i], stands)
      end
    end
  end
  states[#states + 1], first = state, first + 2 * count
end
return states
