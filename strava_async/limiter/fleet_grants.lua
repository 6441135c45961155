-- What a process may start, from all that is known: the twin of line.py and grants.py in quota/fleet.

local UNBOUNDED, MOST_SPARE = 2 ^ 30, 1000

local others = 0                   -- how many others wait
local uses, demands                -- what each of them had, and would have with all that it will want
local waiting                      -- where among the rows they are
local behind = {}                  -- which of them wait with background work alone
local asleep = {}                  -- which of them will not ask for a while
local unused = 0                   -- what those hold who want nothing: they may give it back soon
local urgent = 0                   -- what waits with them and goes before background work
local lease_ends_at = math.huge    -- of all others

-- How many of those who wait have had less in this window, or as much and a smaller id.
local function ahead_in_line(used)
  -- By bytes: what ``<`` says of texts depends on the server's locale.
  local function is_before(one, other)
    for i = 1, #one do
      local mine, theirs = string.byte(one, i), string.byte(other, i) or -1
      if mine ~= theirs then return mine < theirs end
    end
    return true
  end
  local ahead = 0
  for i = 1, others do
    local theirs = uses[i]
    if theirs < used or (theirs == used and is_before(found[waiting[i] - 1], ARGV[1])) then ahead = ahead + 1 end
  end
  return ahead
end

