#!lua flags=allow-oom
-- Bookings are decided: their intents are cleared. One that was confirmed uses up its patient's holds on its claims,
-- each with all that it holds.
-- KEYS: for each a hold key a claim, then an intents key a claim.
-- ARGV: how many claims to free at most before the rest is left for later; then for each how many claims, token ('' for
-- none), digest of the name, id, 1 to use up the holds.
-- Returns for each how many of its intents were there.
local left, answers, first = tonumber(ARGV[1]), {}, 0
for a = 2, #ARGV, 5 do
  local count, token, digest, id = tonumber(ARGV[a]), ARGV[a + 1], ARGV[a + 2], ARGV[a + 3]
  local answer
  if ARGV[a + 4] == '1' then
    local freed = {}
    for _, value in ipairs(values_of(first, count)) do
      local by, of = parse(value)
      if by and not freed[by] and (by == token or of == digest) then
        if left <= 0 then
          answer = LATER
          break
        end
        local found = find_all(by)
        free(found)
        freed[by], left = true, left - #found.keys - 1
      end
    end
  end
  if not answer then
    answer = 0
    for i = first + count + 1, first + 2 * count do
      answer = answer + redis.call('ZREM', KEYS[i], id)
    end
  end
  answers[#answers + 1], first = answer, first + 2 * count
end
return answers
