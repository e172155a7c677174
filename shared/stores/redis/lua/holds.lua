-- The functions that all scripts share, inserted in each script after its first line, which has the script's flags;
-- then come shares.lua and tokens.lua.
-- All keys of a command belong to one site. Keys that a script derives while it runs (a hold's value names its token, a
-- token's record its claims) have the hash tag of its KEYS, so in a cluster they are on the same server.
-- Redis does nothing else while a script runs, so a script does a bounded amount of work: it reads and deletes many
-- keys with one command, and leaves calls beyond its limit for a later run (`LATER`).
-- hold:{site}:<claim>           token, digest, when it was placed, when its caller asked, once granted when it was
--                               first granted (Unix ms), and the shares that it counts in, separated by commas
-- intents:{site}                the batches of bookings in progress, by the end of each intent (Unix ms)
-- intent:{site}:<batch>         the claims of a batch that may be booked, a set
-- token:{site}:<token>          the claims of a token, placed or granted, by the end of each (Unix ms)
-- released:{site}:<token>       when the caller of the latest release asked (Unix ms)
-- held:{site}:<resource>        the moments at which the resource is held (Unix ms), in order
-- held_ends:{site}:<resource>   the same moments, by the end of each hold (Unix ms)
-- held_resources:{site}         the resources that have such moments, by the latest end of a hold (Unix ms)
-- share_holds:{site}:<share>    the claims that a share's holds have, placed or granted, by the end of each (Unix ms)
-- share_bookings:{site}:<share> the claims that a share has booked, by the time of booking (Unix ms)
local tag = string.match(KEYS[1], '{.-}')
-- The answer to a call that was not executed, as in `calls.py`: run the script again for it.
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

-- The parts of a hold's value: token, digest, when it was placed, when its caller asked, when it was granted ('' if it
-- was not), its shares ('' if none).
local function parse(value)
  if value then
    return string.match(value, '^(%S+) (%S+) (%d+) (%d+) ?(%d*) ?(%S*)$')
  end
end

-- The value of a hold; its parts are texts.
local function value_of(token, digest, placed, asked, granted, shares)
  local value = token .. ' ' .. digest .. ' ' .. placed .. ' ' .. asked
  if shares ~= '' then
    return value .. ' ' .. granted .. ' ' .. shares
  end
  return granted == '' and value or value .. ' ' .. granted
end

-- The values of `count` KEYS after the `first`; false for a key that does not exist.
local function values_of(first, count)
  return redis.call('MGET', unpack(KEYS, first + 1, first + count))
end

-- The holds on the claims of a batch of bookings: KEYS begin after the `first`, ARGV at `a` (register_intents.lua).
-- `admit`, if given, decides on a booking with a quota that no hold blocks: it returns the booking's state.
-- Returns the state of each booking, the claims of the bookings that may pass, and where the next batch begins in KEYS
-- and ARGV.
local function states_of(first, a, admit)
  local keys, bookings = tonumber(ARGV[a]), tonumber(ARGV[a + 3])
  local values, states, passing, done = values_of(first, keys), {}, {}, 0
  a = a + 4
  for n = 1, bookings do
    local count, token, digest, quota, state = tonumber(ARGV[a]), ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], 0
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
    if state ~= 2 and admit and quota ~= '' then
      state = admit(quota, state)
    end
    if state ~= 2 and state ~= 3 then
      for i = done + 1, done + count do
        passing[#passing + 1] = claim_of(KEYS[first + i])
      end
    end
    states[n], done, a = state, done + count, a + 4
  end
  return states, passing, first + keys, a
end

-- Remove moments from the sets of a resource.
local function unlist(resource, moments)
  redis.call('ZREM', 'held:' .. tag .. ':' .. resource, unpack(moments))
  redis.call('ZREM', 'held_ends:' .. tag .. ':' .. resource, unpack(moments))
end

-- Add moments to the sets of a resource: `moments` has every moment twice (score, member), `ends` alternates an end and
-- its moment.
-- One set is read by time, the other finds expired moments: each grant removes up to twice as many expired moments as
-- it adds, so that they never accumulate. Moments of a hold that ends early are removed at once (`free`).
local function list(resource, moments, ends, latest, now)
  local held, held_ends = 'held:' .. tag .. ':' .. resource, 'held_ends:' .. tag .. ':' .. resource
  redis.call('ZADD', held, unpack(moments))
  redis.call('ZADD', held_ends, unpack(ends))
  local expired = redis.call('ZRANGEBYSCORE', held_ends, '-inf', text(now), 'LIMIT', 0, #moments)
  if expired[1] then
    unlist(resource, expired)
  end
  if redis.call('PTTL', held) < latest - now then -- both have the same members, and the same end
    local some_time_later = text(latest + 1000) -- a margin, so that not every grant has to set it
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

