-- What is fair, what the reserve leaves, and what is left to want: the twin of fleet_shares.py and reserve.py.

local MOST_OF_QUARTER, DEVIATIONS = 0.5, 5

-- The fair part of a room: all are filled up to the same level, as high as the room lets it be.
local function fair_part(room, used, demand, others)
  local uses, demands = others.used, others.demand
  local count = #uses
  local function filled(level)
    local sum = max(0, min(demand, level) - used)
    for i = 1, count do
      local to, from = demands[i], uses[i]
      if to > level then to = level end
      if to > from then sum = sum + to - from end
    end
    return sum
  end
  local low, high = 0, demand
  for i = 1, count do
    if demands[i] > high then high = demands[i] end
  end
  while low < high do
    local level = floor((low + high + 1) / 2)
    if filled(level) <= room then low = level else high = level - 1 end
  end
  -- What is left is less than one for each: who comes first gets it.
  local rest = room > filled(low) and demand > low and low >= used
  return max(0, min(demand, low) - used) + int(rest)
end

-- The reserve, ``left`` seconds before the end of a window, at ``rate`` interactive calls per second.
local function needed(seconds, most, share, limit, left, rate)
  if share == 0 then return 0 end
  local likely = rate * left
  local melting = share * limit * left / seconds
  return min(max(most, share) * limit, max(melting, likely + DEVIATIONS * sqrt(likely)))
end

-- The seconds before the end of a window at which ``needed`` falls below ``free``.
local function seconds_left(seconds, most, share, limit, free, rate)
  if share == 0 or free > max(most, share) * limit then return huge end
  if free <= 0 then return 0 end
  local left = free * seconds / (share * limit)
  if rate > 0 then
    -- solved for x, where it is equal to ``free``
    local likely = ((sqrt(DEVIATIONS * DEVIATIONS + 4 * free) - DEVIATIONS) / 2) ^ 2
    left = min(left, likely / rate)
  end
  return left
end

-- How many more background requests leave the reserve; and for how many milliseconds it holds back the next ones.
local function above_reserve(fleet, report, free, waiting)
  local left = min(report.ms_left / 1000, QUARTER_SECONDS)
  local day_left = left + QUARTER_SECONDS * (QUARTERS_PER_DAY - 1 - fleet.quarter % QUARTERS_PER_DAY)
  local rate = (fleet.interactive_before + fleet.interactive) / (2 * QUARTER_SECONDS - left)
  local above, longest = max(0, free[1], free[2], free[3], free[4]), 0
  for meter = 1, 4 do
    local is_day = meter == READ_DAY or meter == OVERALL_DAY
    -- One answer alone would count for hours, and background calls may be the only ones.
    if not (is_day and fleet.doubts[meter]) then
      local seconds, most, share, ends = QUARTER_SECONDS, MOST_OF_QUARTER, report.reserve, left
      if is_day then
        seconds, most, share, ends = QUARTER_SECONDS * QUARTERS_PER_DAY, 0, report.reserve * 0.5, day_left
      end
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

-- What still waits: the most urgent are served first.
local function remaining(wants, reads, overall)
  local left, still = reads, {}
  for priority = 1, 3 do
    local served = min(wants[priority], left)
    still[priority] = wants[priority] - served
    left = left - served
  end
  still[4] = max(0, wants[4] - (overall - reads))
  return still
end
