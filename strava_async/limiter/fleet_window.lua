-- Rows whose time is over, and windows that begin: the twin of rules 3 and 4 of quota/fleet/sync.py.

local changed, gone = {}, {}  -- what is to be written of the rows

local function put(i, row, entries)
  found[i] = dump_row(row, entries)
  changed[found[i - 1]] = found[i]
end

local function expire_rows()
  local now = fleet.at
  for i = 2, #found, 2 do
    local row, entries = load_row(found[i])
    local process = found[i - 1]
    if row.lease_until < now and row.held[OVERALL] > 0 then
      lost[#lost + 1] = {row.held[READ], row.held[OVERALL], now + CARRY_MS, 1, process}
      row.held[READ], row.held[OVERALL] = 0, 0
      put(i, row, entries)
    end
    if row.known_until < now then
      for _, requests in ipairs(entries) do
        requests.process = process
        lost[#lost + 1] = requests
      end
      -- Only in this window: what was lost counts as done once, when its process is forgotten.
      fleet.gone[READ] = fleet.gone[READ] + row.done[READ]
      fleet.gone[OVERALL] = fleet.gone[OVERALL] + row.done[OVERALL]
      gone[#gone + 1], changed[process], found[i] = process, nil, false
      fleet.known_rows = fleet.known_rows - 1
      if i == mine then mine = nil end
    end
  end
end

-- Keep what has arrived as one, or two: of this window, and of the windows before.
local function merge_lost()
  local kept, arrived = {}, {}
  for _, requests in ipairs(lost) do
    if requests.arrived_at > fleet.at then
      kept[#kept + 1] = requests
    else
      local sum = arrived[requests.in_window]
      if sum then
        sum.read, sum.overall = sum.read + requests.read, sum.overall + requests.overall
        sum.arrived_at = max(sum.arrived_at, requests.arrived_at)
      else
        sum = {requests.read, requests.overall, requests.arrived_at, requests.in_window, ''}
        arrived[requests.in_window], kept[#kept + 1] = sum, sum
      end
    end
  end
  lost = kept
end

local function expire()
  if fleet.at > fleet.lease_ends_at then
    expire_rows()
  end
  if #lost > 0 then
    local still = {}
    for _, requests in ipairs(lost) do
      -- What was assumed of a process that is back is forgotten: it tells that itself.
      if requests.process ~= ARGV[1] and is_unconfirmed(requests) then still[#still + 1] = requests end
    end
    lost = still
  end
  if not mine and report.acknowledged > 0 and report.quarter == fleet.quarter and fleet.at >= fleet.heals_until then
    fleet.gone[READ] = max(0, fleet.gone[READ] - report.done[READ])
    fleet.gone[OVERALL] = max(0, fleet.gone[OVERALL] - report.done[OVERALL])
  end
  if #lost > MOST_LOST then
    merge_lost()
  end
end

-- What a process has ended in a window, as long as it has told nothing of that one itself.
local function sum_done(entries)
  local reads, all = 0, 0
  for _, requests in ipairs(entries) do
    if requests.in_window == 1 then reads, all = reads + requests.read, all + requests.overall end
  end
  return reads, all
end

local function begin_window()
  local quarter, ends_at = report.quarter, fleet.at + report.ms_left
  local new_day = floor(quarter / QUARTERS_PER_DAY) > floor(fleet.quarter / QUARTERS_PER_DAY)

  -- What may be counted in a window that begins now as part of it; the rest is of the day that it was in.
  local function carried(list)
    local kept = {}
    for _, requests in ipairs(list) do
      requests.in_window = int(requests.in_window == 1 and requests.arrived_at > fleet.at - LATE_MS)
      if requests.in_window == 1 or not new_day then kept[#kept + 1] = requests end
    end
    return kept
  end

  local rows, entries, least = {}, {}, math.huge
  held_read, held, done_read, done = 0, 0, fleet.gone[READ], fleet.gone[OVERALL]
  for i = 2, #found, 2 do
    if found[i] then
      local row
      row, entries[i] = load_row(found[i])
      rows[i] = row
      held_read, held = held_read + row.held[READ], held + row.held[OVERALL]
      done_read, done = done_read + row.done[READ], done + row.done[OVERALL]
      for _, requests in ipairs(entries[i]) do unconfirmed[#unconfirmed + 1] = requests end
      if row.wants[INTERACTIVE] + row.wants[NORMAL] + row.wants[BACKGROUND] + row.wants[UPLOADS] > 0 then
        least = min(least, row.done[OVERALL] + row.held[OVERALL] + row.ahead)
      end
    end
  end

  local function is_full()
    local read_window, window, read_day, day = sum_unconfirmed(unconfirmed)
    local spent = {held_read + read_window, held_read + read_day, held + window, held + day}
    for meter = 1, 4 do
      local ends = new_day or not is_day(meter)
      if ends and is_known(ceil(meter / 2)) and fleet.limits[meter] - fleet.usage[meter] <= spent[meter] then
        return true
      end
    end
    return false
  end

  local following = quarter == fleet.quarter + 1
  local others = max(0, fleet.others - fleet.others_at_first)
  fleet.was_full = int(following and is_full())
  for meter = 1, 4 do
    if new_day or not is_day(meter) then
      fleet.usage[meter], doubts[meter] = min(fleet.usage[meter], 0), nil
    end
  end
  -- Where others spend the quota too, all that is known of their pace may have changed.
  if others > 0 or fleet.at - fleet.answered_at > STALE_MS then fleet.step = 0 end
  fleet.answered, fleet.answered_at = 0, max(fleet.answered_at, fleet.at)
  local _, own = own_requests()
  fleet.others_before, fleet.own_before = following and others or 0, following and own or 0
  fleet.others, fleet.others_at_first = is_known(OVERALL) and 0 or NONE, 0
  lost = carried(lost)
  fleet.gone[READ], fleet.gone[OVERALL], fleet.first_at, fleet.has_number = 0, 0, NONE, 0
  fleet.most, fleet.most_before = 0, fleet.most
  for budget = READ, OVERALL do fleet.refusals[budget], fleet.refused_at[budget] = 0, NONE end
  fleet.late_until = 0
  fleet.interactive, fleet.interactive_before = 0, following and fleet.interactive or 0
  if least == math.huge then least = 0 end
  for i, row in pairs(rows) do
    -- What does not divide evenly goes to somebody else next time.
    local ahead = row.done[OVERALL] + row.held[OVERALL] + row.ahead - least
    row.ahead = following and max(0, min(MOST_AHEAD, ahead)) or 0
    local carried_entries = carried(entries[i])
    row.done[READ], row.done[OVERALL] = sum_done(carried_entries)
    put(i, row, carried_entries)
  end
  unconfirmed = {}
  fleet.quarter, fleet.turned_at, fleet.sure, fleet.ends_at = quarter, fleet.at, report.sure, ends_at
end

local function turn()
  local quarter, ends_at, is_named = report.quarter, fleet.at + report.ms_left, false
  if fleet.quarter == 0 or (report.sure == 1 and fleet.sure == 0) then
    -- What a clock of ours called the window was a guess; the numbers are this window's all the same.
    local day, known_day = floor(quarter / QUARTERS_PER_DAY), floor(fleet.quarter / QUARTERS_PER_DAY)
    if not (day > known_day and known_day > 0) then
      if fleet.turned_at == 0 then fleet.turned_at = fleet.at end
      fleet.quarter, fleet.sure = quarter, report.sure
      is_named = true
    end
  end
  if is_named or (quarter == fleet.quarter and report.sure == 1) then fleet.ends_at = ends_at end
  if quarter > fleet.quarter and (report.sure == 1 or fleet.at > fleet.ends_at + OVERDUE_MS) then
    begin_window()
  end
end
