#!lua
-- Place holds that are yet to be granted, each on all of its claims or on none. In a full Redis it is not run.
-- What the token has been granted before is left as it is: only a grant extends it.
-- KEYS: for each a hold key a claim, then an intents key a claim.
-- ARGV: how many claims a token may hold; then for each how many claims, token, digest of the name, when its caller asked
-- (Unix ms), how long it may take to be granted (ms).
-- Returns for each when each claim was placed (Unix ms), and 1 if a claim is being booked; else, of what was not placed,
-- 1 where another token holds a claim, 2 where it was asked no later than its token was released, 3 where the token would
-- hold too much.
local ANOTHERS, ASKED_EARLIER, TOO_MUCH = 1, 2, 3
local now = now_ms()
local most = tonumber(ARGV[1])
local answers, first = {}, 0
for a = 2, #ARGV, 5 do
  local count, token, digest, asked = tonumber(ARGV[a]), ARGV[a + 1], ARGV[a + 2], ARGV[a + 3]
  local waits = tonumber(ARGV[a + 4])
  local placed, waiting, own, new, answer = {}, {}, {}, 0, nil
  if tonumber(asked) <= released_at(token) then
    answer = ASKED_EARLIER
  else
    for i, value in ipairs(values_of(first, count)) do
      local by, _, at, _, granted = parse(value)
      if by and by ~= token then
        answer = ANOTHERS
        break
      end
      placed[i] = tonumber(at or now)
      if not by then
        new, waiting[#waiting + 1] = new + 1, i
      elseif granted == '' then
        waiting[#waiting + 1], own[i] = i, true
      end
    end
    if not answer and new > 0 and count_held(token, now) + new > most then
      answer = TOO_MUCH
    end
  end
  if not answer then
    local ends, latest = {}, 0
    for _, i in ipairs(waiting) do
      local key, ttl = KEYS[first + i], waits
      if own[i] then -- what stands is never shortened
        ttl = math.max(ttl, redis.call('PTTL', key))
      end
      redis.call('SET', key, string.format('%s %s %.0f %s', token, digest, placed[i], asked), 'PX', text(ttl))
      latest = math.max(latest, now + ttl)
      append(ends, text(now + ttl), claim_of(key))
    end
    record(token, ends, latest, now)
    local being_booked = 0
    if redis.call('EXISTS', unpack(KEYS, first + count + 1, first + 2 * count)) > 0 then
      for i = first + count + 1, first + 2 * count do
        if redis.call('ZCOUNT', KEYS[i], '(' .. text(now), '+inf') > 0 then
          being_booked = 1
          break
        end
      end
    end
    answer = {placed, being_booked}
  end
  answers[#answers + 1], first = answer, first + 2 * count
end
return answers
