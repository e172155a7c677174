#!lua flags=allow-oom
-- Clear the intents of decided batches, except for the claims of bookings that may still be inserted, and take back the
-- counts of bookings that were refused.
-- KEYS: one intent per batch.
-- ARGV: per batch, 1, the claims that stay, one per line ('' if none), and the refused bookings that were counted, one
-- per line ('' if none): the time of counting, the quota (register_intents.lua).
-- Returns per batch whether its intent existed.
local answers = {}
for i, key in ipairs(KEYS) do
  local standing, refused = ARGV[3 * i - 1], ARGV[3 * i]
  if standing == '' then
    answers[i] = redis.call('DEL', key)
    redis.call('ZREM', 'intents:' .. tag, claim_of(key))
  else
    local stands, staying = redis.call('PTTL', key), {}
    for claim in string.gmatch(standing, '[^\n]+') do
      staying[#staying + 1] = claim
    end
    answers[i] = redis.call('DEL', key)
    if stands > 0 then
      redis.call('SADD', key, unpack(staying))
      redis.call('PEXPIRE', key, stands)
    end
  end
  for at, quota in string.gmatch(refused, '(%d+) ([^\n]+)') do
    local members, keys = members_of(quota)
    for _, counts in ipairs(keys) do
      if tonumber(redis.call('ZSCORE', counts, members[1]) or 0) == tonumber(at) then
        redis.call('ZREM', counts, unpack(members))
      end
    end
  end
end
return answers
