#!lua flags=allow-oom
-- Grant holds: give each its full time on all of its claims, if every claim still stands as it was placed.
-- KEYS: per hold, one hold key per claim.
-- ARGV: hold (ms), longest hold (ms); then per hold the number of claims, token, digest of the name, when its caller
-- asked (Unix ms), and when each claim was placed (Unix ms).
-- Returns per hold when it ends (Unix ms), in how many ms, and 1 if a claim was granted before, else 0. If it was not
-- granted: 1 if a claim was lost, used up or withdrawn, 2 if it was asked for no later than its token was released.
local LOST, ASKED_EARLIER = 1, 2
local now = now_ms()
local tokens, a = {}, 3
while a <= #ARGV do
  tokens[#tokens + 1], a = ARGV[a + 1], a + 4 + ARGV[a]
end
local released, all, set = released_at(tokens), values_of(0, #KEYS), {} -- `set`: by key, what this run has set
local listed = {} -- by resource, what `list` is to add, because a call for each hold would take more time than the rest
local answers, first = {}, 0
a = 3
while a <= #ARGV do
  local count, token, digest, asked = tonumber(ARGV[a]), ARGV[a + 1], ARGV[a + 2], tonumber(ARGV[a + 3])
  local values, granted, latest_asked, shares, answer = {}, {}, {}, {}, nil
  if asked <= released[#answers + 1] then
    answer = ASKED_EARLIER
  else
    local by, at, before, since, of_value, _
    for i = 1, count do
      local value = set[KEYS[first + i]] or all[first + i]
      values[i] = value
      if i == 1 or value ~= values[i - 1] then -- usually all claims of a hold have the same value
        by, _, at, before, since, of_value = parse(value)
      end
      if by ~= token or at ~= ARGV[a + 3 + i] then
        answer = LOST
        break
      end
      granted[i], latest_asked[i], shares[i] = tonumber(since), math.max(asked, tonumber(before)), of_value
    end
  end
  if not answer then
    local earliest, latest = math.huge, 0
    local own_ends, counted, value, expires, expires_text = {}, {}, nil, nil, nil
    for i = 1, count do
      local key, since = KEYS[first + i], granted[i] or now
      if granted[i] or i == 1 or values[i] ~= values[i - 1] then
        value = value_of(token, digest, ARGV[a + 3 + i], text(latest_asked[i]), text(since), shares[i])
        expires = math.min(now + ARGV[1], since + ARGV[2])
        if granted[i] then -- an earlier grant is never shortened
          expires = math.max(expires, now + redis.call('PTTL', key))
        end
        expires_text = text(expires)
      end
      redis.call('SET', key, value, 'PXAT', expires_text)
      set[key] = value
      local claim = claim_of(key)
      local slash = string.find(claim, '/', 1, true)
      local resource, moment = string.sub(claim, 1, slash - 1), string.sub(claim, slash + 1)
      local of = listed[resource] or {moments = {}, ends = {}, latest = 0}
      listed[resource], of.latest = of, math.max(of.latest, expires)
      earliest, latest = math.min(earliest, expires), math.max(latest, expires)
      append(of.moments, moment, moment)
      append(of.ends, expires_text, moment)
      append(own_ends, expires_text, claim)
      group(counted, shares[i], expires_text, claim)
    end
    record(token, own_ends, latest, now)
    count_holds(counted, latest, now)
    answer = {earliest, earliest - now, next(granted) and 1 or 0}
  end
  answers[#answers + 1], first, a = answer, first + count, a + 4 + count
end
for resource, of in pairs(listed) do
  list(resource, of.moments, of.ends, of.latest, now)
end
return answers
