-- Sends requests to one path, and counts the answers by status.
-- A POST books or holds. GROUP requests in turn compete: each is for a slot OFFSET_MS after the one before. The next
-- group begins STEP_MS later. MORE is the JSON of further fields of each body, with a comma before it, or '-'.
-- Any other method appends the next line of a file to the path; a PATCH moves that appointment to a free slot.
-- wrk ... -s wrk.lua URL -- METHOD PATH FIRST_MS STEP_MS GROUP OFFSET_MS MORE FILE [KEY]

statuses = {} -- global, because done() can read only the globals of a thread

local threads = {}
local sent = 0
local method, path, first, step, group, offset
local lines = {}
local authorization = ""

local HEAD = "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
local BODIES = {
  POST = '{"slot":"%s.%03dZ","patientName":"Ada Lovelace"MORE}',
  PATCH = '{"slot":"%s.%03dZ"}',
}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  method, path = args[1], args[2]
  first, step, group, offset = tonumber(args[3]), tonumber(args[4]), tonumber(args[5]), tonumber(args[6])
  BODIES.POST = BODIES.POST:gsub('MORE', args[7] == '-' and '' or args[7])
  if args[9] then
    authorization = "Authorization: Bearer " .. args[9] .. "\r\n"
  end
  for line in io.lines(args[8]) do
    table.insert(lines, line)
  end
end

-- A second change of an appointment would cost nothing, so after the last line the path leads to a 404.
local function target()
  if method == "POST" then
    return path
  elseif method == "GET" then
    return path .. lines[sent % #lines + 1]
  end
  return path .. (lines[sent + 1] or "/none-left")
end

function request()
  local milliseconds = first + math.floor(sent / group) * step + sent % group * offset
  local head = HEAD:format(method, target()) .. authorization
  sent = sent + 1
  if not BODIES[method] then
    return head .. "\r\n"
  end
  local seconds = math.floor(milliseconds / 1000)
  local moment = os.date("!%Y-%m-%dT%H:%M:%S", seconds)
  local body = BODIES[method]:format(moment, milliseconds - seconds * 1000)
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
