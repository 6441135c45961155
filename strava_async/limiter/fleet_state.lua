-- The state of processes that share a quota, and how it is kept: quota/fleet/state.py has the words.
--
-- KEYS: the quota, a hash with the field "state"; the rows, a hash with a field for each process.
-- ARGV: the process, its report, the instant; an empty report means the check, an empty instant the server's own TIME.
--
-- redis_script.py puts the pieces together, in the order state, rows, window, learn, probes, shares, grants, sync, and
-- makes them cheap. Names in capitals are replaced by their values, which are those of the rules in quota/fleet, or
-- stand here. The fields of ``fleet``, ``report``, ``old``, ``row``, ``requests``, ``sum`` and ``doubt`` are replaced
-- by their places in a flat list, of which it has the order: so ``fleet.usage[meter]`` is one look-up. And a function
-- without arguments whose only call is a line of its own stands there itself: to make a function costs more than to
-- call one, so those that few calls need are made where they need them.
-- Budgets are 1 and 2 here, meters 1 to 4, of which the even ones are of days, and truth is 1 or 0. All numbers are
-- whole, and doubles hold them exactly.

local READ, OVERALL = 1, 2
local READ_DAY, OVERALL_QUARTER, OVERALL_DAY = 2, 3, 4
local INTERACTIVE, NORMAL, BACKGROUND, UPLOADS = 1, 2, 3, 4
-- Instants are from the first on, which is that of the last call: so a row is short.
local ROW, ENTRY = '<I6I4i4I6I4I4I4I4I4I4I4I4I4I4BBI2', '<I4I4I6B'
local ROW_BYTES, ROW_NUMBERS = 64, 17
local DOUBT, LOST, REPORTED = '<BddBc0', '<dddBBc0', '<ddddd'
-- A place in the line, and how many of them are unpacked at once.
local PLACE, PLACE_BYTES, ABSENT, MOST_AT_ONCE = 'I4i6', 10, 4294967295, 500

local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min
local fleet, report
local old, row                -- the row of the process as it was, or nil where it has none; and as it becomes
local slot, used              -- its place in the line, and what it has had in this window
local state, line_at          -- the state as it is kept, and where in it the line begins
local line                    -- two numbers for each slot: see fleet_rows.lua
local doubts, none = {}, {}   -- numbers in doubt by meter; and a list that stays empty
local lost = none             -- requests of processes that were lost
local unconfirmed, own_unconfirmed = none, none  -- requests of the others, and of the process
local found                   -- the rows as HGETALL has them, where they are needed; false for those that are gone
local changed, gone = none, none  -- what is to be written of the rows of others
local reading, now            -- of the meeting place's clock, and the instant that it is
local since, is_new           -- since when the window, or the books, are as they are; whether that is new
local wanted_reads, wanted    -- what the process wants
local in_window               -- whether it is in the window of all
local held_read, held         -- what all hold
local done                    -- what all have ended in this window
local own_reads, own          -- their requests that Strava may have counted in it, or will count
local room                    -- of each meter

-- Read the state, and the row of the process. What has no fixed length comes first.
local function read_state()
  state = call('HGET', KEYS[1], 'state')
  local version = state and string.byte(state)
  if version and version > VERSION then error({err = 'STRAVA LATER'}) end
  if version == VERSION then
    fleet = {struct.unpack(STATE, state, #state - STATE_BYTES + 1)}
    line_at = 2
    for _ = 1, fleet.doubts do
      local meter, usage, at, process
      meter, usage, at, process, line_at = struct.unpack(DOUBT, state, line_at)
      doubts[meter] = {usage, at, process}
    end
    if fleet.lost > 0 then lost = {} end
    for i = 1, fleet.lost do
      local read, overall, arrived_at, in_window, process
      read, overall, arrived_at, in_window, process, line_at = struct.unpack(LOST, state, line_at)
      lost[i] = {read, overall, arrived_at, in_window, process}
    end
    local row = call('HGET', KEYS[2], ARGV[1])
    if row then old = {struct.unpack(ROW, row)} end
  else
    fleet = {NEW_STATE}
  end
end

-- Write the state, with the row of the process in the sums and in the line.
local function write_state()
  local had, would_have = count_row(1, unpack(row))
  local head, behind
  if found then
    local function dump_places(first, last)
      local text = ''
      for from = first, last, MOST_AT_ONCE do
        local to = min(last, from + MOST_AT_ONCE - 1)
        text = text .. struct.pack('<' .. string.rep(PLACE, to - from + 1), unpack(line, 2 * from - 1, 2 * to))
      end
      return text
    end

    head, behind = '', dump_places(slot + 1, #line / 2)
    fleet.lost = #lost
    for _, requests in ipairs(lost) do
      local process = requests.process
      head = head .. struct.pack(
        LOST, requests.read, requests.overall, requests.arrived_at, requests.in_window, #process, process)
    end
    head = head .. dump_places(1, slot - 1)
  else
    local place_at = line_at + PLACE_BYTES * (slot - 1)
    head = string.sub(state, line_at, place_at - 1)
    behind = string.sub(state, place_at + PLACE_BYTES, #state - STATE_BYTES)
  end
  fleet.doubts = 0
  for meter, doubt in pairs(doubts) do
    fleet.doubts = fleet.doubts + 1
    head = struct.pack(DOUBT, meter, doubt.usage, doubt.at, #doubt.process, doubt.process) .. head
  end
  local text = struct.pack(ALL_OF_STATE, VERSION, head, had, would_have, behind, unpack(fleet, 1, STATE_SIZE))
  call('HSET', KEYS[1], 'state', text)
end
