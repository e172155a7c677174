#!lua flags=allow-oom
-- Clear the intents of decided batches, except for the claims of bookings that may still be inserted.
-- KEYS: one intent per batch.
-- ARGV: per batch, 1 and the claims that stay, one per line ('' if none).
-- Returns per batch whether its intent existed.
local answers = {}
for i, key in ipairs(KEYS) do
  if ARGV[2 * i] == '' then
    answers[i] = redis.call('DEL', key)
    redis.call('ZREM', 'intents:' .. tag, claim_of(key))
  else
    local stands, staying = redis.call('PTTL', key), {}
    for claim in string.gmatch(ARGV[2 * i], '[^\n]+') do
      staying[#staying + 1] = claim
    end
    answers[i] = redis.call('DEL', key)
    if stands > 0 then
      redis.call('SADD', key, unpack(staying))
      redis.call('PEXPIRE', key, stands)
    end
  end
end
return answers
