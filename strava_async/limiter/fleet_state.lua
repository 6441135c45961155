-- The state of processes that share a quota, and how it is kept: quota/fleet/state.py has the words.
--
-- KEYS: the quota, a hash with the field "state"; the rows, a hash with a field for each process.
-- ARGV: the process, its report, the instant; an empty report means the check, an empty instant the server's own TIME.
--
-- redis_script.py puts the pieces together, in the order state, learn, shares, probes, grants, window, sync, and makes
-- them cheap. Names in capitals are replaced by their values, which are those of the rules in quota/fleet, or stand
-- here. The fields of ``fleet``, ``report``, ``row``, ``requests``, ``sum`` and ``doubt`` are replaced by their places
-- in a flat list, of which it has the order: so ``fleet.usage[meter]`` is one look-up. And a function without arguments
-- whose only call is a line of its own stands there itself.
-- Budgets are 1 and 2 here, meters 1 to 4, and truth is 1 or 0. All numbers are whole, and doubles hold them exactly.

local READ, OVERALL = 1, 2
local READ_DAY, OVERALL_QUARTER, OVERALL_DAY = 2, 3, 4
local INTERACTIVE, NORMAL, BACKGROUND, UPLOADS = 1, 2, 3, 4
-- Instants are from the first on, which is that of the last call: so a row is short.
local ROW, ENTRY = '<I6I4i4I6I4I4I4I4I4I4I4I4I4I4BB', '<I4I4I6B'
local DOUBT, LOST, REPORTED = '<BddBc0', '<dddBBc0', '<ddddd'

local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min
local fleet, report, row
local doubts = {}       -- by meter
local lost = {}         -- requests of processes that were lost
local unconfirmed = {}  -- those of all processes that are known
local own_unconfirmed = {}
local found = {}        -- the rows as HGETALL has them, with false for those that are gone
local mine              -- where among them that of the process is
local held_read, held, done_read, done = 0, 0, 0, 0  -- what all hold, and what all have ended in this window
local wanted_reads, wanted                           -- what the process wants

local function int(boolean) return boolean and 1 or 0 end

local function is_day(meter) return meter == READ_DAY or meter == OVERALL_DAY end

local function load_fleet(text)
  fleet = {struct.unpack(STATE, text, 2)}  -- after the version
  local position = fleet.position
  for _ = 1, fleet.doubts do
    local meter, usage, at, process
    meter, usage, at, process, position = struct.unpack(DOUBT, text, position)
    doubts[meter] = {usage, at, process}
  end
  for i = 1, fleet.lost do
    local read, overall, arrived_at, in_window, process
    read, overall, arrived_at, in_window, process, position = struct.unpack(LOST, text, position)
    lost[i] = {read, overall, arrived_at, in_window, process}
  end
end

local function dump_fleet()
  local tail = ''
  fleet.doubts, fleet.lost = 0, #lost
  for meter, doubt in pairs(doubts) do
    fleet.doubts = fleet.doubts + 1
    tail = tail .. struct.pack(DOUBT, meter, doubt.usage, doubt.at, #doubt.process, doubt.process)
  end
  for _, requests in ipairs(lost) do
    local process = requests.process
    tail = tail .. struct.pack(
      LOST, requests.read, requests.overall, requests.arrived_at, requests.in_window, #process, process)
  end
  return VERSION_BYTE .. struct.pack(STATE, unpack(fleet, 1, STATE_SIZE)) .. tail
end

local function load_entries(text, position, count, entries)
  for _ = 1, count do
    local read, overall, arrived_at, in_window
    read, overall, arrived_at, in_window, position = struct.unpack(ENTRY, text, position)
    entries[#entries + 1] = {read, overall, arrived_at, in_window}
  end
  return entries
end

local function load_row(text)
  local at, count, asks, wanted, lease, known, held_read, held, done_read, done, interactive, normal, background,
    uploads, ahead, entries, position = struct.unpack(ROW, text)
  local row = {
    count, at, at + asks, wanted - 1, at + lease, at + known, held_read, held, done_read, done,
    interactive, normal, background, uploads, ahead}
  return row, load_entries(text, position, entries, {})
end

local function dump_row(row, entries)
  local at = row.at
  local text = struct.pack(
    ROW, at, row.count, row.asks_at - at, row.wanted_at + 1, row.lease_until - at, row.known_until - at,
    row.held[READ], row.held[OVERALL], row.done[READ], row.done[OVERALL], row.wants[INTERACTIVE], row.wants[NORMAL],
    row.wants[BACKGROUND], row.wants[UPLOADS], row.ahead, #entries)
  for _, requests in ipairs(entries) do
    text = text .. struct.pack(ENTRY, requests.read, requests.overall, requests.arrived_at, requests.in_window)
  end
  return text
end

local function is_known(budget)
  local day = 2 * budget
  return fleet.usage[day - 1] ~= NONE and fleet.usage[day] ~= NONE
    and fleet.limits[day - 1] ~= NONE and fleet.limits[day] ~= NONE
end

local function is_unconfirmed(requests)
  return (requests.read > 0 and requests.arrived_at > fleet.number_at[READ])
    or (requests.overall > 0 and requests.arrived_at > fleet.number_at[OVERALL])
end

-- What is in no number of these requests and of those that were lost: reads and all in this window, and in this day.
local function sum_unconfirmed(list)
  local read_window, window, read_day, day = 0, 0, 0, 0
  if #list == 0 and #lost == 0 then return 0, 0, 0, 0 end
  for _, each in ipairs({list, lost}) do
    for _, requests in ipairs(each) do
      local reads = requests.arrived_at > fleet.number_at[READ] and requests.read or 0
      local all = requests.arrived_at > fleet.number_at[OVERALL] and requests.overall or 0
      read_day, day = read_day + reads, day + all
      if requests.in_window == 1 then read_window, window = read_window + reads, window + all end
    end
  end
  return read_window, window, read_day, day
end

-- The requests of all that Strava may have counted in this window, or will count: reads, and all.
local function own_requests()
  local reads, all = done_read + held_read, done + held
  for _, requests in ipairs(lost) do
    if requests.in_window == 1 then reads, all = reads + requests.read, all + requests.overall end
  end
  return reads, all
end
