-- Remove a patient's holds, and nobody else's.
-- KEYS: a hold key per instant. ARGV: token ('' for none), digest of the name ('' to go by token alone).
-- Returns how many were removed.
local removed = 0
for _, key in ipairs(KEYS) do
  local held = redis.call('GET', key)
  if held then
    local token, digest = string.match(held, '^(%S+) (%S+) ')
    if token == ARGV[1] or digest == ARGV[2] then
      removed = removed + redis.call('DEL', key)
    end
  end
end
return removed
