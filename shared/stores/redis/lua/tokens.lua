-- What a token holds in its site.

-- When the latest release of each of some tokens was asked for (Unix ms); -1 if none is known.
local function released_at(tokens)
  local keys, moments = {}, {}
  for i, token in ipairs(tokens) do
    keys[i] = 'released:' .. tag .. ':' .. token
  end
  for i, moment in ipairs(redis.call('MGET', unpack(keys))) do
    moments[i] = tonumber(moment or -1)
  end
  return moments
end

-- How many claims a token holds, placed or granted.
local function count_held(token, now)
  return redis.call('ZCOUNT', 'token:' .. tag .. ':' .. token, text(now), '+inf')
end

-- Record in a token's key when its claims end: `ends` alternates an end and its claim.
local function record(token, ends, latest, now)
  if not ends[1] then
    return
  end
  local key = 'token:' .. tag .. ':' .. token
  local ttl = redis.call('PTTL', key)
  redis.call('ZADD', key, unpack(ends))
  if ttl ~= -2 then -- a token that is used repeatedly keeps no expired claims
    redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. text(now))
  end
  if ttl < latest - now then
    redis.call('PEXPIREAT', key, text(latest + 1000)) -- a margin, so that not every grant has to set it
  end
end

-- All holds of a token, and of no other token: the `keys` of its holds, the listed `moments` of each resource, whether
-- it has a claim at a moment (`at`), the claims that count in some shares (`counted`), and when the latest hold was
-- asked for.
local function find_all(token)
  local found = {token = token, keys = {}, moments = {}, at = {}, counted = {}, asked = 0}
  local keys = redis.call('ZRANGE', 'token:' .. tag .. ':' .. token, 0, -1)
  if not keys[1] then
    return found
  end
  for i, claim in ipairs(keys) do
    keys[i] = 'hold:' .. tag .. ':' .. claim
  end
  local values, by, asked, granted, shares, _ = redis.call('MGET', unpack(keys)), nil, nil, nil, nil, nil
  for i, value in ipairs(values) do
    if value ~= values[i - 1] then -- usually all claims of a hold have the same value
      by, _, _, asked, granted, shares = parse(value)
    end
    if by == token then
      local resource, moment = string.match(keys[i], '}:(.*)/(.*)$')
      found.keys[#found.keys + 1], found.at[moment] = keys[i], true
      group(found.counted, shares, resource .. '/' .. moment)
      found.asked = math.max(found.asked, tonumber(asked))
      if granted ~= '' then
        found.moments[resource] = found.moments[resource] or {}
        table.insert(found.moments[resource], moment)
      end
    end
  end
  return found
end

-- Delete the holds that `find_all` has found.
local function free(found)
  if found.keys[1] then
    redis.call('DEL', unpack(found.keys))
  end
  for resource, moments in pairs(found.moments) do
    unlist(resource, moments)
  end
  give_back(found.counted)
  redis.call('DEL', 'token:' .. tag .. ':' .. found.token)
end

