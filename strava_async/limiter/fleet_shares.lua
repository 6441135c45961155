-- What is fair, and what the reserve leaves: the twin of quota/fleet/shares.py, line.py and reserve.py.

local QUARTER_SECONDS, DAY_SECONDS, MOST_OF_QUARTER, DEVIATIONS = 900, 86400, 0.5, 5
local GUESSES = 5

-- The fair part of a room: all who wait are filled up to the same level, as high as the room lets it be. What is kept
-- for those that will not ask for a while would be left unused. Work of a process with background work alone goes
-- behind: what it would have is nothing that the others are to leave.
local function fair_part(room, demand, with_background)
  local wish = demand - used
  if fleet.waiting == 0 or room >= fleet.wished + wish then return max(0, min(room, wish)) end
  if room <= 0 then return 0 end
  local last, high, had, count = #line, demand, used, 1
  for i = 2, last, 2 do
    local theirs = line[i]
    if theirs < 0 and with_background then theirs = -theirs end
    if theirs > 0 then
      had, count = had + line[i - 1], count + 1
      if theirs > high then high = theirs end
    end
  end
  local low, at_low, tries = 0, 0, 0
  -- Mostly nobody is above this level, or has enough below it.
  local level = max(1, min(high, floor((room + had) / count)))
  while low < high do
    local sum, open = max(0, min(demand, level) - used), (demand > level and level >= used) and 1 or 0
    for i = 2, last, 2 do
      local to, from = line[i], line[i - 1]
      if to < 0 and with_background then to = -to end
      if to > level then
        to = level
        if level >= from then open = open + 1 end
      end
      if to > from then sum = sum + to - from end
    end
    if sum <= room and room < sum + open then
      low, at_low = level, sum
      break
    end
    -- The next guesses go by how fast the sum rises there, and halve what is left where that leads nowhere.
    local guess = open > 0 and tries < GUESSES and level + floor((room - sum) / open) or 0
    if sum <= room then low, at_low, guess = level, sum, max(guess, level + 1) else high = level - 1 end
    level = tries < GUESSES and guess > low and guess <= high and guess or floor((low + high + 1) / 2)
    tries = tries + 1
  end
  -- What is left is less than one for each: who comes first gets it.
  local rest = room > at_low and demand > low and low >= used
  return max(0, min(demand, low) - used) + (rest and 1 or 0)
end

-- How many more background requests leave the reserve; and for how many milliseconds it holds back the next ones.
local function above_reserve(granted)
  local left = min(report.ms_left / 1000, QUARTER_SECONDS)
  local day_left = left + QUARTER_SECONDS * (QUARTERS_PER_DAY - 1 - fleet.quarter % QUARTERS_PER_DAY)
  local rate = (fleet.interactive_before + fleet.interactive) / (2 * QUARTER_SECONDS - left)

  -- Of a meter: its length, the share that is reserved, the most of that, and the seconds to its end.
  local function reserve_of(meter)
    local share = report.reserve
    if meter % 2 == 1 then return QUARTER_SECONDS, share, max(MOST_OF_QUARTER, share) * fleet.limits[meter], left end
    return DAY_SECONDS, share * 0.5, share * 0.5 * fleet.limits[meter], day_left
  end

  local above, longest = max(0, max(room[1], room[2], room[3], room[4]) - granted), 0
  for meter = 1, 4 do
    -- One answer alone would count for hours, and background calls may be the only ones.
    if meter % 2 == 1 or not doubts[meter] then
      local seconds, share, most, ends = reserve_of(meter)
      local reserved, likely = 0, rate * ends
      if share > 0 then
        local melting = share * fleet.limits[meter] * ends / seconds
        reserved = min(most, max(melting, likely + DEVIATIONS * math.sqrt(likely)))
      end
      above = min(above, ceil(room[meter] - granted - reserved))
    end
  end
  if above > 0 then return above, 0 end
  for meter = 1, 4 do
    local seconds, share, most, ends = reserve_of(meter)
    -- As many as wait are served at once, rather than one after the other.
    local free = max(1, room[meter] - granted - fleet.waiting)
    if room[meter] > granted and share > 0 and free <= most and (meter % 2 == 1 or not doubts[meter]) then
      -- How many seconds before its end the reserve falls below that.
      local seconds_left = free * seconds / (share * fleet.limits[meter])
      if rate > 0 then
        -- solved for x, where ``likely`` and its deviations are equal to that
        local likely = ((math.sqrt(DEVIATIONS ^ 2 + 4 * free) - DEVIATIONS) / 2) ^ 2
        seconds_left = min(seconds_left, likely / rate)
      end
      longest = max(longest, ends - seconds_left)
    end
  end
  return 0, max(1, floor(min(longest, left) * 1000))
end
