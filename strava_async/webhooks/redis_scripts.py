"""What ``RedisEventStore`` has its server do: one script for each method, so that each is atomic and one round trip.

A **lane** is ``e<athlete>/<digest>``, or ``d<athlete>`` for deauthorizations. All keys begin with
``{strava:<application>}:events``, which is itself a hash of the store's clock; what follows is:

====================================  ======  ==========================================================================
``:lanes``, ``:deauthorizations``     zset    lanes by when they are due: the first event of a lane is ready, or waits
                                              for its retry, or is leased and is due when the lease ends
``:lane:<lane>``                      list    the keys of its events, in order
``:rows``                             hash    key of an event: its lane and, behind a space, what the client reads
``:ages``                             zset    keys of events by when they were received
``:known``                            zset    keys by when they are forgotten, an hour after they were received
``:claims``                           hash    lane: the claim that has its first event
``:counts``                           hash    athlete: how many events are unfinished, deauthorizations excepted
``:owners``, ``:quiet``               hash,   athlete: the state of ``owners.OwnerState``; and when it is forgotten
                                      zset
``:turn:<athlete>``                   set     lanes that wait for the athlete's turn
``:reply:<call>``                     string  what a call was answered, for a while
====================================  ======  ==========================================================================

Rules:

- Time is the server's, in milliseconds. It never goes back: what its clock is set back by is added from then on.
- Lanes that are due at once are in the order of these calls, also within one millisecond: their score is in
  microseconds, and each is larger than the last.
- A call may reach the server twice, because clients repeat what got no answer: it has an id, and is answered as before.
- A script reads before it writes, and ``CHECK`` has tried every command before the first event: one that a user may not
  use is found when nothing was written. Where events leave, a removal comes first: a full server lets a script go on
  that has written something, so what is stored can be handled.
- A script declares a second key, which is never there. While a cluster moves the slot to another server, each of the
  two would take keys that it does not have for empty ones; what declares one of these among others is refused by both.
- What a script costs does not grow with what is stored; of what has expired each removes some.
"""

from __future__ import annotations

from strava_async.stores.redis_scripts import BEGIN, REPEATED_SECONDS

KNOWN_SECONDS = 3600.0
# How long an answer is kept for a repeated call: as long as a client may repeat it, or a worker what it has finished.
REPLY_SECONDS, SETTLED_SECONDS = REPEATED_SECONDS, 120.0
APPENDED_SECONDS = 15.0  # then it is a duplicate, which is answered in the same way

# KEYS: what all keys begin with; one that is never there. ARGV: milliseconds in place of the server's, empty for those;
# id of the call.
STORE = (
    BEGIN
    + """
local base = KEYS[1]
local rows, ages, known, claims = base .. ':rows', base .. ':ages', base .. ':known', base .. ':claims'
local counts, owners, quiet = base .. ':counts', base .. ':owners', base .. ':quiet'
local function text(number) return string.format('%.0f', number) end
local function field(key, name) return call('HMGET', key, name)[1] end

local clock = call('HMGET', base, 'last', 'offset', 'order')
local at = tonumber(ARGV[1]) or math.floor(now() / 1000)
local last, offset, order = tonumber(clock[1]) or at, tonumber(clock[2]) or 0, tonumber(clock[3]) or 0
local time = at + offset
local was_set_back = time < last
if was_set_back then
  offset, time = last - at, last
end
local limit = math.max(time * 1000 + 999, order)
local function tick()
  call('HSET', base, 'last', text(time), 'offset', text(offset), 'order', text(order))
end
-- A removal of nothing: after it, a full server lets this script write.
local function begin() call('HDEL', base, '-') end
local function soon()
  order = math.max(time * 1000, order + 1)
  return text(order)
end

local function replied() return call('GET', base .. ':reply:' .. ARGV[2]) end
local function reply(value, milliseconds)
  tick()
  call('SET', base .. ':reply:' .. ARGV[2], value, 'PX', text(milliseconds))
  return value
end
local function shorten(zset, most, hash)
  local old = call('ZRANGE', zset, '-inf', text(time), 'BYSCORE', 'LIMIT', 0, 100)
  local excess = call('ZCARD', zset) - most
  if #old == 0 and excess > 0 then old = call('ZRANGE', zset, 0, math.min(excess, 100) - 1) end
  if #old > 0 then
    call('ZREM', zset, unpack(old))
    if hash then call('HDEL', hash, unpack(old)) end
  end
end

local function due(lane) return base .. (string.sub(lane, 1, 1) == 'd' and ':deauthorizations' or ':lanes') end
local function queue(lane) return base .. ':lane:' .. lane end
local function owner_of(lane) return string.match(lane, '^%a(%-?%d+)') end
local function turn_of(lane) return base .. ':turn:' .. owner_of(lane) end
local function lane_of(row) return string.match(row, '^%S+') end
local function claimed_lane(claim)
  local lane = string.match(claim, '^(.*):')
  return lane and field(claims, lane) == claim and lane
end
-- Remove an event, which is in its list no more.
local function forget(key, lane)
  call('HDEL', rows, key)
  call('ZREM', ages, key)
  if string.sub(lane, 1, 1) == 'e' and call('HINCRBY', counts, owner_of(lane), -1) <= 0 then
    call('HDEL', counts, owner_of(lane))
  end
end
-- Let the next of a lane follow; return whether there is one.
local function follow(lane)
  call('HDEL', claims, lane)
  call('SREM', turn_of(lane), lane)
  if call('LLEN', queue(lane)) == 0 then
    call('ZREM', due(lane), lane)
    return false
  end
  call('ZADD', due(lane), soon(), lane)
  return true
end
"""
)

