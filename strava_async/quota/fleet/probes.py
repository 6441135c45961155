"""One quota for many processes: meters that are full only if one answer alone is right. Pure.

Rules:

- A request may ask whether such a meter is full, where a good part of it is free otherwise: one for each number in
  doubt, and one in each window. A lower count in its answer refutes the number, a higher one confirms it.
- Where the answer repeats the number, or has none, another one may ask five minutes later: not about a day.
- The first number of all contradicts nothing, so nobody asks about it.
"""

from __future__ import annotations

from collections.abc import Sequence

from strava_async.quota.fleet.messages import DAYS, NONE
from strava_async.quota.fleet.state import Fleet

PROBE_MS = 300_000
_GOOD_PART = 16  # of a quarter hour: with less, others may spend it meanwhile


def full_meters(fleet: Fleet, reads: bool) -> list[int]:
    """Return the meters that Strava's own numbers leave nothing of, among those that a read, or an upload, spends."""
    return [meter for meter in range(0 if reads else 2, 4) if NONE != fleet.limits[meter] <= fleet.usage[meter]]


def doubted_until(fleet: Fleet, full: Sequence[int]) -> int:
    """Return when a request may ask whether meters are as full as they seem; ``NONE`` for not in this window."""
    if not full or not all(_may_have_room(fleet, meter) for meter in full):
        return NONE
    doubted_at = [fleet.doubts[meter].at for meter in full if meter in fleet.doubts]
    if fleet.probed_at < max(fleet.turned_at, *doubted_at, 0):
        return fleet.at
    # The answer of the last one was no second witness either.
    return NONE if any(meter in DAYS for meter in full) else fleet.probed_at + PROBE_MS


def _may_have_room(fleet: Fleet, meter: int) -> bool:
    doubt, limit = fleet.doubts.get(meter), fleet.limits[meter]
    if not fleet.limits_confirmed or (doubt is not None and meter in DAYS):
        return True
    return doubt is not None and doubt.usage != NONE and doubt.usage + limit // _GOOD_PART < limit
