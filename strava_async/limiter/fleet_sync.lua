-- The call of a process, in the order of fleet.py, which has its rules: the twin of ``sync``. It reads, computes, and
-- writes last.

local HEAL_MS, CARRY_MS, OVERDUE_MS, STALE_MS, MOST_AHEAD = 4000, 60000, 2000, 3600000, 3
local COOLDOWN_MS, MAX_COOLDOWN_MS = 5000, 300000
-- Books that nobody uses are no use after a day; that they expire is not told at each call.
local KEEP_MS, KEEP_AGAIN_MS = 172800000, 3600000
local FIELDS_AT_ONCE = 2000

local changed, gone = {}, {}  -- what is to be written of the rows

local function put(i, row, entries)
  found[i] = dump_row(row, entries)
  changed[found[i - 1]] = found[i]
end

-- processes that come and go (2, 3)

local function heal(count)
  local is_lost = report.seen > fleet.sequence or (count and count < report.acknowledged)
  if report.alone == 1 then
    -- Most others had to go on alone as well: what they have sent is not known here.
    local with_lease = 0
    for i = 2, #found, 2 do
      local row = load_row(found[i])
      with_lease = with_lease + int(row.lease_until >= fleet.at)
    end
    is_lost = is_lost or 2 * with_lease < max(fleet.most, fleet.most_before)
  end
  if is_lost and fleet.at >= fleet.heals_until then fleet.heals_until = fleet.at + HEAL_MS end
  fleet.sequence = max(fleet.sequence, report.seen) + 1
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

local function expire()
  if fleet.at > fleet.lease_ends_at then expire_rows() end
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
end

-- the window (4)

local function begin_window(quarter, ends_at)
  -- What may be counted in a window that begins now as part of it.
  local function carry(list)
    for _, requests in ipairs(list) do
      requests.in_window = int(requests.in_window == 1 and requests.arrived_at > fleet.at)
    end
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

  local new_day = floor(quarter / QUARTERS_PER_DAY) > floor(fleet.quarter / QUARTERS_PER_DAY)
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
  carry(lost)
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
    row.done[READ], row.done[OVERALL] = 0, 0
    carry(entries[i])
    put(i, row, entries[i])
  end
  unconfirmed = {}
  fleet.quarter, fleet.turned_at, fleet.sure, fleet.ends_at = quarter, fleet.at, report.sure, ends_at
end

local function turn()
  local quarter, ends_at = report.quarter, fleet.at + report.ms_left
  if fleet.quarter == 0 or (report.sure == 1 and fleet.sure == 0) then
    -- What a clock of ours called the window was a guess; the numbers are this window's all the same.
    local day, known_day = floor(quarter / QUARTERS_PER_DAY), floor(fleet.quarter / QUARTERS_PER_DAY)
    if not (day > known_day and known_day > 0) then
      if fleet.turned_at == 0 then fleet.turned_at = fleet.at end
      fleet.quarter, fleet.sure, fleet.ends_at = quarter, report.sure, ends_at
      return
    end
  end
  if quarter == fleet.quarter and report.sure == 1 then fleet.ends_at = ends_at end
  if quarter > fleet.quarter and (report.sure == 1 or fleet.at > fleet.ends_at + OVERDUE_MS) then
    begin_window(quarter, ends_at)
  end
end

-- what a process tells (5, 6)

local function put_row()
  local now, in_window = fleet.at, report.quarter == fleet.quarter
  local wanted_at, ahead = NONE, 0
  if mine then  -- as the turn left it
    local row = load_row(found[mine])
    wanted_at, ahead, found[mine] = row.wanted_at, row.ahead, false
  else
    fleet.known_rows = fleet.known_rows + 1
  end
  local position = report.position
  for i = 1, report.entries do
    local read, overall, arrived_at, counts, ms
    read, overall, arrived_at, counts, ms, position = struct.unpack(REPORTED, ARGV[2], position)
    if arrived_at == NONE then arrived_at = now + ms end
    own_unconfirmed[i] = {read, overall, arrived_at, int(counts == 1 and (in_window or ms > 0))}
  end
  row = {
    report.count, now, now, wanted > 0 and now or wanted_at, now + report.lease_ms,
    now + max(report.lease_ms, report.row_ms), report.held[READ], report.held[OVERALL],
    in_window and report.done[READ] or 0, in_window and report.done[OVERALL] or 0,
    report.wants[INTERACTIVE], report.wants[NORMAL], report.wants[BACKGROUND], report.wants[UPLOADS], ahead}
  fleet.most = max(fleet.most, fleet.known_rows)
end

-- refusals (7)

