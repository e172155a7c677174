#!lua flags=allow-oom
-- Decide which bookings of a batch may pass the holds on their claims, and register one intent for those. A booking
-- that may not pass has no intent, not even for a moment.
-- KEYS: per batch, the hold keys of its claims, booking by booking.
-- ARGV: per batch, the number of KEYS, its id, how long its intent may stand (ms), the number of bookings; then per
-- booking the number of claims, token ('' if none), digest of the name.
-- Returns per batch the state of each booking: 0 if nothing is held, 1 if all held claims are its patient's, 2 if
-- another patient holds a claim.
local EXPIRED_AT_ONCE = 8
local now, intents = now_ms(), 'intents:' .. tag
local answers, first, a = {}, 0, 1
while a <= #ARGV do
  local batch, stands = ARGV[a + 1], tonumber(ARGV[a + 2])
  local key = 'intent:' .. tag .. ':' .. batch
  local states, passing, next_first, next_a = states_of(first, a)
  if passing[1] then
    redis.call('DEL', key)
    redis.call('SADD', key, unpack(passing))
    redis.call('PEXPIRE', key, stands)
    redis.call('ZADD', intents, text(now + stands), batch)
    if redis.call('PTTL', intents) < stands then -- an intent that stands longer keeps its time
      redis.call('PEXPIRE', intents, stands)
    end
    local expired = redis.call('ZRANGEBYSCORE', intents, '-inf', text(now), 'LIMIT', 0, EXPIRED_AT_ONCE)
    if expired[1] then
      redis.call('ZREM', intents, unpack(expired))
    end
  else -- they may have passed in an earlier run whose answer was lost
    redis.call('DEL', key)
    redis.call('ZREM', intents, batch)
  end
  answers[#answers + 1], first, a = states, next_first, next_a
end
return answers
