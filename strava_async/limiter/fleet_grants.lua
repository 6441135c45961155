-- What a process may start, from all that is known: the twin of grants.py in quota/fleet.

local reads_room, uploads_room     -- how many more requests may go
local UNBOUNDED = 2 ^ 30
local bound = UNBOUNDED            -- how many more may be out, whatever room there is
local is_bounded = false           -- whether that or a budget of which little is known is in the way
local reads_from, uploads_from     -- until when none goes
local reads, overall = 0, 0        -- what it gets
local poll_ms, backs_off = NONE, 0  -- when it is to ask again, and whether that is to become longer each time
local knows_reads, knows_all = true, true  -- whether limits and usage of the budgets are known
local reserved_ms = 0              -- how long the reserve alone holds it back
local read_window, window, read_day, day = 0, 0, 0, 0  -- what is in no number, of this window and of this day

local function measure_room()
  room = {
    fleet.limits[1] - fleet.usage[1] - held_read - read_window, fleet.limits[2] - fleet.usage[2] - held_read - read_day,
    fleet.limits[3] - fleet.usage[3] - held - window, fleet.limits[4] - fleet.usage[4] - held - day}
  uploads_from = max(fleet.late_until, fleet.cooldown_until[OVERALL])
  reads_from = max(uploads_from, fleet.cooldown_until[READ])
  for budget = READ, OVERALL do
    local day, out = 2 * budget, budget == READ and held_read or held
    local free = min(room[day - 1], room[day])
    if fleet.usage[day - 1] == NONE or fleet.usage[day] == NONE
        or fleet.limits[day - 1] == NONE or fleet.limits[day] == NONE then
      if budget == READ then knows_reads = false else knows_all = false end
      is_bounded = true
      local waited = fleet.first_at ~= NONE and now - fleet.first_at >= PATIENCE_MS
      free = (waited and LAST_STEP or 1) - out
    end
    if now < max(fleet.cooldown_until[budget], fleet.late_until) then
      free = min(0, free)
    elseif fleet.refused_at[budget] ~= NONE then
      -- After a 429 that nothing explains, one at a time until one is served.
      is_bounded, free = true, min(free, 1 - out)
    end
    if budget == READ then reads_room = free else uploads_room = free end
  end
  reads_room = min(reads_room, uploads_room)
end

local function set_bound()
  local free = max(0, uploads_room) + held
  local tells_none = fleet.limits_at == NONE
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
    local ours = own + fleet.own_before
    bound = min(bound, max(1, floor(free * ours / (2 * (ours + external)))) - held)
  end
end

-- Where nothing is out, a request may ask whether there is room where there seems to be none.
local function probe()
  local function may_probe(is_read)
    if not knows_all or (is_read and not knows_reads) then return false end
    if (is_read and reads_room or uploads_room) > 0 or now < (is_read and reads_from or uploads_from) then
      return false
    end
    if is_read and is_full_for_reads then return NONE < reads_ask_at and reads_ask_at <= now end
    if not is_read and is_full_for_uploads then return NONE < uploads_ask_at and uploads_ask_at <= now end
    local external = max(0, fleet.others)
    local fits, of_day = own + external < fleet.limits[OVERALL_QUARTER], room[OVERALL_DAY] <= 0
    if is_read then fits, of_day = fits and own_reads + external < fleet.limits[1], of_day or room[READ_DAY] <= 0 end
    -- What is unconfirmed of the day alone was asked about once in this window, if at all.
    return fits and not (of_day and fleet.probed_at >= fleet.turned_at)
  end

  if wanted_reads > 0 and may_probe(true) then
    reads, overall = 1, 1
  elseif report.wants[UPLOADS] > 0 and may_probe(false) then
    overall = 1
  end
  if overall > 0 then fleet.probed_at = now end
end

