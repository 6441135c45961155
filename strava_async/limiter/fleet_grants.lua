-- What a process may start, from all that is known: the twin of fleet_grants.py.

local FRESH_MS, PATIENCE_MS = 1500, 1000
local STEPS = {1, 10}
local IN_ADVANCE, ELASTIC, PLENTY = 32, 8, 4
local SOON_MS, POLL_MS, HELD_MS, MELT_MS = 200, 400, 700, 60000
local TELL_MS, TELL_ALONE_MS = 250, 3000
local UNBOUNDED = 2 ^ 30

-- What a process has had in this window, and what it would have with all that it will want.
local function demand_of(done, held, ahead, wants)
  local used = done + held + ahead
  return used, used + ELASTIC * max(1, wants + held)
end

-- Look at the rows of the others: what all hold and have ended, and who waits. They stay packed, which is most of the
-- time that is saved; ``found`` is the answer of HGETALL, with false for rows that are gone.
local function look(fleet, found, row)
  local now, turned_at, heals_until = fleet.at, fleet.turned_at, fleet.heals_until
  local since = max(turned_at, heals_until)
  local is_new = now - since <= FRESH_MS
  local held_read, held_all, done_read, done_all = row.held[READ], row.held[OVERALL], row.done[READ], row.done[OVERALL]
  local entries, used, demands, urgent, ends_at = {}, {}, {}, 0, huge
  for _, each in ipairs(row.unconfirmed) do entries[#entries + 1] = each end
  local unpack = struct.unpack
  for i = 2, #found, 2 do
    local text = found[i]
    if text then
      local at, _, asks, wanted, lease, known, reads, held, ended_reads, ended, interactive, normal, background,
        uploads, ahead, count, position = unpack(ROW, text)
      held_read, held_all = held_read + reads, held_all + held
      done_read, done_all = done_read + ended_reads, done_all + ended
      if held > 0 and at + lease < ends_at then ends_at = at + lease end
      if at + known < ends_at then ends_at = at + known end
      if count > 0 then load_entries(text, position, count, entries) end
      local wants, waits = interactive + normal + background + uploads, is_new
      if wants == 0 then
        -- A process that has just started all that waited will want as much again when that is answered.
        waits = held > 0 and wanted > 0 and now - wanted + 1 <= FRESH_MS
      elseif not is_new then
        waits = at >= since and now - at - asks <= FRESH_MS
      end
      if waits then
        local n = #used + 1
        used[n], demands[n] = demand_of(ended, held, ahead, wants)
        urgent = urgent + interactive + normal
      end
    end
  end
  return {
    held = {held_read, held_all}, done = {done_read + fleet.gone[READ], done_all + fleet.gone[OVERALL]},
    entries = entries, used = used, demand = demands, waiting = #used, urgent = urgent, ends_at = ends_at,
  }
end

-- Return what the process may start, and the reply; both go into the state.
local function grant(fleet, report, row, all)
  local now, usage, limits, wants, others = fleet.at, fleet.usage, fleet.limits, report.wants, all.waiting
  local held, is_bounded, reserved_ms = all.held, false, 0
  local unconfirmed = {unconfirmed_of(fleet, all.entries)}
  local in_day = unconfirmed[2]

  local function meter_room(meter)
    local budget = BUDGET[meter]
    local lost = unconfirmed[2 - meter % 2]
    return limits[meter] - usage[meter] - held[budget] - lost[budget]
  end

  -- How many more requests may spend a budget, the other one apart.
  local function budget_room(budget)
    local room
    if not is_known(fleet, budget) then
      is_bounded = true
      local waited = fleet.first_at ~= NONE and now - fleet.first_at >= PATIENCE_MS
      room = (waited and STEPS[#STEPS] or 1) - held[budget]
    else
      room = min(meter_room(2 * budget - 1), meter_room(2 * budget))
    end
    if now < max(fleet.cooldown_until[budget], fleet.late_until) then return min(0, room) end
    -- After a 429 that nothing explains, one at a time until one is served.
    if fleet.refused_at[budget] ~= NONE then
      is_bounded = true
      return min(room, 1 - held[budget])
    end
    return room
  end

  local read_room, uploads_room = budget_room(READ), budget_room(OVERALL)
  local reads_room = min(read_room, uploads_room)

  -- How many more may be out, whatever room there is.
  local function bound_of_all()
    if not is_known(fleet, OVERALL) then return UNBOUNDED end
    local out, bound = held[OVERALL], UNBOUNDED
    local own, ended = own_of(fleet, all)[OVERALL], all.done[OVERALL]
    local room = max(0, uploads_room) + out
    local tells_none = fleet.limits_at == NONE
    while fleet.step < #STEPS do
      local size, landed = min(STEPS[fleet.step + 1], max(1, floor(room / 4))), max(0, ended - fleet.answered)
      -- Where Strava tells no numbers, there is nothing to wait for.
      if 4 * landed >= 3 * size and (fleet.has_number or tells_none) then
        fleet.step, fleet.answered, fleet.answered_at = fleet.step + 1, ended, now
      else
        -- Nobody follows until most are answered, unless they are slow.
        local slow = out > 0 and floor(max(0, now - max(fleet.answered_at, fleet.first_at)) / PATIENCE_MS) or 0
        bound = max(0, size - landed) + STEPS[#STEPS] * slow - out
        if out == 0 then bound = max(1, bound) end
        is_bounded = true
        break
      end
    end
    if fleet.was_full and not fleet.has_number then
      -- Where no process is sure of the window, the number itself tells; unless there are none.
      local told = fleet.sure or tells_none
      local waited = told and fleet.first_at ~= NONE and now - fleet.first_at >= PATIENCE_MS
      if not waited then
        is_bounded = true
        bound = min(bound, (fleet.first_at == NONE or out == 0) and 1 or 0)
      end
    end
    local external = max(0, fleet.others - fleet.others_at_first) + fleet.others_before
    if external > 0 then
      local ours = own + fleet.own_before
      bound = min(bound, max(1, floor(room * ours / (2 * (ours + external)))) - out)
    end
    return bound
  end

  local bound = bound_of_all()

  local function may_probe()
    local reads = report.reads > 0
    local first = reads and READ or OVERALL
    -- Permits that were carried over a turn are no requests of this window, but they are out all the same.
    if held[OVERALL] > 0 or not is_known(fleet, OVERALL) or not is_known(fleet, first) then return false end
    local not_before = max(fleet.late_until, fleet.cooldown_until[READ], fleet.cooldown_until[OVERALL])
    if (reads and reads_room or uploads_room) > 0 or now < not_before then return false end
    local is_full, doubted = false, true
    for meter = 2 * first - 1, 4 do
      if usage[meter] >= limits[meter] then
        is_full = true
        doubted = doubted and meter % 2 == 0 and (fleet.doubts[meter] ~= nil or not fleet.limits_confirmed)
      end
    end
    if is_full then return doubted and fleet.probed < fleet.quarter end
    local own, external, fits, of_day = own_of(fleet, all), max(0, fleet.others), true, false
    for budget = first, OVERALL do
      fits = fits and own[budget] + external < limits[2 * budget - 1]
      of_day = of_day or meter_room(2 * budget) <= 0
    end
    -- What is unconfirmed of the day alone was asked about once in this window, if at all.
    return fits and not (of_day and fleet.probed == fleet.quarter)
  end

  -- How many more requests leave the reserve; until when it holds the next one back is noted.
  local function above(granted)
    local free = {}
    for meter = 1, 4 do free[meter] = meter_room(meter) - granted end
    local number
    number, reserved_ms = above_reserve(fleet, report, free, 1 + others)
    return number
  end

  -- The most urgent first; normal requests up to what is fair, background ones above the reserve as well.
  local function granted_of_room()
    local free = max(0, min(reads_room, bound))
    local room = max(0, min(wants[4] > 0 and uploads_room or reads_room, bound))
    local used, demand = demand_of(row.done[OVERALL], row.held[OVERALL], row.ahead, report.total)
    local fair = fair_part(room, used, demand, all)
    if is_bounded then fair = max(1, fair) end
    local interactive = min(wants[1], free)
    fleet.interactive = fleet.interactive + interactive
    local reads = interactive + min(wants[2], free - interactive, max(0, fair - interactive))
    if wants[3] > 0 and is_known(fleet, READ) then
      reads = reads + max(0, min(wants[3], free - reads, above(reads) - all.urgent, fair - reads))
    elseif wants[3] > 0 then
      reads = reads + max(0, min(wants[3], free - reads))
    end
    local uploads = max(0, min(wants[4], uploads_room - reads, bound - reads, max(0, fair - reads)))
    if reads + uploads == report.total and not is_bounded and report.in_advance > 0 then
      local plenty = floor((above(reads) - uploads) / (PLENTY * (1 + others)))
      reads = reads + max(0, min(report.in_advance, IN_ADVANCE, plenty, bound - reads - uploads))
    end
    return reads, reads + uploads
  end

  local reads, overall, is_probe = 0, 0, false
  -- A process that is ahead of the others would not use what is of their window.
  if now >= fleet.heals_until and report.quarter <= fleet.quarter then
    is_probe = report.total > 0 and may_probe()
    if is_probe then reads, overall = min(1, report.reads), 1 else reads, overall = granted_of_room() end
  end
  if is_probe then fleet.probed = fleet.quarter end
  if overall > 0 and fleet.first_at == NONE then fleet.first_at = now end
  local unmet = max(0, report.total - overall)

  -- When the process is to ask again, and whether that is to become longer each time.
  local function poll()
    if unmet == 0 then return NONE, false end
    if now < fleet.heals_until then return fleet.heals_until - now + 1, false end
    if report.quarter > fleet.quarter then return max(POLL_MS, fleet.ends_at - now), false end
    local has_reads = wants[4] == 0
    local cooldown = max(fleet.late_until, fleet.cooldown_until[OVERALL], has_reads and fleet.cooldown_until[READ] or 0)
    if now < cooldown then return cooldown - now + 1, false end
    local out = held[OVERALL] + overall
    if is_bounded then return SOON_MS, out == 0 end
    local room = has_reads and min(reads_room - reads, uploads_room - overall) or uploads_room
    if room > 0 then
      if report.total == wants[3] and above(reads) <= 0 then
        return min(MELT_MS, max(SOON_MS, reserved_ms)), false
      end
      return POLL_MS, false
    end
    local is_full = false
    for meter = has_reads and 1 or 3, 4 do is_full = is_full or usage[meter] >= limits[meter] end
    local elsewhere = out - row.held[OVERALL] - overall
    if elsewhere == 0 or (is_full and next(fleet.doubts) == nil) then return NONE, false end
    return HELD_MS, in_day[OVERALL] > 0
  end

  local poll_ms, backs_off = poll()
  -- What others hold, and what is unconfirmed of theirs.
  local elsewhere = {}
  for budget = READ, OVERALL do
    local mine = report.held[budget]
    for _, each in ipairs(row.unconfirmed) do
      if is_unconfirmed(fleet, each) then mine = mine + each[budget] end
    end
    elsewhere[budget] = max(0, held[budget] + in_day[budget] - mine)
  end
  row.held = {row.held[READ] + reads, row.held[OVERALL] + overall}
  row.wants = remaining(wants, reads, overall)
  row.asks_at = now + max(0, poll_ms)
  local tell_ms = (others > 0 or in_day[OVERALL] > 0) and TELL_MS or TELL_ALONE_MS
  if is_bounded or now < fleet.heals_until or next(fleet.doubts) ~= nil then tell_ms = 0 end
  return struct.pack(
    REPLY, 0, fleet.sequence, now, fleet.quarter, int(fleet.sure), max(0, fleet.ends_at - now), reads, overall,
    usage[1], usage[2], usage[3], usage[4], limits[1], limits[2], limits[3], limits[4],
    fleet.number_at[READ], fleet.number_at[OVERALL], int(fleet.has_number), fleet.late_at, fleet.lateness[1],
    fleet.lateness[2], elsewhere[READ], elsewhere[OVERALL], others + int(unmet > 0), max(fleet.most, fleet.most_before),
    poll_ms, int(backs_off), tell_ms, reserved_ms, int(now < fleet.heals_until))
end
