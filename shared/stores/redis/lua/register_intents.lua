#!lua flags=allow-oom
-- For each of several bookings: let it pass the holds on its claims, and register its intent. One that may not pass
-- leaves none, not for a moment.
-- KEYS: for each a hold key a claim, then an intents key a claim.
-- ARGV: for each how many claims, token ('' for none), digest of the name, id, how long the intent may stand (ms).
-- Returns for each 0 where nothing is held, 1 where all that is held is its patient's, 2 where another holds.
local EXPIRED_AT_ONCE = 8
local now = now_ms()
local now_text, states, first = text(now), {}, 0
for a = 1, #ARGV, 5 do
  local count, token, digest, id, stands = tonumber(ARGV[a]), ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], ARGV[a + 4]
  local state = state_of(first, count, token, digest)
  local ends = text(now + stands)
  for i = first + count + 1, first + 2 * count do
    if state == 2 then
      redis.call('ZREM', KEYS[i], id) -- it may have passed a moment ago, and the answer been lost
    else
      local ttl = redis.call('PTTL', KEYS[i])
      redis.call('ZADD', KEYS[i], ends, id)
      if ttl ~= -2 then -- not before: an emptied key is gone, and its end with it
        local expired = redis.call('ZRANGEBYSCORE', KEYS[i], '-inf', now_text, 'LIMIT', 0, EXPIRED_AT_ONCE)
        if expired[1] then
          redis.call('ZREM', KEYS[i], unpack(expired))
        end
      end
      if ttl < tonumber(stands) then -- an intent that stands longer is not forgotten with a shorter one
        redis.call('PEXPIRE', KEYS[i], stands)
      end
    end
  end
  states[#states + 1], first = state, first + 2 * count
end
return states
