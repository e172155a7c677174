#!lua flags=allow-oom
-- Use up the holds of confirmed bookings' patients on their claims, with all other claims of the same tokens.
-- KEYS: per booking, one hold key per claim.
-- ARGV: how many claims to free before the rest is left for later; then per booking the number of claims, token ('' if
-- none), digest of the name.
-- Returns per booking how many holds were used up.
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