# Try what every script uses, on keys of its own; and read those that all use.
CHECK = (
    STORE
    + """
for _, hash in ipairs({base, rows, claims, counts, owners}) do call('HLEN', hash) end
for _, zset in ipairs({ages, known, quiet, base .. ':lanes', base .. ':deauthorizations'}) do call('ZCARD', zset) end
begin()
local check = base .. ':check:'
call('SET', check .. 'text', 1, 'PX', 1)
call('GET', check .. 'text')
call('HSET', check .. 'hash', 'x', 1)
call('HINCRBY', check .. 'hash', 'x', 1)
call('HMGET', check .. 'hash', 'x')
call('HLEN', check .. 'hash')
call('HDEL', check .. 'hash', 'x')
call('ZADD', check .. 'zset', 1, 'x')
call('ZSCORE', check .. 'zset', 'x')
call('ZRANGE', check .. 'zset', 0, 0)
call('ZREM', check .. 'zset', 'x')
call('RPUSH', check .. 'list', 1, 2, 3)
call('LLEN', check .. 'list')
call('LINDEX', check .. 'list', 0)
call('LPOP', check .. 'list')
call('RPOP', check .. 'list')
call('LREM', check .. 'list', 1, 2)
call('SADD', check .. 'set', 'x')
call('SMEMBERS', check .. 'set')
call('SREM', check .. 'set', 'x')
return 1
"""
)

# ARGV from 3: key; what to store; lane; how many may be unfinished, in all and of an athlete; how many keys are known.
# A duplicate is written too: what WAIT promises is about what a connection has written, not what it has found.
APPEND = (
    STORE
    + f"""
local key, lane, hour = ARGV[3], ARGV[5], {KNOWN_SECONDS * 1000:.0f}
local again = replied()
if again then
  tick()
  return again
end
local known_until = tonumber(call('ZSCORE', known, key)) or 0
if known_until > time or field(rows, key) then
  tick()
  return 'duplicate'
end
local owner, is_deauthorization = owner_of(lane), string.sub(lane, 1, 1) == 'd'
local length = call('LLEN', queue(lane))
local supersedes = is_deauthorization and length >= 2
if not supersedes and call('HLEN', rows) >= tonumber(ARGV[6]) then return 'queue full' end
local of_owner = tonumber(field(counts, owner)) or 0
if not is_deauthorization and of_owner >= tonumber(ARGV[7]) then return 'owner full' end

call('ZADD', known, text(time + hour), key)
call('HSET', rows, key, lane .. ' ' .. ARGV[4])
call('ZADD', ages, text(time), key)
if supersedes then forget(call('RPOP', queue(lane)), lane) end
if not is_deauthorization then call('HINCRBY', counts, owner, 1) end
call('RPUSH', queue(lane), key)
if length == 0 then call('ZADD', due(lane), soon(), lane) end
shorten(known, tonumber(ARGV[8]))
return reply(supersedes and 'superseded' or 'stored', {APPENDED_SECONDS * 1000:.0f})
"""
)

