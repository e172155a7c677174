#!lua flags=no-writes
-- For each of several bookings, what it finds held of its claims, where Redis takes no writes and so no intents.
-- KEYS: for each a hold key a claim, then an intents key a claim.
-- ARGV: for each how many claims, token ('' for none), digest of the name, id, how long the intent may stand (ms).
-- Returns for each 0 where nothing is held, 1 where all that is held is its patient's, 2 where another holds.
local states, first = {}, 0
for a = 1, #ARGV, 5 do
  local count = tonumber(ARGV[a])
  states[#states + 1] = state_of(first, count, ARGV[a + 1], ARGV[a + 2])
  first = first + 2 * count
end
return states
