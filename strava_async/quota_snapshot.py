"""Saving the books and taking them up again, so that a restart does not begin with a flood.

Rules:

- A number counts after the restart only in the window that it was told for; what has turned meanwhile is unknown.
- Permits out at the time of saving count as spent.
- Strava's clock is saved as its offset from the machine's, and never goes back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from strava_async.errors import InputError
from strava_async.quota import QUARTER_SECONDS, QUARTERS_PER_DAY
from strava_async.quota_budget import Budget, MeterState
from strava_async.quota_clock import ServerClock
from strava_async.quota_ledger import TURN_SECONDS, Ledger

_VERSION = 1
_MAX_COUNT = 10**9
_MAX_SECONDS = 253_402_300_800.0  # the year 10000


def save(ledger: Ledger, now: float, wall: float) -> dict[str, Any]:
    """Return the books as something that JSON can hold.

    Args:
        ledger: the books.
        now: monotonic.
        wall: Unix time as the machine believes it to be.
    """
    clock = ledger.clock
    return {
        "version": _VERSION,
        "saved_at": round(clock.earliest(now), 3),
        "server_minus_wall": [round(clock.earliest(now) - wall, 3), round(clock.latest(now) - wall, 3)],
        "quarter": ledger.quarter,
        "read": _save(ledger.read),
        "overall": _save(ledger.overall),
    }


def _save(budget: Budget) -> dict[str, Any]:
    return {"quarter": _meter(budget.quarter, budget.out), "day": _meter(budget.day, budget.out)}


def _meter(meter: MeterState, out: int) -> dict[str, int | None]:
    return {"limit": meter.limit, "usage": None if meter.usage is None else meter.spent(out) + out}


def load(ledger: Ledger, snapshot: Mapping[str, Any], now: float, wall: float) -> None:
    """Take up a saved state in a ledger that is new.

    Args:
        ledger: the books.
        snapshot: what ``save`` returned, perhaps through JSON.
        now: monotonic.
        wall: Unix time as the machine believes it to be.

    Raises:
        InputError: it is not what ``save`` returned. The ledger is as it was.
    """
    try:
        if snapshot["version"] != _VERSION:
            raise InputError(f"a snapshot of version {snapshot['version']!r} cannot be restored")
        saved_at = _seconds(snapshot["saved_at"])
        low, high = (_seconds(offset) for offset in snapshot["server_minus_wall"])
        quarter = _count(snapshot["quarter"])
        told = [
            (meter, _optional(saved["limit"], least=1), _optional(saved["usage"], least=0), length)
            for budget, of in ((ledger.read, snapshot["read"]), (ledger.overall, snapshot["overall"]))
            for meter, saved, length in (
                (budget.quarter, of["quarter"], 1),
                (budget.day, of["day"], QUARTERS_PER_DAY),
            )
        ]
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError("this is no snapshot of a rate limiter") from error
    if low > high or not quarter - 1 <= saved_at // QUARTER_SECONDS <= quarter + 1:
        raise InputError("this is no snapshot of a rate limiter: its clock contradicts itself")
    earliest = max(wall + low, saved_at)
    clock = ServerClock(now, earliest - now, max(earliest, wall + high) - now)
    current = max(quarter, int((earliest - TURN_SECONDS) // QUARTER_SECONDS))
    for meter, limit, usage, length in told:
        meter.limit = limit
        meter.usage = usage if quarter // length == current // length else None
    ledger.resume(clock, current, now)


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    if not math.isfinite(value) or abs(value) > _MAX_SECONDS:
        raise ValueError
    return float(value)


def _count(value: object, *, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    if not least <= value <= _MAX_COUNT:
        raise ValueError
    return value


def _optional(value: object, *, least: int) -> int | None:
    return None if value is None else _count(value, least=least)
