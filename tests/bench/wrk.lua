-- What wrk sends: commands to one path, so many in turn to each slot; the answers are counted by status.
-- wrk ... -s wrk.lua URL -- PATH FIRST_MILLISECONDS REQUESTS_A_SLOT

statuses = {} -- global: done() may read nothing else of a thread

local threads = {}
local sent = 0
local head, first, share

local BODY = '{"slot":"%s.%03dZ","patientName":"Ada Lovelace"}'

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  head = "POST " .. args[1] .. " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
  first, share = tonumber(args[2]), tonumber(args[3])
end

function request()
  local milliseconds = first + math.floor(sent / share)
  sent = sent + 1
  local seconds = math.floor(milliseconds / 1000)
  local body = BODY:format(os.date("!%Y-%m-%dT%H:%M:%S", seconds), milliseconds - seconds * 1000)
  return head .. "Content-Length: " .. #body .. "\r\n\r\n" .. body
end

function response(status)
  statuses[status] = (statuses[status] or 0) + 1
end

function done(summary, latency)
  local counts = {}
  for _, thread in ipairs(threads) do
    for status, count in pairs(thread:get("statuses")) do
      table.insert(counts, string.format('"%d":%d', status, count))
    end
  end
  local errors = summary.errors
  print(string.format(
    'RESULT {"statuses":{%s},"seconds":%.6f,"p50":%.3f,"p99":%.3f,"broken":%d}',
    table.concat(counts, ","), summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.timeout))
end
