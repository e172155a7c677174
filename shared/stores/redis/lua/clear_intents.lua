#!lua flags=allow-oom
-- Batches are decided: clear their intents, but for the claims of bookings that may still be made.
-- KEYS: for each batch its intent.
-- ARGV: for each batch 1, the claims that stay as the intent has them ('' for none).
-- Returns for each batch whether its intent was there.
local answers = {}
for i, key in ipairs(KEYS) do
  if ARGV[2 * i] == '' then
    answers[i] = redis.call('DEL', key)
    redis.call('ZREM', 'intents:' .. tag, claim_of(key))
  else
    answers[i] = redis.call('SET', key, ARGV[2 * i], 'XX', 'KEEPTTL') and 1 or 0
  end
end
return answers
