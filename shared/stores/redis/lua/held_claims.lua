#!lua flags=allow-oom
-- Read which claims of resources are held: granted, and not expired. The hold keys themselves decide.
-- KEYS: per resource, the set of its held moments, and that of their ends.
-- ARGV: per resource, the number of KEYS, the first and the last moment (Unix ms), and how many moments to read.
-- Returns per resource the moment at which to continue ('' at the end), then each moment and its token.
-- Expired moments are removed first, so many that a reader meets each only once.
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
