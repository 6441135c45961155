"""One quota for many processes: what is fair, what the reserve leaves, and what is left to want. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from strava_async.quota.fleet.messages import DAYS, METERS, Report, Spent, Wants
from strava_async.quota.fleet.state import Fleet
from strava_async.quota.reserve import DAY, QUARTER, needed, seconds_left
from strava_async.quota.values import QUARTER_SECONDS, QUARTERS_PER_DAY

Demand = tuple[int, int]
"""What a process has had, and what it would have with all that it wants."""


def fair_part(room: int, mine: Demand, others: Sequence[Demand]) -> int:
    """Return how much of a room is fair for one process, beside others.

    All are filled up to the same level, as high as the room lets it be; nobody gets more than it wants, or has to give
    back what it has had.
    """
    demands = [mine, *others]
    low, high = 0, max(demand for _, demand in demands)
    while low < high:
        level = (low + high + 1) // 2
        if _filled(level, demands) <= room:
            low = level
        else:
            high = level - 1
    used, demand = mine
    # What is left is less than one for each: who comes first gets it.
    rest = room > _filled(low, demands) and demand > low >= used
    return max(0, min(demand, low) - used) + rest


def _filled(level: int, demands: Sequence[Demand]) -> int:
    return sum(max(0, min(demand, level) - used) for used, demand in demands)


def above_reserve(fleet: Fleet, report: Report, free: Sequence[int], waiting: int) -> tuple[int, int]:
    """Return how many more background requests leave the reserve.

    Args:
        fleet: the state, in which all meters are known.
        report: of the process that asks.
        free: the room of each meter.
        waiting: how many processes wait.

    Returns:
        how many; and for how many milliseconds the reserve holds back the next ones, 0 if it does not.
    """
    left = min(report.ms_left / 1_000, QUARTER_SECONDS)
    day_left = left + QUARTER_SECONDS * (QUARTERS_PER_DAY - 1 - fleet.quarter % QUARTERS_PER_DAY)
    rate = (fleet.interactive_before + fleet.interactive) / (2 * QUARTER_SECONDS - left)
    above, longest = max(0, *free), 0.0
    for meter in METERS:
        length, end = (DAY, day_left) if meter in DAYS else (QUARTER, left)
        # One answer alone would count for hours, and background calls may be the only ones.
        if meter in DAYS and meter in fleet.doubts:
            continue
        limit = fleet.limits[meter]
        above = min(above, math.ceil(free[meter] - needed(length, report.reserve, limit, end, rate)))
        if free[meter] > 0:
            # As many as wait are served at once, rather than one after the other.
            together = max(1, free[meter] - waiting + 1)
            longest = max(longest, end - seconds_left(length, report.reserve, limit, together, rate))
    return max(0, above), max(1, int(min(longest, left) * 1_000)) if above <= 0 else 0


def remaining(wants: Wants, granted: Spent) -> Wants:
    """Return what still waits: the most urgent are served first."""
    left, reads = granted.read, list[int]()
    for waiting in (wants.interactive, wants.normal, wants.background):
        served = min(waiting, left)
        reads.append(waiting - served)
        left -= served
    interactive, normal, background = reads
    return Wants(interactive, normal, background, max(0, wants.uploads - (granted.overall - granted.read)))
