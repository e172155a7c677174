-- Whether a booking may pass the holds on its slot.
-- KEYS: a hold key per instant. ARGV: token ('' for none), digest of the patient's name.
-- Returns 0 where nothing is held, 1 where all that is held is this patient's, 2 where another holds.
local state = 0
for _, key in ipairs(KEYS) do
  local held = redis.call('GET', key)
  if held then
    local token, digest = string.match(held, '^(%S+) (%S+) ')
    if token ~= ARGV[1] and digest ~= ARGV[2] then
      return 2
    end
    state = 1
  end
end
return state
