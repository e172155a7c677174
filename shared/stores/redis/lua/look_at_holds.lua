#!lua flags=no-writes
-- Read the holds on the claims of bookings, if Redis takes no writes and so no intents.
-- KEYS, ARGV, returns: as register_intents.lua.
local answers, first, a = {}, 0, 1
while a <= #ARGV do
  local states, _, next_first, next_a = states_of(first, a)
  answers[#answers + 1], first, a = states, next_first, next_a
end
return answers
