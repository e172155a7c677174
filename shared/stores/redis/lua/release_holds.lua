#!lua flags=allow-oom
-- Release all claims of tokens, granted or only placed. A hold of the token that was asked for no later is then neither
-- placed nor granted, even if the token holds nothing yet. A release that is refused because the token holds another
-- slot changes nothing.
-- KEYS: one token key per release.
-- ARGV: how many claims to free before the rest is left for later, how long a release is remembered (ms); then per
-- release 1, when its caller asked (Unix ms), and the moment of a cell (Unix ms) that the token must hold at some
-- resource, or ''.
-- Returns per release how many claims the token held; -2 if one was asked for later than the release.
local ASKED_EARLIER = -2
local left, known = tonumber(ARGV[1]), ARGV[2]
local answers = {}
for i, key in ipairs(KEYS) do
  local token, asked, moment = claim_of(key), ARGV[3 * i + 1], ARGV[3 * i + 2]
  if left <= 0 then
    answers[i] = LATER
  else
    local found = find_all(token)
    left = left - #found.keys - 1
    if found.asked > tonumber(asked) then
      answers[i] = ASKED_EARLIER
    elseif moment ~= '' and found.keys[1] and not found.at[moment] then
      answers[i] = 0
    else
      local latest = math.max(tonumber(asked), released_at({token})[1])
      redis.call('SET', 'released:' .. tag .. ':' .. token, text(latest), 'PX', known)
      free(found)
      answers[i] = #found.keys
    end
  end
end
return answers
