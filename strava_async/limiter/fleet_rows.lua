-- The rows of the processes: the sums of what they hold, have ended and want, and the line of those who wait, the twin
-- of quota/fleet/line.py. Both are kept with the state, so that a call mostly reads its own row alone. They are right
-- until the passing of time changes how a row counts.
--
-- The line has two numbers for each slot: what its process has had in this window, or ABSENT if it does not wait; and
-- what it would have with all that it will want, below zero if that is background work alone, and 0 if it will not ask
-- for a while.

-- Add a row to the sums, or with -1 take it away. Return its two numbers in the line.
local function count_row(sign, at, _, asks, wanted, lease, known, held_read, held, done_read, done, interactive, normal,
    background, uploads, ahead, entries)
  local wants, asks_at = interactive + normal + background + uploads, at + asks
  fleet.held[READ], fleet.held[OVERALL] = fleet.held[READ] + sign * held_read, fleet.held[OVERALL] + sign * held
  fleet.done[READ], fleet.done[OVERALL] = fleet.done[READ] + sign * done_read, fleet.done[OVERALL] + sign * done
  if entries > 0 then fleet.with_entries = fleet.with_entries + sign end
  local ends_at = held > 0 and lease < known and at + lease or at + known
  if ends_at < fleet.lease_ends_at then fleet.lease_ends_at = ends_at end
  local waits, until_at = true, HUGE
  if wants == 0 then
    -- A process that has just started all that waited will want as much again when that is answered.
    waits, until_at = held > 0 and wanted > 0 and now - wanted + 1 <= FRESH_MS, wanted - 1 + FRESH_MS
    fleet.unused = fleet.unused + sign * held
  elseif not is_new then
    waits, until_at = at >= since and now - asks_at <= FRESH_MS, asks_at + FRESH_MS
  end
  if not waits then return ABSENT, 0 end
  local used, wish = done + held + ahead, ELASTIC * max(1, wants + held)
  local demand = used + wish
  if wants > 0 and wants == background then demand = -demand end
  if is_new then
    until_at = min(until_at, since + AWAKE_MS)
  elseif asks_at - now > ASLEEP_MS then
    demand, until_at = 0, min(until_at, asks_at - ASLEEP_MS - 1)
  end
  if until_at < fleet.sums_until then fleet.sums_until = until_at end
  fleet.waiting, fleet.wished = fleet.waiting + sign, fleet.wished + sign * wish
  fleet.urgent = fleet.urgent + sign * (interactive + normal)
  return used, demand
end

-- Make the sums and the line of the others anew, and find a slot for a process that has none.
local function look_at_others()
  fleet.held[READ], fleet.held[OVERALL], fleet.done[READ], fleet.done[OVERALL] = 0, 0, 0, 0
  fleet.with_entries, fleet.unused, fleet.waiting, fleet.wished, fleet.urgent = 0, 0, 0, 0, 0
  fleet.lease_ends_at, fleet.sums_until = HUGE, HUGE
  line = {}
  local last = 0
  for i = 2, #found, 2 do
    local text = found[i]
    if text and found[i - 1] ~= ARGV[1] then
      local row = {struct.unpack(ROW, text)}
      local place = 2 * row.slot
      line[place - 1], line[place] = count_row(1, unpack(row))
      last = max(last, place)
      load_entries(text, row.entries, unconfirmed)
    end
  end
  slot = old and old.slot or 1
  while not old and line[2 * slot] do slot = slot + 1 end
  for i = 2, max(last, 2 * slot), 2 do
    if i == 2 * slot or not line[i] then line[i - 1], line[i] = ABSENT, 0 end
  end
end

-- Read the line, and leave the process out.
local function read_line()
  local size = (#state - STATE_BYTES - line_at + 1) / PLACE_BYTES
  line = {struct.unpack('<' .. string.rep(PLACE, min(size, MOST_AT_ONCE)), state, line_at)}
  for first = MOST_AT_ONCE, size - 1, MOST_AT_ONCE do
    local places = '<' .. string.rep(PLACE, min(size - first, MOST_AT_ONCE))
    for i, number in ipairs({struct.unpack(places, state, line_at + PLACE_BYTES * first)}) do
      line[2 * first + i] = number
    end
  end
  line[2 * size + 1] = nil  -- what follows, which ``struct.unpack`` adds
  line[2 * slot - 1], line[2 * slot] = ABSENT, 0
end
