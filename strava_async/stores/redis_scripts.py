"""What the Redis store has its server do: one script for each step, so that each is atomic and goes to the primary.

Keys, both of one hash tag, so that a cluster keeps them together:

- ``{strava:<application>}:tokens``: a hash with a field for each athlete, and the field ``canary``. It never expires.
- ``{strava:<application>}:lock:<athlete>``: a hash of ``holder``, ``until`` (milliseconds by the server's clock),
  ``lease`` (milliseconds) and ``fence``; and of ``deleted``, the id of the last deletion. It outlives its lock by a
  day: so long a fence is remembered. Without one it is there for as long as a deletion may be repeated.

Rules:

- A fence is larger than the one before, and no smaller than the server's time in microseconds: it rises although the
  server forgot the one before. A double holds it exactly for some centuries.
- A script may reach the server twice, because clients repeat what got no answer: what is done already counts as done.
- A server's clock that is set back lets a lock last for one more lease, and not until it is as late again.
- A script reads before it writes, so that one that may not read has written nothing. A command that the user may not
  use is named, which servers before 7.2 don't do; any other error is passed on as it is.
"""

from __future__ import annotations

# So long a client may repeat a call: no exchange takes longer.
REPEATED_SECONDS = 60.0

# A script that fails may not have written yet, so it says which command this user lacks; servers do not, before 7.2.
CALL = """
local function call(name, ...)
  local reply = redis.pcall(name, ...)
  if type(reply) == 'table' and reply.err then
    if string.find(reply.err, "can't access") or string.find(reply.err, 'access a key') then
      error({err = 'STRAVA KEYS'})
    elseif string.find(reply.err, "can't run") or string.find(reply.err, 'no permissions') then
      error({err = 'STRAVA COMMAND ' .. name})
    end
    error(reply)
  end
  return reply
end
"""

# What each script begins with.
BEGIN = f"""{CALL}local function now()
  local time = call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end
"""

# Told by the server itself, which a client may only ask on one of its many connections.
INFO = BEGIN + "return call('INFO')"

# KEYS: lock. ARGV: holder, milliseconds of the lease, milliseconds to remember the fence.
TAKE = (
    BEGIN
    + """
local now = now()
local row = call('HMGET', KEYS[1], 'holder', 'until', 'fence', 'lease')
local left = row[1] and tonumber(row[2]) - now / 1000 or 0
if row[1] ~= ARGV[1] and left > 0 then
  local lease = tonumber(row[4]) or left
  if left > lease then
    left = lease
    call('HSET', KEYS[1], 'until', string.format('%.0f', now / 1000 + lease))
  end
  return {'', math.ceil(left)}
end
local fence = row[3]
if row[1] ~= ARGV[1] then
  fence = string.format('%.0f', math.max(now, tonumber(row[3] or 0) + 1))
end
local until_ms = string.format('%.0f', now / 1000 + tonumber(ARGV[2]))
call('HSET', KEYS[1], 'holder', ARGV[1], 'until', until_ms, 'fence', fence, 'lease', ARGV[2])
call('PEXPIRE', KEYS[1], ARGV[3])
return {fence, 0}
"""
)

# As TAKE. A lease that ran out is had again, as long as nobody else came.
RENEW = (
    BEGIN
    + """
if call('HMGET', KEYS[1], 'holder')[1] ~= ARGV[1] then return 0 end
call('HSET', KEYS[1], 'until', string.format('%.0f', now() / 1000 + tonumber(ARGV[2])))
call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""
)

# KEYS: lock. ARGV: holder.
RELEASE = (
    BEGIN
    + """
if call('HMGET', KEYS[1], 'holder')[1] == ARGV[1] then
  call('HSET', KEYS[1], 'holder', '', 'until', 0)
end
return 1
"""
)

# KEYS: tokens. ARGV: athlete.
LOAD = BEGIN + "return call('HMGET', KEYS[1], 'canary', ARGV[1])"
FIELDS = BEGIN + "return {call('HMGET', KEYS[1], 'canary')[1] or '', call('HKEYS', KEYS[1])}"
EVERYTHING = BEGIN + "return call('HGETALL', KEYS[1])"

# What SAVE and DELETE begin with. KEYS: tokens, lock. ARGV: athlete; fence, empty outside of a lock; canary that was
# read; 'any', or 'this' for the value that was read; that value. Of SAVE: canary to write; value to write. Of DELETE:
# id of the call; milliseconds to remember it without a lock. Empty is none.
_COMPARE = """
local row = call('HMGET', KEYS[1], 'canary', ARGV[1])
local fence = call('HMGET', KEYS[2], 'fence')[1]
local canary, value = row[1] or '', row[2] or ''
if not is_done and (canary ~= ARGV[3] or (ARGV[4] ~= 'any' and value ~= ARGV[5])) then
  return 'changed'
end
if fence and ARGV[2] ~= '' and tonumber(fence) > tonumber(ARGV[2]) then
  return 'fenced'
end
"""
# Also what is done already is written: the server confirms what a connection wrote, not what it found.
SAVE = (
    BEGIN
    + "local is_done = call('HMGET', KEYS[1], ARGV[1])[1] == ARGV[7]"
    + _COMPARE
    + """
if ARGV[6] ~= '' and not is_done then
  call('HSET', KEYS[1], 'canary', ARGV[6], ARGV[1], ARGV[7])
else
  call('HSET', KEYS[1], ARGV[1], ARGV[7])
end
return 'done'
"""
)
DELETE = (
    BEGIN
    + "local is_done = call('HMGET', KEYS[2], 'deleted')[1] == ARGV[6]"
    + _COMPARE
    + """
if not is_done and value == '' then return 'nothing' end
if not is_done then call('HDEL', KEYS[1], ARGV[1]) end
call('HSET', KEYS[2], 'deleted', ARGV[6])
if not fence then call('PEXPIRE', KEYS[2], ARGV[7]) end
return 'done'
"""
)

# Write what is there once more, so that it can be confirmed. KEYS: tokens. ARGV: athlete.
TOUCH = (
    BEGIN
    + """
local value = call('HMGET', KEYS[1], ARGV[1])[1]
call('HSET', KEYS[1], ARGV[1], value or '')
if not value then call('HDEL', KEYS[1], ARGV[1]) end
return 1
"""
)

# KEYS: tokens. ARGV: canary that was read, canary to write; then athlete, value that was read, value to write, each.
ROTATE = (
    BEGIN
    + """
local canary = call('HMGET', KEYS[1], 'canary')[1] or ''
local rows = (#ARGV - 2) / 3
if canary ~= ARGV[1] or call('HLEN', KEYS[1]) ~= rows + (canary ~= '' and 1 or 0) then return 'changed' end
for i = 3, #ARGV, 3 do
  if call('HMGET', KEYS[1], ARGV[i])[1] ~= ARGV[i + 1] then return 'changed' end
end
call('HSET', KEYS[1], 'canary', ARGV[2])
for i = 3, #ARGV, 3 do
  call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])
end
return 'done'
"""
)
