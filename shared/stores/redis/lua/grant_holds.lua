#!lua flags=allow-oom
-- Grant holds: each gets its full time. On all of its claims, if each is still held as it was placed.
-- KEYS: for each a hold key a claim; the claims of a resource stand together.
-- ARGV: hold (ms), longest hold (ms); then for each how many claims, token, digest of the name, when its caller asked, and
-- when each claim was placed (Unix ms).
-- Returns for each when it ends (Unix ms), in how many ms, and 1 where some of it was granted before, else 0; else, of
-- what was not granted, 1 where a claim was lost, used up or withdrawn, 2 where it was asked no later than its token was
-- released.
local LOST, ASKED_EARLIER = 1, 2
local now = now_ms()
local answers, first, a = {}, 0, 3
while a <= #ARGV do
  local count, token, digest, asked = tonumber(ARGV[a]), ARGV[a + 1], ARGV[a + 2], tonumber(ARGV[a + 3])
  local values, granted, latest_asked, answer = values_of(first, count), {}, {}, nil
  if asked <= released_at(token) then
    answer = ASKED_EARLIER
  else
    local by, at, before, since, _
    for i, value in ipairs(values) do
      if value ~= values[i - 1] then -- mostly all claims of a hold have one value
        by, _, at, before, since = parse(value)
      end
      if by ~= token or at ~= ARGV[a + 3 + i] then
        answer = LOST
        break
      end
      granted[i], latest_asked[i] = tonumber(since), math.max(asked, tonumber(before))
    end
  end
  if not answer then
    local earliest, latest = math.huge, 0
    local of, moments, ends, own_ends = nil, {}, {}, {} -- of one resource after the other
    local value, expires, expires_text
    for i = 1, count do
      local key, since = KEYS[first + i], granted[i] or now
      if granted[i] or i == 1 or values[i] ~= values[i - 1] then
        value = string.format('%s %s %s %.0f %.0f', token, digest, ARGV[a + 3 + i], latest_asked[i], since)
        expires = math.min(now + ARGV[1], since + ARGV[2])
        if granted[i] then -- what was granted before is never shortened
          expires = math.max(expires, now + redis.call('PTTL', key))
        end
        expires_text = text(expires)
      end
      redis.call('SET', key, value, 'PXAT', expires_text)
      local claim = claim_of(key)
      local slash = string.find(claim, '/', 1, true)
      local resource, moment = string.sub(claim, 1, slash - 1), string.sub(claim, slash + 1)
      if of and resource ~= of then
        list(of, moments, ends, latest, now)
        moments, ends = {}, {}
      end
      of, earliest, latest = resource, math.min(earliest, expires), math.max(latest, expires)
      append(moments, moment, moment)
      append(ends, expires_text, moment)
      append(own_ends, expires_text, claim)
    end
    list(of, moments, ends, latest, now)
    record(token, own_ends, latest, now)
    answer = {earliest, earliest - now, next(granted) and 1 or 0}
  end
  answers[#answers + 1], first, a = answer, first + count, a + 4 + count
end
return answers
