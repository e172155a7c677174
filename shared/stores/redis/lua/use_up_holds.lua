#!lua flags=allow-oom
-- Bookings are confirmed: each uses up its patient's holds on its claims, each hold with all that its token holds.
-- KEYS: for each a hold key a claim.
-- ARGV: how many claims to free at most before the rest is left for later; then for each how many claims, token ('' for
-- none), digest of the name.
-- Returns for each how many holds were used up.
local left, answers, first = tonumber(ARGV[1]), {}, 0
for a = 2, #ARGV, 3 do
  local count, token, digest = tonumber(ARGV[a]), ARGV[a + 1], ARGV[a + 2]
  local freed, answer = {}, 0
  for _, value in ipairs(values_of(first, count)) do
    local by, of = parse(value)
    if by and not freed[by] and (by == token or of == digest) then
      if left <= 0 then
        answer = LATER
        break
      end
      local found = find_all(by)
      free(found)
      freed[by], left, answer = true, left - #found.keys - 1, answer + 1
    end
  end
  answers[#answers + 1], first = answer, first + count
end
return answers
