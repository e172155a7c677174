#!lua flags=allow-oom
-- Let each booking of a batch pass the holds on its claims, or not, and register one intent for those that may pass. A
-- booking that may not pass leaves none, not for a moment.
-- KEYS: for each batch the hold keys of its claims, booking by booking.
-- ARGV: for each batch how many KEYS, its id, how long its intent may stand (ms), how many bookings; then for each booking
-- how many claims, token ('' for none), digest of the name.
-- Returns for each batch the state of each booking: 0 where nothing is held, 1 where all that is held is its patient's, 2
-- where another holds.
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
    if redis.call('PTTL', intents) < stands then -- an intent that stands longer is not forgotten with a shorter one
      redis.call('PEXPIRE', intents, stands)
    end
    local expired = redis.call('ZRANGEBYSCORE', intents, '-inf', text(now), 'LIMIT', 0, EXPIRED_AT_ONCE)
    if expired[1] then
      redis.call('ZREM', intents, unpack(expired))
    end
  else -- they may have passed a moment ago, and the answer been lost
    redis.call('DEL', key)
    redis.call('ZREM', intents, batch)
  end
  answers[#answers + 1], first, a = states, next_first, next_a
end
return answers
