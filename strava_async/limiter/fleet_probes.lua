-- Meters that are full only if one answer alone is right: the twin of quota/fleet/probes.py.

local GOOD_PART = 16

-- Whether Strava's own numbers leave nothing of a meter that a read, or an upload, spends.
local is_full_for_reads, is_full_for_uploads = false, false
-- When a request may ask whether those are as full as they seem; NONE for not in this window.
local reads_ask_at, uploads_ask_at = NONE, NONE

local function look_at_full_meters()
  local function may_have_room(meter)
    local doubt, limit = doubts[meter], fleet.limits[meter]
    if fleet.limits_confirmed == 0 or (doubt and meter % 2 == 0) then return true end
    return doubt and doubt.usage ~= NONE and doubt.usage + floor(limit / GOOD_PART) < limit
  end

  local function full_from(first)
    local is_full, may_ask, asks_since, has_day = false, true, max(fleet.turned_at, 0), false
    for meter = first, 4 do
      local limit, doubt = fleet.limits[meter], doubts[meter]
      if limit ~= NONE and limit <= fleet.usage[meter] then
        is_full, may_ask = true, may_ask and may_have_room(meter)
        if doubt then asks_since = max(asks_since, doubt.at) end
        has_day = has_day or meter % 2 == 0
      end
    end
    if not (is_full and may_ask) then return is_full, NONE end
    if fleet.probed_at < asks_since then return true, now end
    -- The answer of the last one was no second witness either.
    return true, has_day and NONE or fleet.probed_at + PROBE_MS
  end

  is_full_for_reads, reads_ask_at = full_from(1)
  is_full_for_uploads, uploads_ask_at = full_from(OVERALL_QUARTER)
end