local function cool_down()
  for budget = READ, OVERALL do
    local served_at = max(fleet.served_at[budget], report.served_at[budget])
    fleet.served_at[budget] = served_at
    if fleet.refused_at[budget] ~= NONE and served_at > fleet.refused_at[budget] then
      fleet.refusals[budget], fleet.refused_at[budget] = 0, NONE
    end
    -- Requests that were out together are refused together: that is one refusal, and not many.
    if report.refused_at[budget] > max(fleet.judged_at[budget], served_at) then
      local ms = min(MAX_COOLDOWN_MS, COOLDOWN_MS * 2 ^ min(fleet.refusals[budget], 10))
      fleet.cooldown_until[budget] = fleet.at + max(ms, report.refused_ms)
      fleet.refusals[budget] = fleet.refusals[budget] + 1
      fleet.refused_at[budget], fleet.judged_at[budget] = fleet.at, fleet.at
    end
  end
  if report.late_at > fleet.late_at and report.quarter == fleet.quarter then
    fleet.late_at, fleet.late_until = fleet.at, fleet.at + report.late_ms
    fleet.lateness[1], fleet.lateness[2] = report.lateness[1], report.lateness[2]
    fleet.first_at, fleet.was_full, fleet.has_number = NONE, 1, 0
  end
end

-- the call

-- Say that a call was no younger than the last one of its process: all else in the reply is to be ignored.
local function stale()
  return struct.pack(
    REPLY, 1, fleet.sequence, fleet.at, fleet.quarter, fleet.sure, 0, 0, 0,
    fleet.usage[1], fleet.usage[2], fleet.usage[3], fleet.usage[4],
    fleet.limits[1], fleet.limits[2], fleet.limits[3], fleet.limits[4],
    fleet.number_at[READ], fleet.number_at[OVERALL], fleet.has_number, fleet.late_at, fleet.lateness[1],
    fleet.lateness[2], 0, 0, 0, max(fleet.most, fleet.most_before), NONE, 0, 0, 0, 0)
end

local function server_ms()
  local time = call('TIME')
  return tonumber(time[1]) * 1000 + floor(tonumber(time[2]) / 1000)
end

-- Use each command once, without effect, so that one which this user lacks is named before anything is written: HSET
-- with a value too few fails only after that.
local function check()
  if ARGV[3] == '' then server_ms() end
  call('HGET', KEYS[1], 'state')
  call('HGETALL', KEYS[2])
  for _, key in ipairs(KEYS) do
    -- First, because a server that is full says so only to the first command that writes.
    local reply = redis.pcall('HSET', key, 'state', '', 'state')
    if not string.find(reply.err, 'wrong number') then call('HSET', key, 'state', '', 'state') end
    call('HDEL', key, '')
    call('PEXPIRE', key, KEEP_MS)
  end
  return 'OK'
end

local function read_books()
  local text = call('HGET', KEYS[1], 'state')
  found = call('HGETALL', KEYS[2])
  local version = text and string.byte(text)
  if version and version > VERSION then error({err = 'STRAVA VERSION'}) end
  if version == VERSION then load_fleet(text) else fleet = {NEW_STATE} end
  if 2 * fleet.known_rows ~= #found then
    -- One of the two keys is gone, or both are an older version's: what the processes know heals the books.
    fleet, doubts, lost = {NEW_STATE}, {}, {}
    for i = 1, #found, 2 do gone[#gone + 1] = found[i] end
    found = {}
  end
  for i = 1, #found, 2 do
    if found[i] == ARGV[1] then mine = i + 1 end
  end
end

local function save()
  local is_due = fleet.kept_at == NONE or fleet.at - fleet.kept_at >= KEEP_AGAIN_MS or #found == 0
  fleet.lease_ends_at = min(lease_ends_at, row.known_until, row.held[OVERALL] > 0 and row.lease_until or math.huge)
  -- A user that may not do what follows is told before the first write.
  if is_due then
    fleet.kept_at = fleet.at
    call('PEXPIRE', KEYS[1], KEEP_MS)
  end
  if #gone > 0 then call('HDEL', KEYS[2], '') end
  local fields = {ARGV[1], dump_row(row, own_unconfirmed)}
  for process, text in pairs(changed) do
    if process ~= ARGV[1] then
      fields[#fields + 1] = process
      fields[#fields + 1] = text
    end
    if #fields == FIELDS_AT_ONCE then
      call('HSET', KEYS[2], unpack(fields))
      fields = {}
    end
  end
  if #fields > 0 then call('HSET', KEYS[2], unpack(fields)) end
  call('HSET', KEYS[1], 'state', dump_fleet())
  for _, process in ipairs(gone) do
    if process ~= ARGV[1] then call('HDEL', KEYS[2], process) end
  end
  if is_due then
    call('PEXPIRE', KEYS[1], KEEP_MS)
    call('PEXPIRE', KEYS[2], KEEP_MS)
  end
end

if ARGV[2] == '' then return check() end
report = {struct.unpack(REPORT, ARGV[2])}
wanted_reads = report.wants[INTERACTIVE] + report.wants[NORMAL] + report.wants[BACKGROUND]
wanted = wanted_reads + report.wants[UPLOADS]
read_books()
local last_count
if mine then
  local row = load_row(found[mine])
  last_count = row.count
  if report.count <= last_count then return stale() end
end
local now = ARGV[3] == '' and server_ms() or tonumber(ARGV[3])
fleet.at = fleet.at + max(1, fleet.wall ~= 0 and now - fleet.wall or now)
fleet.wall = now
heal(last_count)
expire()
turn()
put_row()
look_at_others()
learn()
cool_down()
if fleet.at < fleet.heals_until then fleet.step, fleet.answered, fleet.answered_at = 0, done, fleet.at end
local reply = grant()
save()
return reply
