-- The call of a process: the twin of ``sync`` in quota/fleet/sync.py, in the order and with the rules of that. It
-- reads, computes, and writes last.

local COOLDOWN_MS, MAX_COOLDOWN_MS = 5000, 300000
-- Books that nobody uses are no use after a day; that they expire is not told at each call.
local KEEP_MS, KEEP_AGAIN_MS = 172800000, 3600000
local FIELDS_AT_ONCE = 2000

local last_count  -- of the process, if its row is known

-- Have the processes tell what they know, where one of them knows of writes that are lost (2).
local function heal()
  local is_lost = report.seen > fleet.sequence or (last_count and last_count < report.acknowledged)
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

-- Put what the process tells in the place of its row.
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
    -- Of a process that has not turned yet, what it tells now may have been counted since the boundary.
    local is_new = arrived_at == NONE
    if is_new then arrived_at = now + ms end
    own_unconfirmed[i] = {read, overall, arrived_at, int(counts == 1 and (in_window or ms > 0 or is_new))}
  end
  local done_read, done = report.done[READ], report.done[OVERALL]
  if not in_window then done_read, done = sum_done(own_unconfirmed) end
  row = {
    report.count, now, now, wanted > 0 and now or wanted_at, now + report.lease_ms,
    now + max(report.lease_ms, report.row_ms), report.held[READ], report.held[OVERALL],
    done_read, done,
    report.wants[INTERACTIVE], report.wants[NORMAL], report.wants[BACKGROUND], report.wants[UPLOADS], ahead}
  fleet.most = max(fleet.most, fleet.known_rows)
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
  if version and version > VERSION then error({err = 'STRAVA LATER'}) end
  if version == VERSION then load_fleet(text) else fleet = {NEW_STATE} end
  if 2 * fleet.known_rows ~= #found then
    -- One of the two keys is gone, or both are an older version's: what the processes know heals the books.
    fleet, doubts, lost = {NEW_STATE}, {}, {}
    for i = 1, #found, 2 do gone[#gone + 1] = found[i] end
    found = {}
  end
  local process = ARGV[1]
  for i = 1, #found, 2 do
    if found[i] == process then mine = i + 1 end
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

if ARGV[2] == '' then
  return check()
end
report = {struct.unpack(REPORT, ARGV[2])}
wanted_reads = report.wants[INTERACTIVE] + report.wants[NORMAL] + report.wants[BACKGROUND]
wanted = wanted_reads + report.wants[UPLOADS]
read_books()
if mine then
  local row = load_row(found[mine])
  last_count = row.count
  if report.count <= last_count then
    return stale()
  end
end
local now = ARGV[3] == '' and server_ms() or tonumber(ARGV[3])
fleet.at = fleet.at + max(1, fleet.wall ~= 0 and now - fleet.wall or now)
fleet.wall = now
heal()
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
