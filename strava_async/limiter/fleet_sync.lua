-- The call of a process: the twin of ``sync`` in quota/fleet/sync.py, in the order and with the rules of that. It
-- reads, computes, and writes last.

local COOLDOWN_MS, MAX_COOLDOWN_MS = 5000, 300000
-- Books that nobody uses are no use after a day; that they expire is not told at each call.
local KEEP_MS, KEEP_AGAIN_MS = 172800000, 3600000
local FIELDS_AT_ONCE = 2000

-- Take in what the process tells of itself, and sum up what all have.
local function take_in()
  local position = report.position
  for i = 1, report.entries do
    local read, overall, arrived_at, counts, ms
    read, overall, arrived_at, counts, ms, position = struct.unpack(REPORTED, ARGV[2], position)
    -- Of a process that has not turned yet, what it tells now may have been counted since the boundary.
    local is_new = arrived_at == NONE
    if is_new then arrived_at = now + ms end
    own_unconfirmed[i] = {read, overall, arrived_at, (counts == 1 and (in_window or ms > 0 or is_new)) and 1 or 0}
  end
  row = {
    now, report.count, 0, wanted > 0 and now + 1 or old and old.wanted or 0, report.lease_ms,
    max(report.lease_ms, report.row_ms), report.held[READ], report.held[OVERALL], report.done[READ],
    report.done[OVERALL], 0, 0, 0, 0, old and old.ahead or 0, report.entries, slot}
  if not in_window then
    row.done[READ], row.done[OVERALL] = sum_in_window(own_unconfirmed)
  end
  if not old then
    fleet.known_rows = fleet.known_rows + 1
  end
  fleet.most = max(fleet.most, fleet.known_rows)
  used = row.done[OVERALL] + row.held[OVERALL] + row.ahead
  held_read, held = fleet.held[READ] + row.held[READ], fleet.held[OVERALL] + row.held[OVERALL]
  done = fleet.done[OVERALL] + row.done[OVERALL] + fleet.gone[OVERALL]
  own_reads, own = fleet.done[READ] + row.done[READ] + fleet.gone[READ] + held_read, done + held
  if #lost > 0 then
    local lost_reads, lost_all = sum_in_window(lost)
    own_reads, own = own_reads + lost_reads, own + lost_all
  end
end

-- Send nothing for a while after a 429 that nothing explains (7).
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
      fleet.cooldown_until[budget] = now + max(ms, report.refused_ms)
      fleet.refusals[budget] = fleet.refusals[budget] + 1
      fleet.refused_at[budget], fleet.judged_at[budget] = now, now
    end
  end
  if report.late_at > fleet.late_at and in_window then
    fleet.late_at, fleet.late_until = now, now + report.late_ms
    fleet.lateness[1], fleet.lateness[2] = report.lateness[1], report.lateness[2]
    fleet.first_at, fleet.was_full, fleet.has_number = NONE, 1, 0
  end
end

-- Answer a call that is no younger than the last one of its process, without a change. One that is repeated is answered as
-- it was; all that an older one is told is to be ignored.
local function answer_again()
  local is_older, at, left, reads, all, heals, poll_ms = 1, fleet.at, 0, 0, 0, 0, NONE
  local elsewhere_reads, elsewhere = 0, 0
  if report.count == old.count then
    is_older, at, heals = 0, old.at, fleet.at < fleet.heals_until and 1 or 0
    left = max(0, fleet.ends_at - fleet.at - max(0, reading - fleet.wall))
    reads, all = max(0, old.held[READ] - report.held[READ]), max(0, old.held[OVERALL] - report.held[OVERALL])
    elsewhere_reads = max(0, fleet.held[READ] - old.held[READ])
    elsewhere = max(0, fleet.held[OVERALL] - old.held[OVERALL])
    local wants = old.wants[INTERACTIVE] + old.wants[NORMAL] + old.wants[BACKGROUND] + old.wants[UPLOADS]
    if wants > 0 and old.asks > 0 then poll_ms = old.asks end
  end
  return struct.pack(
    REPLY, is_older, fleet.sequence, at, fleet.quarter, fleet.sure, left, reads, all,
    fleet.usage[1], fleet.usage[2], fleet.usage[3], fleet.usage[4],
    fleet.limits[1], fleet.limits[2], fleet.limits[3], fleet.limits[4],
    fleet.number_at[READ], fleet.number_at[OVERALL], fleet.has_number, fleet.late_at, fleet.lateness[1],
    fleet.lateness[2], elsewhere_reads, elsewhere, 0, max(fleet.most, fleet.most_before), poll_ms, 0, 0, 0, heals)
end

-- Use each command once, without effect, so that one which this user lacks is named before anything is written: HSET
-- with a value too few fails only after that.
local function check()
  if ARGV[3] == '' then call('TIME') end
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

