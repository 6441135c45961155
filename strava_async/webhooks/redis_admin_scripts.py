"""What ``RedisEventStore`` has its server do for who looks after it: count, list, try now, drop."""

from __future__ import annotations

from strava_async.webhooks.redis_scripts import REPLY_SECONDS, STORE

# Returns JSON: how many are unfinished and claimed; age of the oldest and how long the first has been due, or -1.
STATS = (
    STORE
    + """
local oldest = tonumber(call('ZRANGE', ages, 0, 0, 'WITHSCORES')[2])
local first
for _, kind in ipairs({':lanes', ':deauthorizations'}) do
  local score = tonumber(call('ZRANGE', base .. kind, 0, 0, 'WITHSCORES')[2])
  if score and score <= limit and (not first or score < first) then first = score end
end
local ready = first and math.max(time - math.floor(first / 1000), 0) or -1
return cjson.encode({call('HLEN', rows), call('HLEN', claims), oldest and time - oldest or -1, ready})
"""
)

# ARGV from 3: the first and the last, by age. Returns JSON: of each event its row, its state, its age, and after how
# long its lane is due.
EVENTS = (
    STORE
    + """
local found = {}
for _, key in ipairs(call('ZRANGE', ages, ARGV[3], ARGV[4])) do
  local row = field(rows, key)
  if row then
    local lane, state = lane_of(row), 'behind'
    local score = tonumber(call('ZSCORE', due(lane), lane)) or 0
    if call('LINDEX', queue(lane), 0) == key then
      state = score <= limit and 'ready' or field(claims, lane) and 'claimed' or 'delayed'
    end
    local age = time - tonumber(call('ZSCORE', ages, key))
    table.insert(found, {string.match(row, '^%S+ (.*)$'), state, age, score / 1000 - time})
  end
end
return cjson.encode(found)
"""
)

# ARGV from 3: key of an event. Returns 1 or 0.
RETRY_NOW = (
    STORE
    + f"""
local again = replied()
if again then return again end
local row = field(rows, ARGV[3])
local lane = row and lane_of(row)
if not lane or call('LINDEX', queue(lane), 0) ~= ARGV[3] or field(claims, lane) then return '0' end
if (tonumber(call('ZSCORE', due(lane), lane)) or 0) <= limit then return '0' end
begin()
call('SREM', turn_of(lane), lane)
call('ZADD', due(lane), soon(), lane)
return reply('1', {REPLY_SECONDS * 1000:.0f})
"""
)
DROP = (
    STORE
    + f"""
local again = replied()
if again then return again end
local row = field(rows, ARGV[3])
if not row then return '0' end
local lane = lane_of(row)
local is_first = call('LINDEX', queue(lane), 0) == ARGV[3]
local has_lease = field(claims, lane) and (tonumber(call('ZSCORE', due(lane), lane)) or 0) > limit
if is_first and has_lease then return '0' end
begin()
call('LREM', queue(lane), 1, ARGV[3])
forget(ARGV[3], lane)
if is_first then follow(lane) end
return reply('1', {REPLY_SECONDS * 1000:.0f})
"""
)
