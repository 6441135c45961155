-- What Strava's numbers say: the twin of fleet_learn.py, rules 5 and 6 of fleet.py.

-- Take in the number of a meter; return what is known then.
local function weigh(fleet, report, meter, known, own)
  local number, at, doubts = report.numbers[meter], report.number_at[BUDGET[meter]], fleet.doubts
  local doubt = doubts[meter]
  if doubt then
    if number >= known and (report.process ~= doubt.process or at > doubt.at) then
      doubts[meter] = nil
    elseif number < known and at > doubt.at then
      -- Counters only rise: of two numbers that contradict each other, the one with a witness is right.
      doubts[meter] = nil
      if meter == OVERALL_QUARTER then fleet.others = NONE end
      known = max(doubt.usage, number)
    elseif doubt.usage < number and number < known then
      doubt.usage = number
    end
  end
  if number <= known then return known end
  local is_day = meter == READ_DAY or meter == OVERALL_DAY
  local explained = own + max(0, fleet.others) + (is_day and max(0, known) or 0)
  if number > explained and not doubts[meter] then
    -- The youngest answer of the same report may contradict it already.
    local latest = report.latest[meter]
    doubts[meter] = {
      usage = max(known, 0, latest < number and latest or 0), at = fleet.at, process = report.process}
  end
  return number
end

local function adopt_limits(fleet, report)
  local told, limits = report.limits, fleet.limits
  local misses = told[1] == NONE or told[2] == NONE or told[3] == NONE or told[4] == NONE
  if misses and told[OVERALL_QUARTER] == NONE then return end
  if report.assumed then
    if fleet.limits_at == NONE then
      fleet.limits, fleet.limits_confirmed = {told[1], told[2], told[3], told[4]}, true
      for meter = 1, 4 do fleet.usage[meter] = max(0, fleet.usage[meter]) end
    end
    return
  end
  local is_unknown = limits[1] == NONE and limits[2] == NONE and limits[3] == NONE and limits[4] == NONE
  if report.limits_at >= fleet.limits_at or is_unknown then
    if report.limits_at > fleet.limits_at and fleet.limits_at ~= NONE then
      fleet.limits_confirmed = told[1] == limits[1] and told[2] == limits[2] and told[3] == limits[3]
        and told[4] == limits[4]
    end
    -- An answer need not tell both budgets' limits.
    for meter = 1, 4 do
      if told[meter] ~= NONE then limits[meter] = told[meter] end
    end
    fleet.limits_at = report.limits_at
  end
end

local function count_others(fleet, own)
  local number = fleet.usage[OVERALL_QUARTER]
  if number == NONE then return end
  local extra = max(0, number - own[OVERALL])
  if fleet.others == NONE then
    fleet.others, fleet.others_at_first = extra, extra
  else
    fleet.others = max(fleet.others, extra)
  end
end

local function learn(fleet, report, all)
  if floor(report.quarter / QUARTERS_PER_DAY) ~= floor(fleet.quarter / QUARTERS_PER_DAY) then return end
  local in_window, own, usage, numbers = report.quarter == fleet.quarter, own_of(fleet, all), fleet.usage, report.numbers
  local heals = fleet.at < fleet.heals_until
  local has_numbers = false
  for meter = 1, 4 do
    if in_window or meter == READ_DAY or meter == OVERALL_DAY then
      if heals then usage[meter] = max(usage[meter], report.known[meter]) end
      if numbers[meter] ~= NONE then
        usage[meter] = weigh(fleet, report, meter, usage[meter], own[BUDGET[meter]])
      end
    end
    has_numbers = has_numbers or numbers[meter] ~= NONE
  end
  adopt_limits(fleet, report)
  if not in_window then return end
  local number_at, told_at = fleet.number_at, report.number_at
  fleet.has_number = fleet.has_number or (numbers[OVERALL_QUARTER] ~= NONE and told_at[OVERALL] ~= NONE)
  if has_numbers then fleet.answered_at = fleet.at end
  number_at[READ] = max(number_at[READ], told_at[READ])
  number_at[OVERALL] = max(number_at[OVERALL], told_at[OVERALL])
  count_others(fleet, own)
end
