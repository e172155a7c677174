#!lua
-- Place holds, each on all of its claims or on none. A full Redis does not run this script.
-- Claims that the token was granted before stay as they are: only a grant extends them.
-- KEYS: per hold, one hold key per claim.
-- ARGV: how many claims a token may hold; then per hold the number of claims, token, digest of the name, when its
-- caller asked (Unix ms), how long it may take until it is granted (ms), its caller's shares and caps ('' if none).
-- Returns per hold when each claim was placed (Unix ms), and 1 if a claim is being booked. If it was not placed: 1 if
-- another token holds a claim, 2 if it was asked for no later than its token was released, 3 if the token would hold
-- too many claims, 4 if a share would.
local ANOTHERS, ASKED_EARLIER, TOO_MUCH, SHARE_USED_UP = 1, 2, 3, 4
-- How many intents of a site are searched; if there are more, any claim may be being booked.
local MOST_BATCHES, AT_ONCE = 400, 1000
local now = now_ms()

-- Which claims of the KEYS are being booked; nil if that is not known.
local function find_being_booked()
  local batches = redis.call('ZRANGEBYSCORE', 'intents:' .. tag, '(' .. text(now), '+inf', 'LIMIT', 0, MOST_BATCHES)
  if #batches == MOST_BATCHES then
    return nil
  end
  local booked, wanted = {}, 'wanted:' .. tag -- deleted before the script ends
  for start = 1, batches[1] and #KEYS or 0, AT_ONCE do
    local claims = {}
    for i = start, math.min(start + AT_ONCE - 1, #KEYS) do
      claims[#claims + 1] = claim_of(KEYS[i])
    end
    redis.call('SADD', wanted, unpack(claims))
  end
  for _, batch in ipairs(batches) do
    for _, claim in ipairs(redis.call('SINTER', wanted, 'intent:' .. tag .. ':' .. batch)) do
      booked[claim] = true
    end
  end
  if batches[1] then
    redis.call('DEL', wanted)
  end
  return booked
end

local booked = find_being_booked()
local most = tonumber(ARGV[1])
local tokens = {}
for a = 2, #ARGV, 6 do
  tokens[#tokens + 1] = ARGV[a + 1]
end
local released, values, set = released_at(tokens), values_of(0, #KEYS), {} -- `set`: by key, what this run has set
local answers, first = {}, 0
for a = 2, #ARGV, 6 do
  local count, token, digest, asked = tonumber(ARGV[a]), ARGV[a + 1], ARGV[a + 2], ARGV[a + 3]
  local waits, quota = tonumber(ARGV[a + 4]), ARGV[a + 5]
  local placed, waiting, own, new, new_shares, answer = {}, {}, {}, 0, '', nil
  if tonumber(asked) <= released[#answers + 1] then
    answer = ASKED_EARLIER
  else
    for i = 1, count do
      local by, _, at, _, granted, shares = parse(set[KEYS[first + i]] or values[first + i])
      if by and by ~= token then
        answer = ANOTHERS
        break
      end
      placed[i] = tonumber(at or now)
      if not by then
        new, waiting[#waiting + 1] = new + 1, i
      elseif granted == '' then
        waiting[#waiting + 1], own[i] = i, shares
      end
    end
    if not answer and new > 0 then
      local exceeds
      new_shares, exceeds = shares_of(quota, new, now)
      if count_held(token, now) + new > most then
        answer = TOO_MUCH
      elseif exceeds then
        answer = SHARE_USED_UP
      end
    end
  end
  if not answer then
    local ends, counted, latest = {}, {}, now + waits
    local new_value = value_of(token, digest, text(now), asked, '', new_shares)
    local new_ttl, new_end = text(waits), text(latest)
    for _, i in ipairs(waiting) do
      local key = KEYS[first + i]
      if own[i] then -- a placed claim is never shortened
        local ttl = math.max(waits, redis.call('PTTL', key))
        set[key] = value_of(token, digest, text(placed[i]), asked, '', own[i])
        redis.call('SET', key, set[key], 'PX', text(ttl))
        latest = math.max(latest, now + ttl)
        append(ends, text(now + ttl), claim_of(key))
        group(counted, own[i], text(now + ttl), claim_of(key))
      else
        set[key] = new_value
        redis.call('SET', key, new_value, 'PX', new_ttl)
        append(ends, new_end, claim_of(key))
        group(counted, new_shares, new_end, claim_of(key))
      end
    end
    record(token, ends, latest, now)
    count_holds(counted, latest, now)
    local being_booked = booked and 0 or 1 -- if it is not known, it may be
    if booked and next(booked) then
      for i = first + 1, first + count do
        if booked[claim_of(KEYS[i])] then
          being_booked = 1
          break
        end
      end
    end
    answer = {placed, being_booked}
  end
  answers[#answers + 1], first = answer, first + count
end
return answers
