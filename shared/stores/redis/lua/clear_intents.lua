#!lua flags=allow-oom
-- Batches are decided: clear their intents, but for the claims of bookings that may still be made.
-- KEYS: for each batch its intent.
-- ARGV: for each batch 1, the claims that stay, a line each ('' for none).
-- Returns for each batch whether its intent was there.
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
