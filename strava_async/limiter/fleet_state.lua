-- The state of processes that share a quota, and how it is kept: fleet_state.py and fleet_codec.py have the words.
--
-- KEYS: the quota, a hash with the field "state"; the rows, a hash with a field for each process.
-- ARGV: the process, its report, the instant; an empty report means the check, an empty instant the server's own TIME.
--
-- The pieces are put together in the order state, learn, shares, grants, sync. Numbers are whole, and doubles hold them
-- exactly; NONE stands for one that is not known. Budgets are 1 and 2 here, meters 1 to 4. State, rows, reports and
-- replies are packed: to read them as JSON would take longer than all the rest.

local NONE, READ, OVERALL = -1, 1, 2
local READ_QUARTER, READ_DAY, OVERALL_QUARTER, OVERALL_DAY = 1, 2, 3, 4
local BUDGET = {READ, READ, OVERALL, OVERALL}
local QUARTER_SECONDS, QUARTERS_PER_DAY = 900, 96
local VERSION = 1
local floor, ceil, max, min, sqrt, huge = math.floor, math.ceil, math.max, math.min, math.sqrt, math.huge

-- A version, then a double for each number of a Fleet but its doubts, lost requests and rows; then the number of rows,
-- the instant at which a lease ends first, the one at which the keys were last told when to expire, and the numbers of
-- doubts and lost requests, which follow.
local STATE = '<Bdddddddddddddddddddddddddddddddddddddddddddddddddddddddd'
local DOUBT, LOST = '<BddBc0', '<dddBBc0'
-- Instants are from the first on, which is that of the last call: so a row is short.
local ROW, ENTRY = '<I6I4i4I6I4I4I4I4I4I4I4I4I4I4BB', '<I4I4I6B'
local REPORT = '<ddddddddddddddddddddddddddddddddddddddddddddddddd'
local REPORT_ENTRY = '<ddddd'
local REPLY = '<ddddddddddddddddddddddddddddddd'

local function int(boolean) return boolean and 1 or 0 end

-- A script that fails may not have written yet, so it says which command this user lacks; servers do not, before 7.2.
local function call(name, ...)
  local reply = redis.pcall(name, ...)
  if type(reply) == 'table' and reply.err then
    if string.find(reply.err, "can't access") or string.find(reply.err, 'access a key') then
      error({err = 'STRAVA KEYS'})
    elseif string.find(reply.err, "can't run") or string.find(reply.err, 'no permissions') then
      error({err = 'STRAVA COMMAND ' .. name})
    end
    error(reply)
  end
  return reply
end

local function new_fleet()
  return {
    sequence = 0, wall = 0, at = 0, quarter = 0, sure = false, turned_at = 0, ends_at = 0, heals_until = 0,
    usage = {NONE, NONE, NONE, NONE}, limits = {NONE, NONE, NONE, NONE}, limits_at = NONE, limits_confirmed = false,
    number_at = {NONE, NONE}, gone = {0, 0},
    others = NONE, others_at_first = 0, others_before = 0, own_before = 0,
    was_full = false, first_at = NONE, has_number = false, answered_at = 0, step = 0, answered = 0,
    cooldown_until = {0, 0}, refused_at = {NONE, NONE}, judged_at = {NONE, NONE}, served_at = {NONE, NONE},
    refusals = {0, 0}, late_until = 0, late_at = NONE, lateness = {0, 0}, probed = 0,
    interactive = 0, interactive_before = 0, most = 0, most_before = 0,
    doubts = {}, lost = {}, rows = 0, lease_ends_at = 0, kept_at = NONE,
  }
end