-- The most urgent first; normal requests up to what is fair, background ones above the reserve as well.
local function grant_fairly()
  local free, uploads = max(0, min(reads_room, bound)), report.wants[UPLOADS]
  local background = report.wants[BACKGROUND]
  local to_share, fair, demand = max(0, min(uploads > 0 and uploads_room or reads_room, bound)), 0, 0
  local above
  if wanted > 0 then
    demand = used + ELASTIC * max(1, wanted + report.held[OVERALL])
    fair = fair_part(to_share, demand, false)
    if is_bounded then fair = max(1, fair) end
  end
  reads = min(report.wants[INTERACTIVE], free)
  fleet.interactive = fleet.interactive + reads
  reads = reads + min(report.wants[NORMAL], free - reads, max(0, fair - reads))
  if background > 0 then
    background = min(background, free - reads)
    if knows_reads then
      local fair_to_all = fair_part(to_share, demand, true)
      if is_bounded then fair_to_all = max(1, fair_to_all) end
      above, reserved_ms = above_reserve(reads)
      background = min(background, above - fleet.urgent, fair_to_all - reads)
    end
    reads = reads + max(0, background)
  end
  uploads = max(0, min(uploads, uploads_room - reads, bound - reads, max(0, fair - reads)))
  overall = reads + uploads
  if overall == wanted and not is_bounded and report.in_advance > 0 then
    above, reserved_ms = above_reserve(reads)
    local plenty = floor((above - uploads) / (PLENTY * (1 + fleet.waiting)))
    local in_advance = max(0, min(report.in_advance, IN_ADVANCE, plenty, bound - overall))
    reads, overall = reads + in_advance, overall + in_advance
  end
end

-- When the process is to ask again, and whether that is to become longer each time.
local function poll()
  local has_reads, out = report.wants[UPLOADS] == 0, held + overall
  local earliest, is_full = uploads_from, is_full_for_uploads
  if has_reads then earliest, is_full = reads_from, is_full_for_reads end
  local left = has_reads and min(reads_room - reads, uploads_room - overall) or uploads_room
  if now < fleet.heals_until then
    poll_ms = fleet.heals_until - now + 1
  elseif report.quarter > fleet.quarter then
    poll_ms = max(POLL_MS, fleet.ends_at - now)
  elseif now < earliest then
    poll_ms = earliest - now + 1
  elseif is_full and out == 0 then
    local ask_at = has_reads and reads_ask_at or uploads_ask_at
    if ask_at ~= NONE then poll_ms = max(HELD_MS, ask_at - now) end
  elseif is_bounded then
    poll_ms, backs_off = SOON_MS, out == 0 and 1 or 0
  elseif left > 0 then
    poll_ms = POLL_MS
    if wanted == report.wants[BACKGROUND] then
      local above
      above, reserved_ms = above_reserve(reads)
      if above <= 0 then poll_ms = min(MELT_MS, max(SOON_MS, reserved_ms)) end
    end
  elseif held > report.held[OVERALL] and not (is_full and next(doubts) == nil) then
    -- Room may come at any time, and often does not for long: the first in line asks often, and the last seldom.
    local ahead = 0
    for i = 1, fleet.waiting > 0 and #line or 0, 2 do
      local theirs = line[i]
      -- Of those who have had as much, the first slots come first.
      if theirs < used or (theirs == used and i < 2 * slot) then ahead = ahead + 1 end
    end
    poll_ms, backs_off = HELD_MS * (1 + max(0, ahead - fleet.unused)), day > 0 and 1 or 0
  end
end

-- Grant what may be granted; it goes into the state.
local function grant()
  if #unconfirmed + #own_unconfirmed + #lost > 0 then
    read_window, window, read_day, day = sum_unconfirmed(unconfirmed, own_unconfirmed)
  end
  measure_room()
  if knows_all then
    set_bound()
  end
  if fleet.limits[1] <= fleet.usage[1] or fleet.limits[2] <= fleet.usage[2]
      or fleet.limits[3] <= fleet.usage[3] or fleet.limits[4] <= fleet.usage[4] then
    look_at_full_meters()
  end
  -- A process that is ahead of the others would not use what is of their window.
  if now >= fleet.heals_until and report.quarter <= fleet.quarter then
    -- Permits that were carried over a turn are no requests of this window, but they are out all the same.
    if held == 0 then
      probe()
    end
    if overall == 0 then
      grant_fairly()
    end
  end
  if overall > 0 and fleet.first_at == NONE then fleet.first_at = now end
  if wanted > overall then
    poll()
  end
end
