-- Meters that are full only if one answer alone is right: the twin of quota/fleet/probes.py.

local GOOD_PART = 16

-- The meters that Strava's own numbers leave nothing of, among those from the first on.
local function full_meters(first)
  local full = {}
  for meter = first, 4 do
    if fleet.limits[meter] ~= NONE and fleet.limits[meter] <= fleet.usage[meter] then full[#full + 1] = meter end
  end
  return full
end

local function may_have_room(meter)
  local doubt, limit = doubts[meter], fleet.limits[meter]
  if fleet.limits_confirmed == 0 or (doubt and is_day(meter)) then return true end
  return doubt and doubt.usage ~= NONE and doubt.usage + floor(limit / GOOD_PART) < limit
end

-- When a request may ask whether meters are as full as they seem; NONE for not in this window.
local function doubted_until(full)
  if #full == 0 then return NONE end
  local since, has_day = max(fleet.turned_at, 0), false
  for _, meter in ipairs(full) do
    if not may_have_room(meter) then return NONE end
    local doubt = doubts[meter]
    if doubt then since = max(since, doubt.at) end
    has_day = has_day or is_day(meter)
  end
  if fleet.probed_at < since then return fleet.at end
  -- The answer of the last one was no second witness either.
  return has_day and NONE or fleet.probed_at + PROBE_MS
end