local function load_fleet(text)
  local _, sequence, wall, at, quarter, sure, turned_at, ends_at, heals_until, usage_1, usage_2, usage_3, usage_4,
    limit_1, limit_2, limit_3, limit_4, limits_at, limits_confirmed, number_at_1, number_at_2, gone_1, gone_2,
    others, others_at_first, others_before, own_before, was_full, first_at, has_number, answered_at, step, answered,
    cooldown_1, cooldown_2, refused_1, refused_2, judged_1, judged_2, served_1, served_2, refusals_1, refusals_2,
    late_until, late_at, lateness_1, lateness_2, probed, interactive, interactive_before, most, most_before,
    rows, lease_ends_at, kept_at, doubts, lost, position = struct.unpack(STATE, text)
  local fleet = {
    sequence = sequence, wall = wall, at = at, quarter = quarter, sure = sure == 1, turned_at = turned_at,
    ends_at = ends_at, heals_until = heals_until,
    usage = {usage_1, usage_2, usage_3, usage_4}, limits = {limit_1, limit_2, limit_3, limit_4},
    limits_at = limits_at, limits_confirmed = limits_confirmed == 1,
    number_at = {number_at_1, number_at_2}, gone = {gone_1, gone_2},
    others = others, others_at_first = others_at_first, others_before = others_before, own_before = own_before,
    was_full = was_full == 1, first_at = first_at, has_number = has_number == 1,
    answered_at = answered_at, step = step, answered = answered,
    cooldown_until = {cooldown_1, cooldown_2}, refused_at = {refused_1, refused_2}, judged_at = {judged_1, judged_2},
    served_at = {served_1, served_2}, refusals = {refusals_1, refusals_2},
    late_until = late_until, late_at = late_at, lateness = {lateness_1, lateness_2}, probed = probed,
    interactive = interactive, interactive_before = interactive_before, most = most, most_before = most_before,
    doubts = {}, lost = {}, rows = rows, lease_ends_at = lease_ends_at, kept_at = kept_at,
  }
  for _ = 1, doubts do
    local meter, known, told_at, process
    meter, known, told_at, process, position = struct.unpack(DOUBT, text, position)
    fleet.doubts[meter] = {usage = known, at = told_at, process = process}
  end
  for i = 1, lost do
    local read, overall, arrived_at, in_window, process
    read, overall, arrived_at, in_window, process, position = struct.unpack(LOST, text, position)
    fleet.lost[i] = {process = process, read, overall, arrived_at = arrived_at, in_window = in_window == 1}
  end
  return fleet
end

