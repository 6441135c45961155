-- What Strava's numbers say: the twin of quota/fleet/learn.py, rules 5 and 6 of quota/fleet/sync.py.

-- Withdraw a number in doubt: counters only rise, and the lower one is younger.
local function refute(meter)
  doubts[meter] = nil
  if meter == OVERALL_QUARTER then fleet.others = NONE end
  -- The lower one may be the wrong one: then a few are refused, and not all that there seems to be.
  fleet.step, fleet.answered, fleet.answered_at = 0, done, fleet.at
end

-- Take in the number of a meter; return what is known then.
local function weigh(meter, known, own)
  local budget, doubt = ceil(meter / 2), doubts[meter]
  local number, at = report.numbers[meter], report.number_at[budget]
  -- A 429 says the same: then the answer is a witness of its own.
  local is_proven = number <= report.refused[meter]
  if doubt then
    -- No two requests have the same count: one that is repeated is no second witness.
    if number > known and (is_proven or ARGV[1] ~= doubt.process or at >= doubt.at) then
      doubts[meter] = nil
    elseif number < known and at >= doubt.at then
      known = max(doubt.usage, number)
      refute(meter)
    elseif doubt.usage < number and number < known then
      doubt.usage = number
    end
  end
  if number <= known then return known end
  local explained = own + max(0, fleet.others) + (is_day(meter) and max(0, known) or 0)
  if number > explained and not doubts[meter] and not is_proven then
    -- The youngest answer of the same report may contradict it already.
    local latest = report.latest[meter]
    doubts[meter] = {max(known, latest < number and latest or NONE), fleet.at, ARGV[1]}
  end
  return number
end

local function adopt_limits()
  local is_unknown, is_same, misses = true, true, false
  for meter = 1, 4 do
    is_unknown = is_unknown and fleet.limits[meter] == NONE
    is_same = is_same and fleet.limits[meter] == report.limits[meter]
    misses = misses or report.limits[meter] == NONE
  end
  if misses and report.limits[OVERALL_QUARTER] == NONE then return end
  if report.assumed == 1 then
    if fleet.limits_at == NONE then
      fleet.limits_confirmed = 1
      for meter = 1, 4 do
        fleet.limits[meter], fleet.usage[meter] = report.limits[meter], max(0, fleet.usage[meter])
      end
    end
    return
  end
  if report.limits_at >= fleet.limits_at or is_unknown then
    if is_unknown then
      fleet.limits_confirmed = 1  -- there is nothing that they contradict
    elseif report.limits_at > fleet.limits_at then
      fleet.limits_confirmed = int(is_same)
    end
    -- An answer need not tell both budgets' limits.
    for meter = 1, 4 do
      if report.limits[meter] ~= NONE then fleet.limits[meter] = report.limits[meter] end
    end
    fleet.limits_at = report.limits_at
  end
end

local function count_others(own)
  local number = fleet.usage[OVERALL_QUARTER]
  if number == NONE then return end
  local extra = max(0, number - own)
  if fleet.others == NONE then
    fleet.others, fleet.others_at_first = extra, extra
  else
    fleet.others = max(fleet.others, extra)
  end
end

local function learn_of_day()
  local in_window, heals = report.quarter == fleet.quarter, fleet.at < fleet.heals_until
  local own_reads, own = own_requests()
  local has_numbers = false
  for meter = 1, 4 do
    if in_window or is_day(meter) then
      if heals then fleet.usage[meter] = max(fleet.usage[meter], report.known[meter]) end
      if report.numbers[meter] ~= NONE then
        fleet.usage[meter] = weigh(meter, fleet.usage[meter], meter < OVERALL_QUARTER and own_reads or own)
      end
    end
    has_numbers = has_numbers or report.numbers[meter] ~= NONE
  end
  adopt_limits()
  if in_window then
    if report.numbers[OVERALL_QUARTER] ~= NONE and report.number_at[OVERALL] ~= NONE then fleet.has_number = 1 end
    if has_numbers then fleet.answered_at = fleet.at end
    fleet.number_at[READ] = max(fleet.number_at[READ], report.number_at[READ])
    fleet.number_at[OVERALL] = max(fleet.number_at[OVERALL], report.number_at[OVERALL])
    count_others(own)
  end
end

local function learn()
  if floor(report.quarter / QUARTERS_PER_DAY) == floor(fleet.quarter / QUARTERS_PER_DAY) then
    learn_of_day()
  end
end