local function put_row()
  local left = reads
  -- The most urgent are served first.
  for priority = INTERACTIVE, BACKGROUND do
    local served = min(report.wants[priority], left)
    row.wants[priority], left = report.wants[priority] - served, left - served
  end
  row.wants[UPLOADS] = max(0, report.wants[UPLOADS] - (overall - reads))
  row.held[READ], row.held[OVERALL] = row.held[READ] + reads, row.held[OVERALL] + overall
  row.asks = max(0, poll_ms)
end

-- Write what is to be written of the rows of others.
local function write_rows()
  local fields = {}
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
end

local function save()
  local text = struct.pack(ROW, unpack(row))
  for i = 1, report.entries do text = text .. dump_entry(own_unconfirmed[i]) end
  -- A user that may not do what follows is told before the first write.
  local is_due = fleet.kept_at == NONE or now - fleet.kept_at >= KEEP_AGAIN_MS or (found and #found == 0)
  if is_due then
    fleet.kept_at = now
    call('PEXPIRE', KEYS[1], KEEP_MS)
  end
  if #gone > 0 then call('HDEL', KEYS[2], '') end
  call('HSET', KEYS[2], ARGV[1], text)
  if next(changed) then
    write_rows()
  end
  write_state()
  for _, process in ipairs(gone) do
    if process ~= ARGV[1] then call('HDEL', KEYS[2], process) end
  end
  if is_due then
    call('PEXPIRE', KEYS[1], KEEP_MS)
    call('PEXPIRE', KEYS[2], KEEP_MS)
  end
end

if ARGV[2] == '' then
  return check()
end
report = {struct.unpack(REPORT, ARGV[2])}
wanted_reads = report.wants[INTERACTIVE] + report.wants[NORMAL] + report.wants[BACKGROUND]
wanted = wanted_reads + report.wants[UPLOADS]
read_state()
reading = tonumber(ARGV[3])
if not reading then
  local time = call('TIME')
  reading = tonumber(time[1]) * 1000 + floor(tonumber(time[2]) / 1000)
end
if old and report.count <= old.count then
  return answer_again()
end
now = fleet.at + max(1, fleet.wall ~= 0 and reading - fleet.wall or reading)
fleet.at, fleet.wall = now, reading
-- Mostly nothing but the row of the process and the numbers of its answers changes what is known.
local is_usual = old and now <= fleet.sums_until and now <= fleet.lease_ends_at and #lost == 0
  and fleet.with_entries == 0 and report.entries == 0 and report.quarter == fleet.quarter and fleet.quarter > 0
  and (fleet.sure == 1 or report.sure == 0) and report.alone == 0 and report.seen <= fleet.sequence
  and old.count >= report.acknowledged
if not is_usual then
  take_stock()
end
fleet.sequence = max(fleet.sequence, report.seen) + 1
in_window = report.quarter == fleet.quarter
if in_window and report.sure == 1 then fleet.ends_at = now + report.ms_left end
since = max(fleet.turned_at, fleet.heals_until)
is_new = now - since <= AWAKE_MS
if is_usual then
  slot = old.slot
  count_row(-1, unpack(old))
  if wanted > 0 and fleet.waiting > 0 then
    read_line()
  end
else
  look_at_others()
end
take_in()
if in_window or floor(report.quarter / QUARTERS_PER_DAY) == floor(fleet.quarter / QUARTERS_PER_DAY) then
  learn()
end
cool_down()
if now < fleet.heals_until then fleet.step, fleet.answered, fleet.answered_at = 0, done, now end
grant()
put_row()
local mine_read, mine = report.held[READ], report.held[OVERALL]
for _, requests in ipairs(own_unconfirmed) do
  if is_unconfirmed(requests) then mine_read, mine = mine_read + requests.read, mine + requests.overall end
end
local tell_ms = (fleet.waiting > 0 or day > 0) and TELL_MS or TELL_ALONE_MS
if is_bounded or now < fleet.heals_until or next(doubts) ~= nil then tell_ms = 0 end
local reply = struct.pack(
  REPLY, 0, fleet.sequence, now, fleet.quarter, fleet.sure, max(0, fleet.ends_at - now), reads, overall,
  fleet.usage[1], fleet.usage[2], fleet.usage[3], fleet.usage[4],
  fleet.limits[1], fleet.limits[2], fleet.limits[3], fleet.limits[4],
  fleet.number_at[READ], fleet.number_at[OVERALL], fleet.has_number, fleet.late_at, fleet.lateness[1],
  fleet.lateness[2], max(0, held_read + read_day - mine_read), max(0, held + day - mine),
  fleet.waiting + (wanted > overall and 1 or 0), max(fleet.most, fleet.most_before), poll_ms, backs_off, tell_ms,
  reserved_ms, now < fleet.heals_until and 1 or 0)
save()
return reply
