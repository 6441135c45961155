-- What is fair, what the reserve leaves, and what is left to want: the twin of quota/fleet/shares.py and reserve.py.

local QUARTER_SECONDS, DAY_SECONDS, MOST_OF_QUARTER, DEVIATIONS = 900, 86400, 0.5, 5
local GUESSES = 5

-- The fair part of a room: all are filled up to the same level, as high as the room lets it be. ``uses`` has what the
-- others had, ``demands`` what they would have with all that they want; there are ``count`` of them.
local function fair_part(room, used, demand, uses, demands, count)
  local function filled(level)
    local sum, open = max(0, min(demand, level) - used), int(demand > level and level >= used)
    for i = 1, count do
      local to, from = demands[i], uses[i]
      if to > level then
        to = level
        if level >= from then open = open + 1 end
      end
      if to > from then sum = sum + to - from end
    end
    return sum, open
  end
  local low, high, had = 0, demand, used
  for i = 1, count do
    if demands[i] > high then high = demands[i] end
    had = had + uses[i]
  end
  -- Mostly nobody is above the level, or has enough below it.
  local at_low, level, tries = 0, max(1, min(high, floor((room + had) / (count + 1)))), 0
  while low < high do
    local sum, open = filled(level)
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
  return max(0, min(demand, low) - used) + int(rest)
end

-- The reserve, ``left`` seconds before the end of a window, at ``rate`` interactive calls per second.
local function needed(seconds, most, share, limit, left, rate)
  if share == 0 then return 0 end
  local likely = rate * left
  local melting = share * limit * left / seconds
  return min(max(most, share) * limit, max(melting, likely + DEVIATIONS * math.sqrt(likely)))
end

-- The seconds before the end of a window at which ``needed`` falls below ``free``.
local function seconds_left(seconds, most, share, limit, free, rate)
  if share == 0 or free > max(most, share) * limit then return math.huge end
  if free <= 0 then return 0 end
  local left = free * seconds / (share * limit)
  if rate > 0 then
    -- solved for x, where it is equal to ``free``
    local likely = ((math.sqrt(DEVIATIONS ^ 2 + 4 * free) - DEVIATIONS) / 2) ^ 2
    left = min(left, likely / rate)
  end
  return left
end

-- How many more background requests leave the reserve; and for how many milliseconds it holds back the next ones.
local function above_reserve(free, waiting)
  local left = min(report.ms_left / 1000, QUARTER_SECONDS)
  local day_left = left + QUARTER_SECONDS * (QUARTERS_PER_DAY - 1 - fleet.quarter % QUARTERS_PER_DAY)
  local rate = (fleet.interactive_before + fleet.interactive) / (2 * QUARTER_SECONDS - left)
  local above, longest = max(0, free[1], free[2], free[3], free[4]), 0
  for meter = 1, 4 do
    -- One answer alone would count for hours, and background calls may be the only ones.
    if not (is_day(meter) and doubts[meter]) then
      local seconds, most, share, ends = QUARTER_SECONDS, MOST_OF_QUARTER, report.reserve, left
      if is_day(meter) then seconds, most, share, ends = DAY_SECONDS, 0, report.reserve * 0.5, day_left end
      local limit = fleet.limits[meter]
      above = min(above, ceil(free[meter] - needed(seconds, most, share, limit, ends, rate)))
      if free[meter] > 0 then
        -- As many as wait are served at once, rather than one after the other.
        local together = max(1, free[meter] - waiting + 1)
        longest = max(longest, ends - seconds_left(seconds, most, share, limit, together, rate))
      end
    end
  end
  return max(0, above), above <= 0 and max(1, floor(min(longest, left) * 1000)) or 0
end
