-- The caps of shares on held claims and on bookings of a day. Nothing is done for a command without shares.
-- A hold counts in the shares of the caller that placed it, claim by claim, until it
-- ends, whoever extends it. Each claim's value names its shares, so an end of any kind finds what to give back.
-- A booking counts for a day from the moment when it passes the holds, unless it is refused, with a member for each of its
-- claims: `<name>:1` to `<name>:<claims>`. A move counts the claims that it adds to the number of its booking's. The name
-- is made of the idempotency key and the claims, so an attempt finds what an earlier attempt of the same booking has
-- counted.

-- The shares of a quota (share, cap, share, cap …), separated by commas, and whether `new` more claims exceed a cap.
local function shares_of(quota, new, now)
  local shares, exceeds = {}, false
  for share, cap in string.gmatch(quota, '(%S+) (%d+)') do
    local held = redis.call('ZCOUNT', 'share_holds:' .. tag .. ':' .. share, '(' .. text(now), '+inf')
    shares[#shares + 1], exceeds = share, exceeds or held + new > tonumber(cap)
  end
  return table.concat(shares, ','), exceeds
end

-- Add one or two items to the list of some shares, unless there are none.
local function group(groups, shares, one, two)
  if shares ~= '' then
    groups[shares] = groups[shares] or {}
    append(groups[shares], one, two)
  end
end

-- Count claims in their shares until they end, or set their new ends: `groups` has, by shares, each end and its claim.
-- Each call removes up to twice as many expired claims as it counts, so that they never accumulate.
local function count_holds(groups, latest, now)
  for shares, ends in pairs(groups) do
    for share in string.gmatch(shares, '[^,]+') do
      local key = 'share_holds:' .. tag .. ':' .. share
      redis.call('ZADD', key, unpack(ends))
      local expired = redis.call('ZRANGEBYSCORE', key, '-inf', text(now), 'LIMIT', 0, #ends)
      if expired[1] then
        redis.call('ZREM', key, unpack(expired))
      end
      if redis.call('PTTL', key) < latest - now then
        redis.call('PEXPIREAT', key, text(latest + 1000)) -- a margin, so that not every grant has to set it
      end
    end
  end
end

-- Give back claims that end early: `groups` has, by shares, the claims.
local function give_back(groups)
  for shares, claims in pairs(groups) do
    for share in string.gmatch(shares, '[^,]+') do
      redis.call('ZREM', 'share_holds:' .. tag .. ':' .. share, unpack(claims))
    end
  end
end

-- Each member of a booking, with the last first, and the key of each share in its quota (name, how many claims count,
-- then share, cap, share, cap …), with the caps.
local function members_of(quota)
  local name, count, shares = string.match(quota, '^(%S+) (%d+) (.*)$')
  local members, keys, caps = {}, {}, {}
  for i = tonumber(count), 1, -1 do
    members[#members + 1] = name .. ':' .. i
  end
  for share, cap in string.gmatch(shares, '(%S+) (%d+)') do
    keys[#keys + 1], caps[#caps + 1] = 'share_bookings:' .. tag .. ':' .. share, tonumber(cap)
  end
  return members, keys, caps
end

