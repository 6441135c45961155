-- What Strava's numbers say: the twin of quota/fleet/learn.py, rules 5 and 6 of quota/fleet/sync.py.

local function adopt_limits()
  local is_unknown, is_same, misses = true, true, false
  for meter = 1, 4 do
    is_unknown = is_unknown and fleet.limits[meter] == NONE
    is_same = is_same and fleet.limits[meter] == report.limits[meter]
    misses = misses or report.limits[meter] == NONE
  end
  if misses and report.limits[OVERALL_QUARTER] == NONE then
    -- Nothing was told.
  elseif report.assumed == 1 then
    if fleet.limits_at == NONE then
      fleet.limits_confirmed = 1
      for meter = 1, 4 do
        fleet.limits[meter], fleet.usage[meter] = report.limits[meter], max(0, fleet.usage[meter])
      end
    end
  elseif report.limits_at >= fleet.limits_at or is_unknown then
    if is_unknown then
      fleet.limits_confirmed = 1  -- there is nothing that they contradict
    elseif report.limits_at > fleet.limits_at then
      fleet.limits_confirmed = is_same and 1 or 0
    end
    -- An answer need not tell both budgets' limits.
    for meter = 1, 4 do
      if report.limits[meter] ~= NONE then fleet.limits[meter] = report.limits[meter] end
    end
    fleet.limits_at = report.limits_at
  end
end

local function learn()
  local heals = now < fleet.heals_until
  for meter = 1, 4 do
    if in_window or meter % 2 == 0 then
      local number, known = report.numbers[meter], fleet.usage[meter]
      if heals then known = max(known, report.known[meter]) end
      local doubt, at = doubts[meter], report.number_at[ceil(meter / 2)]
      -- A 429 says the same: then the answer is a witness of its own.
      local is_proven = number <= report.refused[meter]
      if doubt and number ~= NONE then
        -- No two requests have the same count: one that is repeated is no second witness.
        if number > known and (is_proven or ARGV[1] ~= doubt.process or at >= doubt.at) then
          doubts[meter] = nil
        elseif number < known and at >= doubt.at then
          -- Counters only rise, and the lower one is younger. It may be the wrong one all the same: then a few are
          -- refused, and not all that there seems to be.
          known = max(doubt.usage, number)
          doubts[meter] = nil
          if meter == OVERALL_QUARTER then fleet.others = NONE end
          fleet.step, fleet.answered, fleet.answered_at = 0, done, now
        elseif doubt.usage < number and number < known then
          doubt.usage = number
        end
      end
      if number > known then
        local explained = (meter < OVERALL_QUARTER and own_reads or own) + max(0, fleet.others)
        if meter % 2 == 0 then explained = explained + max(0, known) end
        if number > explained and not doubts[meter] and not is_proven then
          -- The youngest answer of the same report may contradict it already.
          local latest = report.latest[meter]
          doubts[meter] = {max(known, latest < number and latest or NONE), now, ARGV[1]}
        end
        known = number
      end
      fleet.usage[meter] = known
    end
  end
  adopt_limits()
  if in_window then
    if report.numbers[OVERALL_QUARTER] ~= NONE and report.number_at[OVERALL] ~= NONE then fleet.has_number = 1 end
    for meter = 1, 4 do
      if report.numbers[meter] ~= NONE then fleet.answered_at = now end
    end
    fleet.number_at[READ] = max(fleet.number_at[READ], report.number_at[READ])
    fleet.number_at[OVERALL] = max(fleet.number_at[OVERALL], report.number_at[OVERALL])
    local number = fleet.usage[OVERALL_QUARTER]
    if number ~= NONE then
      local extra = max(0, number - own)
      if fleet.others == NONE then
        fleet.others, fleet.others_at_first = extra, extra
      elseif extra > fleet.others then
        fleet.others = extra
      end
    end
  end
end
