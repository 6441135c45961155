-- The call of a process, in the order of fleet.py, which has its rules: the twin of ``sync``. It reads, computes, and
-- writes last.

local HEAL_MS, CARRY_MS, OVERDUE_MS, STALE_MS, MOST_AHEAD = 4000, 60000, 2000, 3600000, 3
local COOLDOWN_MS, MAX_COOLDOWN_MS = 5000, 300000
-- Books that nobody uses any more are no use after a day; that they expire is not told at each call.
local KEEP_MS, KEEP_AGAIN_MS = 172800000, 3600000
local ROWS_AT_ONCE = 1000

local fleet, report, row
local found = {}     -- the rows as HGETALL has them, with false for those that are gone
local mine           -- where among them that of the process is
local changed, gone = {}, {}

local function put(i, each)
  found[i] = dump_row(each)
  changed[found[i - 1]] = found[i]
end

local function remove(i)
  gone[#gone + 1] = found[i - 1]
  changed[found[i - 1]] = nil
  found[i] = false
  fleet.rows = fleet.rows - 1
  if i == mine then mine = nil end
end

-- processes that come and go (2, 3)

local function heal(before)
  local lost = report.seen > fleet.sequence or (before and before.count < report.acknowledged)
  if report.alone then
    -- Most others had to go on alone as well: what they have sent is not known here.
    local with_lease = 0
    for i = 2, #found, 2 do with_lease = with_lease + int(load_row(found[i]).lease_until >= fleet.at) end
    lost = lost or 2 * with_lease < max(fleet.most, fleet.most_before)
  end
  if lost and fleet.at >= fleet.heals_until then fleet.heals_until = fleet.at + HEAL_MS end
  fleet.sequence = max(fleet.sequence, report.seen) + 1
end

local function expire()
  local now, lost = fleet.at, fleet.lost
  if now > fleet.lease_ends_at then
    for i = 2, #found, 2 do
      local each, process = load_row(found[i]), found[i - 1]
      if each.lease_until < now and each.held[OVERALL] > 0 then
        lost[#lost + 1] = {
          process = process, each.held[READ], each.held[OVERALL], arrived_at = now + CARRY_MS, in_window = true}
        each.held = {0, 0}
        put(i, each)
      end
      if each.known_until < now then
        for _, requests in ipairs(each.unconfirmed) do
          requests.process = process
          lost[#lost + 1] = requests
        end
        -- Only in this window: what was lost counts as done once, when its process is forgotten.
        fleet.gone = {fleet.gone[READ] + each.done[READ], fleet.gone[OVERALL] + each.done[OVERALL]}
        remove(i)
      end
    end
  end
  if #lost > 0 then
    local still = {}
    for _, each in ipairs(lost) do
      -- What was assumed of a process that is back is forgotten: it tells that itself.
      if each.process ~= report.process and is_unconfirmed(fleet, each) then still[#still + 1] = each end
    end
    fleet.lost = still
  end
  if not mine and report.acknowledged > 0 and report.quarter == fleet.quarter and now >= fleet.heals_until then
    fleet.gone = {
      max(0, fleet.gone[READ] - report.done[READ]), max(0, fleet.gone[OVERALL] - report.done[OVERALL])}
  end
end

-- the window (4)

-- What may be counted in a window that begins now as part of it.
local function carry(list)
  for _, each in ipairs(list) do each.in_window = each.in_window and each.arrived_at > fleet.at end
end

local function sums(rows)
  local held, done, entries = {0, 0}, {fleet.gone[READ], fleet.gone[OVERALL]}, {}
  for _, each in pairs(rows) do
    for budget = READ, OVERALL do
      held[budget], done[budget] = held[budget] + each.held[budget], done[budget] + each.done[budget]
    end
    for _, requests in ipairs(each.unconfirmed) do entries[#entries + 1] = requests end
  end
  return {held = held, done = done, entries = entries}
end

local function is_full(all, new_day)
  local in_window, in_day = unconfirmed_of(fleet, all.entries)
  for budget = READ, OVERALL do
    if is_known(fleet, budget) then
      local quarter, day = 2 * budget - 1, 2 * budget
      local room = fleet.limits[quarter] - fleet.usage[quarter] - all.held[budget] - in_window[budget]
      local day_room = fleet.limits[day] - fleet.usage[day] - all.held[budget] - in_day[budget]
      if room <= 0 or (new_day and day_room <= 0) then return true end
    end
  end
  return false
end

local function begin_window(quarter)
  local rows, least = {}, huge
  for i = 2, #found, 2 do
    if found[i] then rows[i] = load_row(found[i]) end
  end
  local all = sums(rows)
  local following = quarter == fleet.quarter + 1
  local new_day = floor(quarter / QUARTERS_PER_DAY) > floor(fleet.quarter / QUARTERS_PER_DAY)
  local others = max(0, fleet.others - fleet.others_at_first)
  fleet.was_full = following and is_full(all, new_day)
  for meter = 1, 4 do
    if new_day or meter % 2 == 1 then
      fleet.usage[meter] = min(fleet.usage[meter], 0)
      fleet.doubts[meter] = nil
    end
  end
  -- Where others spend the quota too, all that is known of their pace may have changed.
  if others > 0 or fleet.at - fleet.answered_at > STALE_MS then fleet.step = 0 end
  fleet.answered, fleet.answered_at = 0, max(fleet.answered_at, fleet.at)
  fleet.others_before, fleet.own_before = 0, 0
  if following then fleet.others_before, fleet.own_before = others, own_of(fleet, all)[OVERALL] end
  fleet.others, fleet.others_at_first = is_known(fleet, OVERALL) and 0 or NONE, 0
  carry(fleet.lost)
  fleet.gone, fleet.first_at, fleet.has_number = {0, 0}, NONE, false
  fleet.most, fleet.most_before = 0, fleet.most
  fleet.refusals, fleet.refused_at, fleet.late_until = {0, 0}, {NONE, NONE}, 0
  fleet.interactive, fleet.interactive_before = 0, following and fleet.interactive or 0
  for _, each in pairs(rows) do
    local wants = each.wants
    if wants[1] + wants[2] + wants[3] + wants[4] > 0 then
      least = min(least, each.done[OVERALL] + each.held[OVERALL] + each.ahead)
    end
  end
  if least == huge then least = 0 end
  for i, each in pairs(rows) do
    -- What does not divide evenly goes to somebody else next time.
    local ahead = each.done[OVERALL] + each.held[OVERALL] + each.ahead - least
    each.ahead = following and max(0, min(MOST_AHEAD, ahead)) or 0
    each.done = {0, 0}
    carry(each.unconfirmed)
    put(i, each)
  end
  fleet.quarter, fleet.turned_at = quarter, fleet.at
end

local function turn()
  local quarter, ends_at = report.quarter, fleet.at + report.ms_left
  if fleet.quarter == 0 or (report.sure and not fleet.sure) then
    -- What a clock of ours called the window was a guess; the numbers are this window's all the same.
    local day, known_day = floor(quarter / QUARTERS_PER_DAY), floor(fleet.quarter / QUARTERS_PER_DAY)
    if not (day > known_day and known_day > 0) then
      if fleet.turned_at == 0 then fleet.turned_at = fleet.at end
      fleet.quarter, fleet.sure, fleet.ends_at = quarter, report.sure, ends_at
      return
    end
  end
  if quarter == fleet.quarter and report.sure then fleet.ends_at = ends_at end
  local is_over = report.sure or fleet.at > fleet.ends_at + OVERDUE_MS
  if quarter > fleet.quarter and is_over then
    begin_window(quarter)
    fleet.sure, fleet.ends_at = report.sure, ends_at
  end
end

-- what a process tells (5, 6)

local function row_of_report()
  local now, in_window = fleet.at, report.quarter == fleet.quarter
  local before = mine and load_row(found[mine])  -- as the turn left it
  local unconfirmed = {}
  for i, each in ipairs(report.unconfirmed) do
    unconfirmed[i] = {
      each[READ], each[OVERALL], arrived_at = each.arrived_at == NONE and now + each.ms or each.arrived_at,
      in_window = each.in_window and (in_window or each.ms > 0)}
  end
  if mine then found[mine] = false else fleet.rows = fleet.rows + 1 end
  fleet.most = max(fleet.most, fleet.rows)
  return {
    count = report.count, at = now, asks_at = now,
    wanted_at = report.total > 0 and now or before and before.wanted_at or NONE,
    lease_until = now + report.lease_ms, known_until = now + max(report.lease_ms, report.row_ms),
    held = report.held, done = in_window and report.done or {0, 0}, wants = report.wants,
    unconfirmed = unconfirmed, ahead = before and before.ahead or 0,
  }
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
    fleet.lateness = report.lateness
    fleet.first_at, fleet.was_full, fleet.has_number = NONE, true, false
  end
end

-- the call

-- Say that a call was no younger than the last one of its process: all else in the reply is to be ignored.
local function stale()
  return struct.pack(
    REPLY, 1, fleet.sequence, fleet.at, fleet.quarter, int(fleet.sure), 0, 0, 0,
    fleet.usage[1], fleet.usage[2], fleet.usage[3], fleet.usage[4],
    fleet.limits[1], fleet.limits[2], fleet.limits[3], fleet.limits[4],
    fleet.number_at[READ], fleet.number_at[OVERALL], int(fleet.has_number), fleet.late_at, fleet.lateness[1],
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
    call('HDEL', key, '')
    call('PEXPIRE', key, KEEP_MS)
    local reply = redis.pcall('HSET', key, 'state', '', 'state')
    if not string.find(reply.err, 'wrong number') then call('HSET', key, 'state', '', 'state') end
  end
  return 'OK'
end

local function read_books()
  local text = call('HGET', KEYS[1], 'state')
  found = call('HGETALL', KEYS[2])
  local version = text and string.byte(text)
  if version and version > VERSION then error({err = 'STRAVA VERSION'}) end
  fleet = version == VERSION and load_fleet(text) or new_fleet()
  if fleet.rows ~= #found / 2 then
    -- One of the two keys is gone, or both are an older version's: what the processes know heals the books.
    fleet = new_fleet()
    for i = 1, #found, 2 do gone[#gone + 1] = found[i] end
    found = {}
  end
  for i = 1, #found, 2 do
    if found[i] == report.process then mine = i + 1 end
  end
end

local function save(all)
  fleet.lease_ends_at = min(all.ends_at, row.known_until, row.held[OVERALL] > 0 and row.lease_until or huge)
  changed[report.process] = dump_row(row)
  local is_due = fleet.kept_at == NONE or fleet.at - fleet.kept_at >= KEEP_AGAIN_MS or #found == 0
  if is_due then fleet.kept_at = fleet.at end
  -- A user that may not do what follows is told before the first write.
  if is_due then call('PEXPIRE', KEYS[1], KEEP_MS) end
  if #gone > 0 then call('HDEL', KEYS[2], '') end
  local fields = {}
  for process, text in pairs(changed) do
    fields[#fields + 1] = process
    fields[#fields + 1] = text
    if #fields == 2 * ROWS_AT_ONCE then
      call('HSET', KEYS[2], unpack(fields))
      fields = {}
    end
  end
  if #fields > 0 then call('HSET', KEYS[2], unpack(fields)) end
  call('HSET', KEYS[1], 'state', dump_fleet(fleet))
  for _, process in ipairs(gone) do
    if not changed[process] then call('HDEL', KEYS[2], process) end
  end
  if is_due then
    call('PEXPIRE', KEYS[1], KEEP_MS)
    call('PEXPIRE', KEYS[2], KEEP_MS)
  end
end

if ARGV[2] == '' then return check() end
report = load_report(ARGV[1], ARGV[2])
read_books()
local before = mine and load_row(found[mine])
if before and report.count <= before.count then return stale() end
local now = ARGV[3] == '' and server_ms() or tonumber(ARGV[3])
fleet.at = fleet.at + max(1, fleet.wall ~= 0 and now - fleet.wall or now)
fleet.wall = now
heal(before)
expire()
turn()
row = row_of_report()
local all = look(fleet, found, row)
learn(fleet, report, all)
cool_down()
if fleet.at < fleet.heals_until then
  fleet.step, fleet.answered, fleet.answered_at = 0, all.done[OVERALL], fleet.at
end
local reply = grant(fleet, report, row, all)
save(all)
return reply
