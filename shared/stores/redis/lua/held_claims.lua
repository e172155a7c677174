#!lua flags=allow-oom
-- Which claims of a resource are held: granted, and not expired. Judged by the hold keys themselves.
-- KEYS: the set of its held moments, and that of their ends.
-- ARGV: how many pairs of KEYS, the first moment, the last (Unix ms), how many moments to look at.
-- Returns, once, where to go on ('' if that was all), then each moment and its token.
-- What has expired is removed on the way, so much that a reader meets it but once.
local most, now = tonumber(ARGV[4]), now_ms()
local expired = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', text(now), 'LIMIT', 0, 4 * most)
local resource = claim_of(KEYS[1])
if expired[1] then
  unlist(resource, expired)
end
local moments = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[2], ARGV[3], 'LIMIT', 0, most)
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
return {answer}
