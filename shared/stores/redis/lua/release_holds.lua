-- Release holds: each with all that its token holds, granted or only placed. One that is yet to be granted is not
-- granted any more.
-- KEYS: for each the record of its token.
-- Returns for each how many claims it held.
local answers = {}
for i, key in ipairs(KEYS) do
  answers[i] = free_all(claim_of(key))
end
return answers
