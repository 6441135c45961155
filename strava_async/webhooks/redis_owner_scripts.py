"""What ``RedisEventStore`` has its server do about the bounds of an athlete: the rules of ``owners.OwnerState``, there.

The function in Python is the specification: a test runs both on random histories. An athlete is forgotten an hour after
the last event, one who was confirmed after 30 days, and first who would be forgotten soonest where there are too many.
"""

from __future__ import annotations

from strava_async.webhooks import owners
from strava_async.webhooks.redis_scripts import REPLY_SECONDS, SETTLED_SECONDS, STORE

REMEMBERED_OWNERS = 100_000
QUIET_SECONDS, QUIET_CONFIRMED_SECONDS = 3600.0, 30 * 86_400.0

# The rules of ``owners.OwnerState``, with its instants in milliseconds.
_OWNER = (
    STORE
    + f"""
local function state_of(owner)
  local state = field(owners, owner)
  return state and cjson.decode(state) or {{confirmed = false, turns = {{}}, not_found = {{}}}}
end
local function keep(owner, state)
  local seconds = state.confirmed and {QUIET_CONFIRMED_SECONDS:.0f} or {QUIET_SECONDS:.0f}
  call('HSET', owners, owner, cjson.encode(state))
  call('ZADD', quiet, text(time + seconds * 1000), owner)
  shorten(quiet, {REMEMBERED_OWNERS}, owners)
end
local function note(instants, most)
  table.insert(instants, time)
  while #instants > most do table.remove(instants, 1) end
end
local function had_not_found(state, count)
  local since = state.not_found[#state.not_found - count + 1]
  return since and time - since < {owners.NOT_FOUND_SECONDS * 1000:.0f}
end
local function is_doubted(state) return had_not_found(state, {owners.NOT_FOUND_BEFORE_DOUBT}) end
local function remaining(since, period)
  return time - since >= period and 0 or math.min(math.max(since + period - time, 1), period)
end
local function turn(state)
  local turns = state.turns
  local waits = 0
  if had_not_found(state, {owners.NOT_FOUND_BEFORE_SLOWNESS}) and #turns > 0 then
    waits = remaining(turns[#turns], {owners.SLOW_TURN_SECONDS * 1000:.0f})
  end
  if waits == 0 and #turns == {owners.TURNS} and (not state.confirmed or is_doubted(state)) then
    waits = remaining(turns[1], {owners.TURN_SECONDS * 1000:.0f})
  end
  if waits == 0 then note(turns, {owners.TURNS}) end
  return waits
end
-- Return whether a bound was lifted.
local function confirm(state, was_not_found)
  local ends_doubt = was_not_found and #state.not_found > 0
  local is_lifted = ends_doubt or not state.confirmed
  state.confirmed = true
  if ends_doubt then state.not_found = {{}} end
  return is_lifted
end
"""
)

# ARGV from 3: athlete; whether a doubted one gets none. Returns milliseconds to wait, -1 for doubted.
TURN = (
    _OWNER
    + f"""
local again = replied()
if again then return again end
local state = state_of(ARGV[3])
if ARGV[4] == '1' and is_doubted(state) then return '-1' end
local waits = turn(state)
if waits > 0 then return text(waits) end
begin()
keep(ARGV[3], state)
return reply('0', {REPLY_SECONDS * 1000:.0f})
"""
)

# ARGV from 3: athlete. Returns 1 if it may be tried again.
NOT_FOUND = (
    _OWNER
    + f"""
local again = replied()
if again then return again end
local state = state_of(ARGV[3])
local retries = is_doubted(state) and '0' or '1'
note(state.not_found, {owners.NOT_FOUND_BEFORE_SLOWNESS})
begin()
keep(ARGV[3], state)
return reply(retries, {REPLY_SECONDS * 1000:.0f})
"""
)

# ARGV from 3: id of the claim; whether it is confirmed; whether it was not found at first. Returns 0 if nothing was
# changed; 1, or 2 where something is due now that was not.
ACK = (
    _OWNER
    + f"""
local again = replied()
if again then return again end
local lane = claimed_lane(ARGV[3])
if not lane then return '0' end
begin()
local key = call('LPOP', queue(lane))
if key then forget(key, lane) end
local is_due = follow(lane)
if ARGV[4] == '1' then
  local state = state_of(owner_of(lane))
  if confirm(state, ARGV[5] == '1') then
    for _, waiting in ipairs(call('SMEMBERS', turn_of(lane))) do
      call('SREM', turn_of(lane), waiting)
      call('ZADD', due(waiting), soon(), waiting)
      is_due = true
    end
  end
  keep(owner_of(lane), state)
end
return reply(is_due and '2' or '1', {SETTLED_SECONDS * 1000:.0f})
"""
)
