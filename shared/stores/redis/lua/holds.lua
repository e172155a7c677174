-- What all scripts share: it stands in each of them behind the first line, which has the script's flags.
-- All that a command touches is of one site. Keys that a script comes to know only as it runs (a hold knows its
-- token, a token its claims) have the hash tag of its KEYS, and so lie where those do, in a cluster too.
-- A script does a bounded amount of work, for Redis does nothing else meanwhile: it reads and deletes many keys by one
-- command, and leaves for a later run what is more than it may free (`LATER`).
-- hold:{site}:<claim>           token, digest, when it was placed, when its caller asked and, once it is granted, when it
--                               first was (Unix ms)
-- intents:{site}                the batches of bookings that are being made, by when each ends (Unix ms)
-- intent:{site}:<batch>         the claims of a batch that may be booked, a set
-- token:{site}:<token>          the claims of a hold, placed or granted, by when each ends (Unix ms)
-- released:{site}:<token>       when the caller of the latest release asked (Unix ms)
-- held:{site}:<resource>        the moments at which the resource is held (Unix ms), in their order
-- held_ends:{site}:<resource>   the same moments, by when each hold ends (Unix ms)
-- held_resources:{site}         the resources that have such moments, by when the last hold ends at the latest (Unix ms)
local tag = string.match(KEYS[1], '{.-}')
-- In the place of an answer, as in `scripts.py`: this call was not done, the script is to be run again for it.
local LATER = -1

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
  return string.sub(key, string.find(key, '}', 1, true) + 2)
end

-- Of a hold's value: token, digest, when it was placed, when it was asked for, when it was granted ('' if it was not).
local function parse(value)
  if value then
    return string.match(value, '^(%S+) (%S+) (%d+) (%d+) ?(%d*)$')
  end
end

-- The values of some KEYS behind the `first`; false where there is none.
local function values_of(first, count)
  return redis.call('MGET', unpack(KEYS, first + 1, first + count))
end

-- What the bookings of a batch find held: their KEYS begin behind the `first`, their ARGV at `a` (register_intents.lua).
-- Returns the state of each, the claims of those that may pass, and where the next batch begins in KEYS and ARGV.
local function states_of(first, a)
  local keys, bookings = tonumber(ARGV[a]), tonumber(ARGV[a + 3])
  local values, states, passing, done = values_of(first, keys), {}, {}, 0
  a = a + 4
  for n = 1, bookings do
    local count, token, digest, state = tonumber(ARGV[a]), ARGV[a + 1], ARGV[a + 2], 0
    for i = done + 1, done + count do
      local value = values[i]
      if value then
        local by, of = parse(value)
        if by ~= token and of ~= digest then
          state = 2
          break
        end
        state = 1
      end
    end
    if state ~= 2 then
      for i = done + 1, done + count do
        passing[#passing + 1] = claim_of(KEYS[first + i])
      end
    end
    states[n], done, a = state, done + count, a + 3
  end
  return states, passing, first + keys, a
end

local function released_at(token)
  return tonumber(redis.call('GET', 'released:' .. tag .. ':' .. token) or -1)
end

-- How many claims a token holds, placed or granted.
local function count_held(token, now)
  return redis.call('ZCOUNT', 'token:' .. tag .. ':' .. token, text(now), '+inf')
end

-- Keep in the record of a token when its claims end: `ends` has such an end, then a claim, and so on.
local function record(token, ends, latest, now)
  if not ends[1] then
    return
  end
  local key = 'token:' .. tag .. ':' .. token
  local ttl = redis.call('PTTL', key)
  redis.call('ZADD', key, unpack(ends))
  if ttl ~= -2 then -- a token that is used again and again keeps no more than what stands
    redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. text(now))
  end
  if ttl < latest - now then
    redis.call('PEXPIREAT', key, text(latest + 1000)) -- so that not each grant has to set it
  end
end

-- Remove moments from what is listed of a resource.
local function unlist(resource, moments)
  redis.call('ZREM', 'held:' .. tag .. ':' .. resource, unpack(moments))
  redis.call('ZREM', 'held_ends:' .. tag .. ':' .. resource, unpack(moments))
end

-- List that a resource is held: `moments` has each moment twice, `ends` its end, then the moment.
-- Two sets, for one is read by time, and what has expired is found in the other: each grant removes up to twice as
-- many as it adds, so that what has expired never grows. What ends before its time is removed at once (`free`).
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

-- All that a token holds, and nothing of another: the `keys` of its holds, the `moments` of each resource that are
-- listed, whether it has a claim at each moment (`at`), and when the latest of them was asked for.
local function find_all(token)
  local found = {token = token, keys = {}, moments = {}, at = {}, asked = 0}
  local keys = redis.call('ZRANGE', 'token:' .. tag .. ':' .. token, 0, -1)
  if not keys[1] then
    return found
  end
  for i, claim in ipairs(keys) do
    keys[i] = 'hold:' .. tag .. ':' .. claim
  end
  local values, by, asked, granted, _ = redis.call('MGET', unpack(keys)), nil, nil, nil, nil
  for i, value in ipairs(values) do
    if value ~= values[i - 1] then -- mostly all claims of a hold have one value
      by, _, _, asked, granted = parse(value)
    end
    if by == token then
      local resource, moment = string.match(keys[i], '}:(.*)/(.*)$')
      found.keys[#found.keys + 1], found.at[moment] = keys[i], true
      found.asked = math.max(found.asked, tonumber(asked))
      if granted ~= '' then
        found.moments[resource] = found.moments[resource] or {}
        table.insert(found.moments[resource], moment)
      end
    end
  end
  return found
end

-- Free what `find_all` has found.
local function free(found)
  if found.keys[1] then
    redis.call('DEL', unpack(found.keys))
  end
  for resource, moments in pairs(found.moments) do
    unlist(resource, moments)
  end
  redis.call('DEL', 'token:' .. tag .. ':' .. found.token)
end