local function dump_fleet(fleet)
  local doubts, usage, limits, number_at, gone = 0, fleet.usage, fleet.limits, fleet.number_at, fleet.gone
  local cooldown, refused, judged, served = fleet.cooldown_until, fleet.refused_at, fleet.judged_at, fleet.served_at
  local refusals, lateness = fleet.refusals, fleet.lateness
  local tail = {}
  for meter, doubt in pairs(fleet.doubts) do
    doubts = doubts + 1
    tail[#tail + 1] = struct.pack(DOUBT, meter, doubt.usage, doubt.at, #doubt.process, doubt.process)
  end
  for _, each in ipairs(fleet.lost) do
    tail[#tail + 1] = struct.pack(
      LOST, each[READ], each[OVERALL], each.arrived_at, int(each.in_window), #each.process, each.process)
  end
  return struct.pack(
    STATE, VERSION, fleet.sequence, fleet.wall, fleet.at, fleet.quarter, int(fleet.sure), fleet.turned_at,
    fleet.ends_at, fleet.heals_until, usage[1], usage[2], usage[3], usage[4], limits[1], limits[2], limits[3],
    limits[4], fleet.limits_at, int(fleet.limits_confirmed), number_at[READ], number_at[OVERALL], gone[READ],
    gone[OVERALL], fleet.others, fleet.others_at_first, fleet.others_before, fleet.own_before, int(fleet.was_full),
    fleet.first_at, int(fleet.has_number), fleet.answered_at, fleet.step, fleet.answered, cooldown[READ],
    cooldown[OVERALL], refused[READ], refused[OVERALL], judged[READ], judged[OVERALL], served[READ], served[OVERALL],
    refusals[READ], refusals[OVERALL], fleet.late_until, fleet.late_at, lateness[1], lateness[2], fleet.probed,
    fleet.interactive, fleet.interactive_before, fleet.most, fleet.most_before, fleet.rows, fleet.lease_ends_at,
    fleet.kept_at, doubts, #fleet.lost) .. table.concat(tail)
end

local function load_entries(text, position, count, entries)
  for _ = 1, count do
    local read, overall, arrived_at, in_window
    read, overall, arrived_at, in_window, position = struct.unpack(ENTRY, text, position)
    entries[#entries + 1] = {read, overall, arrived_at = arrived_at, in_window = in_window == 1}
  end
  return entries
end

local function load_row(text)
  local at, count, asks, wanted, lease, known, held_read, held, done_read, done, interactive, normal, background,
    uploads, ahead, entries, position = struct.unpack(ROW, text)
  return {
    count = count, at = at, asks_at = at + asks, wanted_at = wanted - 1, lease_until = at + lease,
    known_until = at + known, held = {held_read, held}, done = {done_read, done},
    wants = {interactive, normal, background, uploads}, ahead = ahead,
    unconfirmed = load_entries(text, position, entries, {}),
  }
end

local function dump_row(row)
  local held, done, wants, at = row.held, row.done, row.wants, row.at
  local text = struct.pack(
    ROW, at, row.count, row.asks_at - at, row.wanted_at + 1, row.lease_until - at, row.known_until - at, held[READ],
    held[OVERALL], done[READ], done[OVERALL], wants[1], wants[2], wants[3], wants[4], row.ahead, #row.unconfirmed)
  for _, each in ipairs(row.unconfirmed) do
    text = text .. struct.pack(ENTRY, each[READ], each[OVERALL], each.arrived_at, int(each.in_window))
  end
  return text
end

local function load_report(process, text)
  local count, acknowledged, seen, alone, quarter, sure, ms_left, held_read, held, done_read, done,
    number_1, number_2, number_3, number_4, latest_1, latest_2, latest_3, latest_4, number_at_1, number_at_2,
    known_1, known_2, known_3, known_4, limit_1, limit_2, limit_3, limit_4, limits_at, assumed,
    refused_1, refused_2, refused_ms, served_1, served_2, late_at, late_ms, lateness_1, lateness_2,
    interactive, normal, background, uploads, in_advance, lease_ms, row_ms, reserve, entries, position
    = struct.unpack(REPORT, text)
  local unconfirmed = {}
  for i = 1, entries do
    local read, overall, arrived_at, in_window, ms
    read, overall, arrived_at, in_window, ms, position = struct.unpack(REPORT_ENTRY, text, position)
    unconfirmed[i] = {read, overall, arrived_at = arrived_at, in_window = in_window == 1, ms = ms}
  end
  return {
    process = process, count = count, acknowledged = acknowledged, seen = seen, alone = alone == 1,
    quarter = quarter, sure = sure == 1, ms_left = ms_left, held = {held_read, held}, done = {done_read, done},
    numbers = {number_1, number_2, number_3, number_4}, latest = {latest_1, latest_2, latest_3, latest_4},
    number_at = {number_at_1, number_at_2}, known = {known_1, known_2, known_3, known_4},
    limits = {limit_1, limit_2, limit_3, limit_4}, limits_at = limits_at, assumed = assumed == 1,
    unconfirmed = unconfirmed, refused_at = {refused_1, refused_2}, refused_ms = refused_ms,
    served_at = {served_1, served_2}, late_at = late_at, late_ms = late_ms, lateness = {lateness_1, lateness_2},
    wants = {interactive, normal, background, uploads}, reads = interactive + normal + background,
    total = interactive + normal + background + uploads,
    in_advance = in_advance, lease_ms = lease_ms, row_ms = row_ms, reserve = reserve,
  }
end

local function is_unconfirmed(fleet, requests)
  local number_at = fleet.number_at
  return (requests[READ] > 0 and requests.arrived_at > number_at[READ])
    or (requests[OVERALL] > 0 and requests.arrived_at > number_at[OVERALL])
end

local function is_known(fleet, budget)
  local usage, limits, meter = fleet.usage, fleet.limits, 2 * budget
  return usage[meter - 1] ~= NONE and usage[meter] ~= NONE and limits[meter - 1] ~= NONE and limits[meter] ~= NONE
end

-- What is in no number of these requests, and of those that were lost: in this window, and in this day.
local function unconfirmed_of(fleet, entries)
  local in_window, in_day, number_at = {0, 0}, {0, 0}, fleet.number_at
  for _, list in ipairs({fleet.lost, entries}) do
    for _, requests in ipairs(list) do
      for budget = READ, OVERALL do
        if requests.arrived_at > number_at[budget] then
          in_day[budget] = in_day[budget] + requests[budget]
          if requests.in_window then in_window[budget] = in_window[budget] + requests[budget] end
        end
      end
    end
  end
  return in_window, in_day
end

-- The requests of all that Strava may have counted in this window, or will count.
local function own_of(fleet, all)
  local own = {all.done[READ] + all.held[READ], all.done[OVERALL] + all.held[OVERALL]}
  for _, requests in ipairs(fleet.lost) do
    if requests.in_window then
      own[READ], own[OVERALL] = own[READ] + requests[READ], own[OVERALL] + requests[OVERALL]
    end
  end
  return own
end
