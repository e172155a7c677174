-- Place holds that are yet to be granted, or extensions, each on all of its claims or on none.
-- KEYS: for each a hold key a claim, then an intents key a claim.
-- ARGV: hold (ms), longest hold (ms); then for each how many claims, token, digest of the name, how long it may take to be
-- granted (ms).
-- Value: token, digest, when it was placed and, once it is, when it was first granted (Unix ms).
-- Returns for each nothing where another token holds a claim, else when each claim was placed, and the intents
-- that are there.
local now = now_ms()
local answers, first = {}, 0
for a = 3, #ARGV, 4 do
  local count, token, digest, waits = tonumber(ARGV[a]), ARGV[a + 1], ARGV[a + 2], tonumber(ARGV[a + 3])
  local placed, granted, digests, is_free = {}, {}, {}, true
  for i = 1, count do
    local value = redis.call('GET', KEYS[first + i]) or ''
    local by, whose, at, since = string.match(value, '^(%S+) (%S+) (%d+) ?(%d*)$')
    if by and by ~= token then
      is_free = false
      break
    end
    placed[i], granted[i] = tonumber(at or now), tonumber(since)
    digests[i] = granted[i] and whose or digest -- until it is granted anew, a hold is whose it was
  end
  local answer = {}
  if is_free then
    local intents, seen, ends, latest = {}, {}, {}, 0
    for i = 1, count do
      local key, value, ttl = KEYS[first + i], string.format('%s %s %.0f', token, digests[i], placed[i]), waits
      if granted[i] then
        value = string.format('%s %.0f', value, granted[i])
        ttl = math.min(ttl, granted[i] + ARGV[2] - now)
      end
      ttl = math.max(ttl, redis.call('PTTL', key), 1) -- what stands is never shortened
      redis.call('SET', key, value, 'PX', text(ttl))
      local ends_by = now + math.max(ttl, waits + ARGV[1]) -- granted or not
      latest = math.max(latest, ends_by)
      append(ends, text(ends_by), claim_of(key))
      local found = redis.call('ZRANGEBYSCORE', KEYS[first + count + i], string.format('(%.0f', now), '+inf')
      for _, id in ipairs(found) do
        if not seen[id] then
          seen[id] = true
          table.insert(intents, id)
        end
      end
    end
    record(token, ends, latest, now)
    answer = {placed, intents}
  end
  answers[#answers + 1], first = answer, first + 2 * count
end
return answers
