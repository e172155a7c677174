#!lua flags=allow-oom
-- Which claims of resources are held: granted, and not expired. Judged by the hold keys themselves.
-- KEYS: for each the set of its held moments, and that of their ends.
-- ARGV: for each how many KEYS, the first moment, the last (Unix ms), how many moments to look at.
-- Returns for each where to go on ('' if that was all), then each moment and its token.
-- What has expired is removed on the way, so much that a reader meets it but once.
local now, answers = now_ms(), {}
for n = 1, #KEYS / 2 do
  local held, held_ends = KEYS[2 * n - 1], KEYS[2 * n]
  local since, till, most = ARGV[4 * n - 2], ARGV[4 * n - 1], tonumber(ARGV[4 * n])
  local resource = claim_of(held)
  local expired = redis.call('ZRANGEBYSCORE', held_ends, '-inf', text(now), 'LIMIT', 0, 4 * most)
  if expired[1] then
    unlist(resource, expired)
  end
  local moments = redis.call('ZRANGEBYSCORE', held, since, till, 'LIMIT', 0, most)
  local answer, keys = {#moments == most and text(moments[most] + 1) or ''}, {}
  for i, moment in ipairs(moments) do
    keys[i] = 'hold:' .. tag .. ':' .. resource .. '/' .. moment
  end
  if keys[1] then
    for i, value in ipairs(redis.call('MGET', unpack(keys))) do
      local by, _, _, _, granted = parse(value)
      if by and granted ~= '' then
        append(answer, moments[i], by)
      end
    end
  end
  answers[n] = answer
end
return answers
