#!lua
-- Place holds that are yet to be granted, each on all of its claims or on none. In a full Redis it is not run.
-- What the token has been granted before is left as it is: only a grant extends it.
-- KEYS: for each a hold key a claim.
-- ARGV: how many claims a token may hold; then for each how many claims, token, digest of the name, when its caller asked
-- (Unix ms), how long it may take to be granted (ms).
-- Returns for each when each claim was placed (Unix ms), and 1 if a claim is being booked; else, of what was not placed,
-- 1 where another token holds a claim, 2 where it was asked no later than its token was released, 3 where the token would
-- hold too much.
local ANOTHERS, ASKED_EARLIER, TOO_MUCH = 1, 2, 3
-- Of the intents in a site, so many batches and bytes are looked through, and so many bytes times claims are searched. To
-- search for FEW claims one by one takes as long as to take all intents apart.
local MOST_BATCHES, MOST_BYTES, MOST_SEARCHED, FEW = 1000, 2500000, 5000000, 24
local now = now_ms()

-- The intents that stand, and how many bytes they are; nil if they are too many to be looked through.
local function read_intents()
  local batches = redis.call('ZRANGEBYSCORE', 'intents:' .. tag, '(' .. text(now), '+inf', 'LIMIT', 0, MOST_BATCHES)
  local intents, bytes = {}, 0
  for _, batch in ipairs(batches) do
    local intent = redis.call('GET', 'intent:' .. tag .. ':' .. batch) or ''
    intents[#intents + 1], bytes = intent, bytes + #intent
    if bytes > MOST_BYTES then
      return nil
    end
  end
  if #batches < MOST_BATCHES then
    return intents, bytes
  end
end

-- Which claims are being booked; nil where these are too many. And how many of the KEYS that was found out for, from the
-- first on: none where it takes too long for the `least` that are wanted together.
local function find_being_booked(least)
  local intents, bytes = read_intents()
  if not intents then
    return nil, #KEYS
  end
  local booked = {}
  if #KEYS > FEW and bytes * FEW <= MOST_SEARCHED then
    for _, intent in ipairs(intents) do
      for claim in string.gmatch(intent, '[^\n]+') do
        booked[claim] = true
      end
    end
    return booked, #KEYS
  end
  local known = math.min(#KEYS, math.floor(MOST_SEARCHED / math.max(bytes, 1)))
  if known < least then
    return booked, 0
  end
  for i = 1, known do
    local claim = claim_of(KEYS[i])
    for _, intent in ipairs(intents) do
      if string.find(intent, '\n' .. claim .. '\n', 1, true) then
        booked[claim] = true
        break
      end
    end
  end
  return booked, known
end

local booked, known = find_being_booked(tonumber(ARGV[2]))
local most = tonumber(ARGV[1])
local answers, first = {}, 0
for a = 2, #ARGV, 5 do
  local count, token, digest, asked = tonumber(ARGV[a]), ARGV[a + 1], ARGV[a + 2], ARGV[a + 3]
  local waits = tonumber(ARGV[a + 4])
  local placed, waiting, own, new, answer = {}, {}, {}, 0, nil
  if first > 0 and first + count > known then
    answer = LATER
  elseif tonumber(asked) <= released_at(token) then
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
    local ends, latest = {}, now + waits
    local format = string.format('%s %s %%.0f %s', token, digest, asked)
    local new_value, new_ttl, new_end = string.format(format, now), text(waits), text(latest)
    for _, i in ipairs(waiting) do
      local key = KEYS[first + i]
      if own[i] then -- what stands is never shortened
        local ttl = math.max(waits, redis.call('PTTL', key))
        redis.call('SET', key, string.format(format, placed[i]), 'PX', text(ttl))
        latest = math.max(latest, now + ttl)
        append(ends, text(now + ttl), claim_of(key))
      else
        redis.call('SET', key, new_value, 'PX', new_ttl)
        append(ends, new_end, claim_of(key))
      end
    end
    record(token, ends, latest, now)
    local being_booked = (not booked or first + count > known) and 1 or 0 -- where it is not known, it may be
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