# ARGV from 3: 'lanes' or 'deauthorizations'; how many; milliseconds of the lease. Returns JSON: of each claim its id,
# row, age, and whether a lease on it had ended; the milliseconds until the next is due, -1 if none is known; and those
# of the other kind.
CLAIM = (
    STORE
    + """
local zset, lease = base .. ':' .. ARGV[3], tonumber(ARGV[5])
local found = {}
local function until_due(zset)
  local score = call('ZRANGE', zset, 0, 0, 'WITHSCORES')[2]
  return score and math.max(tonumber(score) / 1000 - time, 0) or -1
end
local function answer()
  local other = ARGV[3] == 'lanes' and ':deauthorizations' or ':lanes'
  return cjson.encode({found, until_due(zset), until_due(base .. other)})
end
local function extend(lane) call('ZADD', zset, text((time + lease) * 1000), lane) end
local again = replied()
if again then  -- the leases count from now; what was taken over meanwhile is not returned, and what is too much is free
  begin()
  for _, claim in ipairs(cjson.decode(again)) do
    local lane = claimed_lane(claim[1])
    if lane and #found < tonumber(ARGV[4]) then
      extend(lane)
      table.insert(found, claim)
    elseif lane then
      follow(lane)
    end
  end
  tick()
  return answer()
end
local lanes = call('ZRANGE', zset, '-inf', text(limit), 'BYSCORE', 'LIMIT', 0, ARGV[4])
if #lanes > 0 then begin() end
for _, lane in ipairs(lanes) do
  local key = call('LINDEX', queue(lane), 0)
  local row = key and field(rows, key)
  while key and not row do  -- somebody has removed it by hand
    call('LPOP', queue(lane))
    key = call('LINDEX', queue(lane), 0)
    row = key and field(rows, key)
  end
  if row then
    local claim, was_claimed = lane .. ':' .. ARGV[2], field(claims, lane) and 1 or 0
    call('SREM', turn_of(lane), lane)
    call('HSET', claims, lane, claim)
    extend(lane)
    local received = tonumber(call('ZSCORE', ages, key)) or time
    table.insert(found, {claim, string.match(row, '^%S+ (.*)$'), time - received, was_claimed})
  else
    follow(lane)
  end
end
if #found > 0 then
  reply(cjson.encode(found), math.max(lease, 1))
  return answer()
end
if was_set_back or time - last >= 1000 or #lanes > 0 then
  begin()
  tick()
end
shorten(known, math.huge)
shorten(quiet, math.huge, owners)
return answer()
"""
)

# ARGV from 3: milliseconds of the lease; ids of claims. Returns 1 or 0 for each.
RENEW = (
    STORE
    + """
local told = {}
begin()
for i = 4, #ARGV do
  local lane = claimed_lane(ARGV[i])
  if lane then call('ZADD', due(lane), text((time + tonumber(ARGV[3])) * 1000), lane) end
  table.insert(told, lane and '1' or '0')
end
tick()
return table.concat(told)
"""
)

# ARGV from 3: id of the claim; milliseconds; what to store; whether it waits for its athlete's turn. Returns 1 or 0.
RETRY = (
    STORE
    + f"""
local again = replied()
if again then return again end
local lane = claimed_lane(ARGV[3])
local key = lane and call('LINDEX', queue(lane), 0)
if not key then return '0' end
begin()
call('HSET', rows, key, lane .. ' ' .. ARGV[5])
call('HDEL', claims, lane)
local milliseconds = tonumber(ARGV[4])
call('ZADD', due(lane), milliseconds > 0 and text((time + milliseconds) * 1000) or soon(), lane)
if ARGV[6] == '1' then call('SADD', turn_of(lane), lane) end
return reply('1', {SETTLED_SECONDS * 1000:.0f})
"""
)
