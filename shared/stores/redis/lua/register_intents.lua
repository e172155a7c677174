#!lua flags=allow-oom
-- Decide which bookings of a batch may pass the holds on their claims, and register one intent for those. A booking
-- that may not pass has no intent, not even for a moment.
-- KEYS: per batch, the hold keys of its claims, booking by booking.
-- ARGV: per batch, the number of KEYS, its id, how long its intent may stand (ms), the number of bookings; then per
-- booking the number of claims, token ('' if none), digest of the name, quota ('' if none; shares.lua).
-- Returns per batch the state of each booking: 0 if nothing is held, 1 if all held claims are its patient's, 2 if
-- another patient holds a claim, 3 if a share has booked too much; 10 more if the booking is counted now; then, if any
-- is, the time of counting (Unix ms).
local EXPIRED_AT_ONCE, SHARE_USED_UP, COUNTED, DAY = 8, 3, 10, 86400000
local now, intents = now_ms(), 'intents:' .. tag
local counted, booked, added = false, {}, {} -- by key of a share: what it has booked, and how much of that in this run

-- Count a booking in its shares, unless an earlier attempt is counted, or a share has booked too much.
-- An earlier attempt that is refused after this one must not take back the count that both rely on, so the time of
-- counting changes (clear_intents.lua compares it).
local function admit(quota, state)
  local members, keys, caps = members_of(quota)
  local count, known = #members, false
  for _, key in ipairs(keys) do
    if tonumber(redis.call('ZSCORE', key, members[1]) or 0) > now - DAY then
      redis.call('ZINCRBY', key, 1, members[1])
      known = true
    end
  end
  if known then
    return state
  end
  for i, key in ipairs(keys) do
    booked[key] = booked[key] or redis.call('ZCOUNT', key, '(' .. text(now - DAY), '+inf')
    if booked[key] + count > caps[i] then
      return SHARE_USED_UP
    end
  end
  local scored, at = {}, text(now)
  for _, member in ipairs(members) do
    append(scored, at, member)
  end
  for _, key in ipairs(keys) do
    redis.call('ZADD', key, unpack(scored))
    booked[key], added[key] = booked[key] + count, (added[key] or 0) + count
  end
  counted = true
  return state + COUNTED
end

local answers, first, a = {}, 0, 1
while a <= #ARGV do
  local batch, stands = ARGV[a + 1], tonumber(ARGV[a + 2])
  local key = 'intent:' .. tag .. ':' .. batch
  counted = false
  local states, passing, next_first, next_a = states_of(first, a, admit)
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
  if counted then
    states[#states + 1] = now
  end
  answers[#answers + 1], first, a = states, next_first, next_a
end
-- More is removed than added, so that what was booked more than a day ago never accumulates.
for key, count in pairs(added) do
  local expired = redis.call('ZRANGEBYSCORE', key, '-inf', text(now - DAY), 'LIMIT', 0, 2 * count)
  if expired[1] then
    redis.call('ZREM', key, unpack(expired))
  end
  redis.call('PEXPIRE', key, DAY)
end
return answers
