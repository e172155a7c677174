-- What scripts of holds share: it stands before each of them.
-- All that a command touches is of one site. Keys that a script comes to know only as it runs (a hold knows its
-- token, a token its claims) have the hash tag of its KEYS, and so lie where those do, in a cluster too.
-- token:{site}:<token>          the claims of a hold, placed or granted, by when each ends at the latest (Unix ms)
-- held:{site}:<resource>        the moments at which the resource is held (Unix ms), in their order
-- held_ends:{site}:<resource>   the same moments, by when each hold ends (Unix ms)
-- held_resources:{site}         the resources that have such moments, by when the last hold ends at the latest (Unix ms)
local tag = string.match(KEYS[1], '{.-}')

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function text(number)
  return string.format('%.0f', number)
end

local function append(array, one, two)
  array[#array + 1], array[#array + 2] = one, two
end

local function claim_of(key)
  return string.match(key, '}:(.*)$')
end

-- Keep in the record of a token when its claims end at the latest: `ends` has such an end, then a claim, and so on.
local function record(token, ends, latest, now)
  local key = 'token:' .. tag .. ':' .. token
  local ttl = redis.call('PTTL', key)
  redis.call('ZADD', key, unpack(ends))
  if ttl ~= -2 then -- a token that is used again and again keeps no more than what stands
    redis.call('ZREMRANGEBYSCORE', key, '-inf', text(now))
  end
  if ttl < latest - now then
    redis.call('PEXPIREAT', key, text(latest))
  end
end

-- Remove moments from what is listed of a resource.
local function unlist(resource, moments)
  redis.call('ZREM', 'held:' .. tag .. ':' .. resource, unpack(moments))
  redis.call('ZREM', 'held_ends:' .. tag .. ':' .. resource, unpack(moments))
end

-- List that a resource is held: `moments` has each moment twice, `ends` its end, then the moment.
-- Two sets, for one is read by time, and what has expired is found in the other: each grant removes up to twice as
-- many as it adds, so that what has expired never grows. What ends before its time is removed at once (`free_all`).
local function list(resource, moments, ends, latest, now)
  local held, held_ends = 'held:' .. tag .. ':' .. resource, 'held_ends:' .. tag .. ':' .. resource
  redis.call('ZADD', held, unpack(moments))
  redis.call('ZADD', held_ends, unpack(ends))
  local expired = redis.call('ZRANGEBYSCORE', held_ends, '-inf', text(now), 'LIMIT', 0, #moments)
  if expired[1] then
    unlist(resource, expired)
  end
  if redis.call('PTTL', held) < latest - now then -- both have the same members, and the same end
    local some_time_later = text(latest + 1000) -- so that not each grant has to set it
    redis.call('PEXPIREAT', held, some_time_later)
    redis.call('PEXPIREAT', held_ends, some_time_later)
  end
  local resources = 'held_resources:' .. tag
  redis.call('ZADD', resources, 'GT', text(latest), resource)
  local over = redis.call('ZRANGEBYSCORE', resources, '-inf', text(now), 'LIMIT', 0, 2)
  if over[1] then
    redis.call('ZREM', resources, unpack(over))
  end
  if redis.call('PTTL', resources) < latest - now then
    redis.call('PEXPIREAT', resources, text(latest + 1000))
  end
end

-- Free all that a token holds, and nothing of another; how many claims that were.
local function free_all(token)
  local record, freed = 'token:' .. tag .. ':' .. token, 0
  local claims = redis.call('ZRANGE', record, 0, -1)
  for start = 1, #claims, 1000 do
    local keys, own, moments = {}, {}, {}
    for i = start, math.min(start + 999, #claims) do
      keys[#keys + 1] = 'hold:' .. tag .. ':' .. claims[i]
    end
    for i, value in ipairs(redis.call('MGET', unpack(keys))) do
      local by, granted = string.match(value or '', '^(%S+) %S+ %d+ ?(%d*)$')
      if by == token then
        own[#own + 1] = keys[i]
        if granted ~= '' then
          local resource, moment = string.match(keys[i], '}:(.*)/(.*)$')
          moments[resource] = moments[resource] or {}
          table.insert(moments[resource], moment)
        end
      end
    end
    if own[1] then
      redis.call('DEL', unpack(own))
    end
    for resource, of_resource in pairs(moments) do
      unlist(resource, of_resource)
    end
    freed = freed + #own
  end
  redis.call('DEL', record)
  return freed
end

