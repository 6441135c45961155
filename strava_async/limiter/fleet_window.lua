-- What is rare: writes that were lost, rows whose time is over, and windows that begin. The twin of rules 2, 3 and 4 of
-- quota/fleet/sync.py.

-- Made where the rows of all are looked at: a usual call has no such requests.
local is_unconfirmed, sum_in_window, sum_unconfirmed, load_entries, dump_entry

-- Read the rows of all, and let time pass for them.
local function take_stock()
  function is_unconfirmed(requests)
    return (requests.read > 0 and requests.arrived_at > fleet.number_at[READ])
      or (requests.overall > 0 and requests.arrived_at > fleet.number_at[OVERALL])
  end

  -- The requests that may be counted in this window: reads, and all.
  function sum_in_window(list)
    local reads, all = 0, 0
    for _, requests in ipairs(list) do
      if requests.in_window == 1 then reads, all = reads + requests.read, all + requests.overall end
    end
    return reads, all
  end

  -- What is in no number of these requests and of those that were lost: reads and all in this window, and in this day.
  function sum_unconfirmed(...)
    local read_window, window, read_day, day = 0, 0, 0, 0
    for _, list in ipairs({lost, ...}) do
      for _, requests in ipairs(list) do
        local reads = requests.arrived_at > fleet.number_at[READ] and requests.read or 0
        local all = requests.arrived_at > fleet.number_at[OVERALL] and requests.overall or 0
        read_day, day = read_day + reads, day + all
        if requests.in_window == 1 then read_window, window = read_window + reads, window + all end
      end
    end
    return read_window, window, read_day, day
  end

  -- Add the unconfirmed requests of a row to a list.
  function load_entries(text, count, entries)
    local position = ROW_BYTES + 1
    for _ = 1, count do
      local read, overall, arrived_at, in_window
      read, overall, arrived_at, in_window, position = struct.unpack(ENTRY, text, position)
      entries[#entries + 1] = {read, overall, arrived_at, in_window}
    end
    return entries
  end

  function dump_entry(requests)
    return struct.pack(ENTRY, requests.read, requests.overall, requests.arrived_at, requests.in_window)
  end

  local function is_known(budget)
    local day = 2 * budget
    return fleet.usage[day - 1] ~= NONE and fleet.usage[day] ~= NONE
      and fleet.limits[day - 1] ~= NONE and fleet.limits[day] ~= NONE
  end

  local mine  -- where among the rows that of the process is
  unconfirmed, own_unconfirmed, changed, gone = {}, {}, {}, {}
  if lost == none then lost = {} end
  found = call('HGETALL', KEYS[2])
  if 2 * fleet.known_rows ~= #found then
    -- One of the two keys is gone, or both are an older version's: what the processes know heals the books.
    fleet, doubts, lost, old = {NEW_STATE}, {}, {}, nil
    now = max(1, reading)
    fleet.at, fleet.wall = now, reading
    for i = 1, #found, 2 do gone[#gone + 1] = found[i] end
    found = {}
  end
  for i = 1, #found, 2 do
    if found[i] == ARGV[1] then mine = i + 1 end
  end

  local function load_row(text)
    return {struct.unpack(ROW, text)}
  end

  local function put(i, row, entries)
    found[i] = struct.pack(ROW, unpack(row, 1, ROW_NUMBERS)) .. entries
    changed[found[i - 1]] = found[i]
  end

  -- Have the processes tell what they know, where one of them knows of writes that are lost (2).
  local function heal()
    local is_lost = report.seen > fleet.sequence or (old and old.count < report.acknowledged)
    if report.alone == 1 then
      -- Most others had to go on alone as well: what they have sent is not known here.
      local with_lease = 0
      for i = 2, #found, 2 do
        local row = load_row(found[i])
        if row.at + row.lease >= now then with_lease = with_lease + 1 end
      end
      is_lost = is_lost or 2 * with_lease < max(fleet.most, fleet.most_before)
    end
    if is_lost and now >= fleet.heals_until then fleet.heals_until = now + HEAL_MS end
  end

  local function expire_rows()
    for i = 2, #found, 2 do
      local process, text, row = found[i - 1], found[i], load_row(found[i])
      if row.at + row.lease < now and row.held[OVERALL] > 0 then
        lost[#lost + 1] = {row.held[READ], row.held[OVERALL], now + CARRY_MS, 1, process}
        row.held[READ], row.held[OVERALL] = 0, 0
        put(i, row, string.sub(text, ROW_BYTES + 1))
      end
      if row.at + row.known < now then
        for _, requests in ipairs(load_entries(text, row.entries, {})) do
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
      if requests.arrived_at > now then
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
    if now > fleet.lease_ends_at then expire_rows() end
    local still = {}
    for _, requests in ipairs(lost) do
      -- What was assumed of a process that is back is forgotten: it tells that itself.
      if requests.process ~= ARGV[1] and is_unconfirmed(requests) then still[#still + 1] = requests end
    end
    lost = still
    if not mine and report.acknowledged > 0 and report.quarter == fleet.quarter and now >= fleet.heals_until then
      fleet.gone[READ] = max(0, fleet.gone[READ] - report.done[READ])
      fleet.gone[OVERALL] = max(0, fleet.gone[OVERALL] - report.done[OVERALL])
    end
    if #lost > MOST_LOST then merge_lost() end
  end

  local function begin_window()
    local quarter = report.quarter
    local following = quarter == fleet.quarter + 1
    local new_day = floor(quarter / QUARTERS_PER_DAY) > floor(fleet.quarter / QUARTERS_PER_DAY)

    -- What may be counted in a window that begins now as part of it; the rest is of the day that it was in.
    local function carried(list)
      local kept = {}
      for _, requests in ipairs(list) do
        requests.in_window = (requests.in_window == 1 and requests.arrived_at > now - LATE_MS) and 1 or 0
        if requests.in_window == 1 or not new_day then kept[#kept + 1] = requests end
      end
      return kept
    end

    local rows, entries, all_entries, least = {}, {}, {}, HUGE
    local held_read, held, done = 0, 0, fleet.gone[OVERALL]
    for i = 2, #found, 2 do
      local text = found[i]
      if text then
        local row = load_row(text)
        rows[i], entries[i] = row, load_entries(text, row.entries, {})
        load_entries(text, row.entries, all_entries)
        held_read, held, done = held_read + row.held[READ], held + row.held[OVERALL], done + row.done[OVERALL]
        if row.wants[INTERACTIVE] + row.wants[NORMAL] + row.wants[BACKGROUND] + row.wants[UPLOADS] > 0 then
          least = min(least, row.done[OVERALL] + row.held[OVERALL] + row.ahead)
        end
      end
    end
    local _, lost_all = sum_in_window(lost)
    local own = done + held + lost_all

    local function is_full()
      local read_window, window, read_day, day = sum_unconfirmed(all_entries)
      local spent = {held_read + read_window, held_read + read_day, held + window, held + day}
      for meter = 1, 4 do
        local ends = new_day or meter % 2 == 1
        if ends and is_known(ceil(meter / 2)) and fleet.limits[meter] - fleet.usage[meter] <= spent[meter] then
          return true
        end
      end
      return false
    end

    local others = max(0, fleet.others - fleet.others_at_first)
    fleet.was_full = following and is_full() and 1 or 0
    for meter = 1, 4 do
      if new_day or meter % 2 == 1 then fleet.usage[meter], doubts[meter] = min(fleet.usage[meter], 0), nil end
    end
    -- Where others spend the quota too, all that is known of their pace may have changed.
    if others > 0 or now - fleet.answered_at > STALE_MS then fleet.step = 0 end
    fleet.answered, fleet.answered_at = 0, max(fleet.answered_at, now)
    fleet.others_before, fleet.own_before = following and others or 0, following and own or 0
    fleet.others, fleet.others_at_first = is_known(OVERALL) and 0 or NONE, 0
    lost = carried(lost)
    fleet.gone[READ], fleet.gone[OVERALL], fleet.first_at, fleet.has_number = 0, 0, NONE, 0
    fleet.most, fleet.most_before = 0, fleet.most
    for budget = READ, OVERALL do fleet.refusals[budget], fleet.refused_at[budget] = 0, NONE end
    fleet.late_until = 0
    fleet.interactive, fleet.interactive_before = 0, following and fleet.interactive or 0
    if least == HUGE then least = 0 end
    for i, row in pairs(rows) do
      -- What does not divide evenly goes to somebody else next time.
      local ahead = row.done[OVERALL] + row.held[OVERALL] + row.ahead - least
      row.ahead = following and max(0, min(MOST_AHEAD, ahead)) or 0
      local kept, text = carried(entries[i]), ''
      row.done[READ], row.done[OVERALL] = sum_in_window(kept)
      row.entries = #kept
      for _, requests in ipairs(kept) do text = text .. dump_entry(requests) end
      put(i, row, text)
    end
    fleet.quarter, fleet.turned_at = quarter, now
    fleet.sure, fleet.ends_at = report.sure, now + report.ms_left
  end

  local function turn()
    local quarter, is_named = report.quarter, false
    if fleet.quarter == 0 or (report.sure == 1 and fleet.sure == 0) then
      -- What a clock of ours called the window was a guess; the numbers are this window's all the same.
      local day, known_day = floor(quarter / QUARTERS_PER_DAY), floor(fleet.quarter / QUARTERS_PER_DAY)
      if not (day > known_day and known_day > 0) then
        if fleet.turned_at == 0 then fleet.turned_at = now end
        fleet.quarter, fleet.sure = quarter, report.sure
        is_named = true
      end
    end
    if is_named then fleet.ends_at = now + report.ms_left end
    if quarter > fleet.quarter and (report.sure == 1 or now > fleet.ends_at + OVERDUE_MS) then begin_window() end
  end

  heal()
  expire()
  turn()
  old = mine and load_row(found[mine])
end