-- Look at the rows of the others: what all hold and have ended, and who waits. They stay packed, for to look at them is
-- most of what a call costs.
local function look_at_others()
  local now, since = fleet.at, max(fleet.turned_at, fleet.heals_until)
  local is_new = now - since <= AWAKE_MS
  local held_read_sum, held_sum, done_read_sum, done_sum = 0, 0, 0, 0
  -- Made as long as they may become, where that is not absurd: to let them grow costs more.
  local size = min(#found / 2, MOST_SPARE)
  local had, would_have, places = {unpack(found, 1, size)}, {unpack(found, 1, size)}, {unpack(found, 1, size)}
  local ends_at, unpack, count = lease_ends_at, struct.unpack, 0
  for i = 2, #found, 2 do
    local text = found[i]
    if text then
      local at, _, asks, wanted, lease, known, held_read, held, done_read, done, interactive, normal, background,
        uploads, ahead, entries, position = unpack(ROW, text)
      held_read_sum, held_sum = held_read_sum + held_read, held_sum + held
      done_read_sum, done_sum = done_read_sum + done_read, done_sum + done
      if at + known < ends_at then ends_at = at + known end
      if held > 0 and at + lease < ends_at then ends_at = at + lease end
      if entries > 0 then load_entries(text, position, entries, unconfirmed) end
      local wants, waits = interactive + normal + background + uploads, is_new
      if wants == 0 then
        -- A process that has just started all that waited will want as much again when that is answered.
        unused = unused + held
        waits = held > 0 and wanted > 0 and now - wanted + 1 <= FRESH_MS
      elseif not is_new then
        waits = at >= since and now - at - asks <= FRESH_MS
      end
      if waits then
        local used = done + held + ahead
        count = count + 1
        if wants == background and wants > 0 then behind[count] = true end
        if at + asks - now > ASLEEP_MS and not is_new then asleep[count] = true end
        wants = wants + held
        had[count], would_have[count], places[count] = used, used + ELASTIC * (wants > 1 and wants or 1), i
        urgent = urgent + interactive + normal
      end
    end
  end
  held_read, held = held_read_sum + row.held[READ], held_sum + row.held[OVERALL]
  done_read = done_read_sum + row.done[READ] + fleet.gone[READ]
  done = done_sum + row.done[OVERALL] + fleet.gone[OVERALL]
  lease_ends_at, others, uses, demands, waiting = ends_at, count, had, would_have, places
  for _, requests in ipairs(own_unconfirmed) do unconfirmed[#unconfirmed + 1] = requests end
end

-- What those that wait have had and would have, but of those that will not ask for a while: what is kept for them would
-- be left unused. Work of a process with background work alone goes behind: what it would have is nothing that the
-- others are to leave.
local function sharers(with_background)
  if next(asleep) == nil and (with_background or next(behind) == nil) then return uses, demands, others end
  local their_uses, their_demands, count = {}, {}, 0
  for i = 1, others do
    if not asleep[i] and (with_background or not behind[i]) then
      count = count + 1
      their_uses[count], their_demands[count] = uses[i], demands[i]
    end
  end
  return their_uses, their_demands, count
end

-- Grant what may be granted, and return the reply; both go into the state.
local function grant()
  local now = fleet.at
  local read_window, window, read_day, day = sum_unconfirmed(unconfirmed)
  local is_bounded, reserved_ms, tells_none = false, 0, fleet.limits_at == NONE
  local used = row.done[OVERALL] + row.held[OVERALL] + row.ahead
  local room = {
    fleet.limits[1] - fleet.usage[1] - held_read - read_window, fleet.limits[2] - fleet.usage[2] - held_read - read_day,
    fleet.limits[3] - fleet.usage[3] - held - window, fleet.limits[4] - fleet.usage[4] - held - day}

  -- How many more requests may spend a budget, the other one apart.
  local function budget_room(budget, out)
    local free
    if is_known(budget) then
      free = min(room[2 * budget - 1], room[2 * budget])
    else
      is_bounded = true
      local waited = fleet.first_at ~= NONE and now - fleet.first_at >= PATIENCE_MS
      free = (waited and LAST_STEP or 1) - out
    end
    if now < max(fleet.cooldown_until[budget], fleet.late_until) then return min(0, free) end
    -- After a 429 that nothing explains, one at a time until one is served.
    if fleet.refused_at[budget] ~= NONE then
      is_bounded = true
      return min(free, 1 - out)
    end
    return free
  end

  local read_room, uploads_room = budget_room(READ, held_read), budget_room(OVERALL, held)
  local reads_room = min(read_room, uploads_room)

  -- How many more may be out, whatever room there is.
  local function bound_of_all()
    if not is_known(OVERALL) then return UNBOUNDED end
    local bound, free = UNBOUNDED, max(0, uploads_room) + held
    while fleet.step < STEPS do
      local size = min(fleet.step == 0 and FIRST_STEP or LAST_STEP, max(1, floor(free / 4)))
      local landed = max(0, done - fleet.answered)
      -- Where Strava tells no numbers, there is nothing to wait for.
      if 4 * landed >= 3 * size and (fleet.has_number == 1 or tells_none) then
        fleet.step, fleet.answered, fleet.answered_at = fleet.step + 1, done, now
      else
        -- Nobody follows until most are answered, unless they are slow.
        local slow = held > 0 and floor(max(0, now - max(fleet.answered_at, fleet.first_at)) / PATIENCE_MS) or 0
        bound = max(0, size - landed) + LAST_STEP * slow - held
        if held == 0 then bound = max(1, bound) end
        is_bounded = true
        break
      end
    end
    if fleet.was_full == 1 and fleet.has_number == 0 then
      -- Where no process is sure of the window, the number itself tells; unless there are none.
      local told = fleet.sure == 1 or tells_none
      if not (told and fleet.first_at ~= NONE and now - fleet.first_at >= PATIENCE_MS) then
        is_bounded = true
        bound = min(bound, (fleet.first_at == NONE or held == 0) and 1 or 0)
      end
    end
    local external = max(0, fleet.others - fleet.others_at_first) + fleet.others_before
    if external > 0 then
      local _, own = own_requests()
      local ours = own + fleet.own_before
      bound = min(bound, max(1, floor(free * ours / (2 * (ours + external)))) - held)
    end
    return bound
  end

  local bound = bound_of_all()

  -- Until when no read, or no upload, goes.
  local function not_before(reads)
    return max(fleet.late_until, fleet.cooldown_until[OVERALL], reads and fleet.cooldown_until[READ] or 0)
  end

  local function may_probe(reads)
    -- Permits that were carried over a turn are no requests of this window, but they are out all the same.
    if held > 0 or not is_known(OVERALL) or (reads and not is_known(READ)) then return false end
    if (reads and reads_room or uploads_room) > 0 or now < not_before(reads) then return false end
    local full = full_meters(reads and 1 or OVERALL_QUARTER)
    if #full > 0 then
      local until_at = doubted_until(full)
      return NONE < until_at and until_at <= now
    end
    local own_reads, own = own_requests()
    local external = max(0, fleet.others)
    local fits, of_day = own + external < fleet.limits[OVERALL_QUARTER], room[OVERALL_DAY] <= 0
    if reads then
      fits, of_day = fits and own_reads + external < fleet.limits[1], of_day or room[READ_DAY] <= 0
    end
    -- What is unconfirmed of the day alone was asked about once in this window, if at all.
    return fits and not (of_day and fleet.probed_at >= fleet.turned_at)
  end

  -- How many more requests leave the reserve; until when it holds the next one back is noted.
  local function above(granted)
    local number
    number, reserved_ms = above_reserve(
      {room[1] - granted, room[2] - granted, room[3] - granted, room[4] - granted}, 1 + others)
    return number
  end

  -- The most urgent first; normal requests up to what is fair, background ones above the reserve as well.
  local function granted_of_room()
    local free, uploads = max(0, min(reads_room, bound)), report.wants[UPLOADS]
    local to_share = max(0, min(uploads > 0 and uploads_room or reads_room, bound))
    local demand = used + ELASTIC * max(1, wanted + row.held[OVERALL])
    local function fair_beside(uses, demands, count)
      local fair = fair_part(to_share, used, demand, uses, demands, count)
      return is_bounded and max(1, fair) or fair
    end
    local fair = fair_beside(sharers(false))
    local reads = min(report.wants[INTERACTIVE], free)
    fleet.interactive = fleet.interactive + reads
    reads = reads + min(report.wants[NORMAL], free - reads, max(0, fair - reads))
    local background = report.wants[BACKGROUND]
    if background > 0 then
      background = min(background, free - reads)
      if is_known(READ) then
        background = min(background, above(reads) - urgent, fair_beside(sharers(true)) - reads)
      end
      reads = reads + max(0, background)
    end
    uploads = max(0, min(uploads, uploads_room - reads, bound - reads, max(0, fair - reads)))
    if reads + uploads == wanted and not is_bounded and report.in_advance > 0 then
      local plenty = floor((above(reads) - uploads) / (PLENTY * (1 + others)))
      reads = reads + max(0, min(report.in_advance, IN_ADVANCE, plenty, bound - reads - uploads))
    end
    return reads, reads + uploads
  end

  local reads, overall = 0, 0
  -- A process that is ahead of the others would not use what is of their window.
  if now >= fleet.heals_until and report.quarter <= fleet.quarter then
    if wanted_reads > 0 and may_probe(true) then
      reads, overall, fleet.probed_at = 1, 1, now
    elseif report.wants[UPLOADS] > 0 and may_probe(false) then
      overall, fleet.probed_at = 1, now
    else
      reads, overall = granted_of_room()
    end
  end
  if overall > 0 and fleet.first_at == NONE then fleet.first_at = now end

  -- When the process is to ask again, and whether that is to become longer each time.
  local function poll()
    if wanted <= overall then return NONE, false end
    if now < fleet.heals_until then return fleet.heals_until - now + 1, false end
    if report.quarter > fleet.quarter then return max(POLL_MS, fleet.ends_at - now), false end
    local has_reads = report.wants[UPLOADS] == 0
    local earliest = not_before(has_reads)
    if now < earliest then return earliest - now + 1, false end
    local out, full = held + overall, full_meters(has_reads and 1 or OVERALL_QUARTER)
    if #full > 0 and out == 0 then
      local until_at = doubted_until(full)
      return until_at == NONE and NONE or max(HELD_MS, until_at - now), false
    end
    if is_bounded then return SOON_MS, out == 0 end
    local left = has_reads and min(reads_room - reads, uploads_room - overall) or uploads_room
    if left > 0 then
      if wanted == report.wants[BACKGROUND] and above(reads) <= 0 then
        return min(MELT_MS, max(SOON_MS, reserved_ms)), false
      end
      return POLL_MS, false
    end
    if held == row.held[OVERALL] or (#full > 0 and next(doubts) == nil) then return NONE, false end
    -- Room may come at any time, and often does not for long: the first in line asks often, and the last seldom.
    return HELD_MS * (1 + max(0, ahead_in_line(used) - unused)), day > 0
  end

  local poll_ms, backs_off = poll()
  -- What others hold, and what is unconfirmed of theirs.
  local mine_read, mine = report.held[READ], report.held[OVERALL]
  for _, requests in ipairs(own_unconfirmed) do
    if is_unconfirmed(requests) then mine_read, mine = mine_read + requests.read, mine + requests.overall end
  end
  local tell_ms = (others > 0 or day > 0) and TELL_MS or TELL_ALONE_MS
  if is_bounded or now < fleet.heals_until or next(doubts) ~= nil then tell_ms = 0 end

  row.held[READ], row.held[OVERALL] = row.held[READ] + reads, row.held[OVERALL] + overall
  row.asks_at = now + max(0, poll_ms)
  -- The most urgent are served first.
  local left = reads
  for priority = INTERACTIVE, BACKGROUND do
    local served = min(row.wants[priority], left)
    row.wants[priority], left = row.wants[priority] - served, left - served
  end
  row.wants[UPLOADS] = max(0, row.wants[UPLOADS] - (overall - reads))
  return struct.pack(
    REPLY, 0, fleet.sequence, now, fleet.quarter, fleet.sure, max(0, fleet.ends_at - now), reads, overall,
    fleet.usage[1], fleet.usage[2], fleet.usage[3], fleet.usage[4],
    fleet.limits[1], fleet.limits[2], fleet.limits[3], fleet.limits[4],
    fleet.number_at[READ], fleet.number_at[OVERALL], fleet.has_number, fleet.late_at, fleet.lateness[1],
    fleet.lateness[2], max(0, held_read + read_day - mine_read), max(0, held + day - mine),
    others + int(wanted > overall), max(fleet.most, fleet.most_before), poll_ms, int(backs_off), tell_ms, reserved_ms,
    int(now < fleet.heals_until))
end
