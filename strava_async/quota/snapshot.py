"""Saving a ledger and restoring it, so that a restart does not begin with a flood.

Rules:

- A number counts after the restart only in the window that it was reported for; what has turned meanwhile is unknown.
- Permits out at the time of saving count as spent.
- Strava's clock is saved as its offset from the machine's, and never goes back. When its counters turn is saved too.
- A number in doubt stays in doubt: what would be believed without it is saved beside it. So does a limit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from strava_async.errors import InputError
from strava_async.quota.budget import Budget
from strava_async.quota.ledger import Ledger
from strava_async.quota.meter import MeterState
from strava_async.quota.turn import FIRST_SECONDS, STEP_SECONDS
from strava_async.quota.values import QUARTER_SECONDS, QUARTERS_PER_DAY
from strava_async.quota.window import TURN_SECONDS

_VERSION = 1
_MAX_COUNT = 10**9
_MAX_SECONDS = 253_402_300_800.0  # the year 10000


def save(ledger: Ledger, now: float, wall: float) -> dict[str, Any]:
    """Return the ledger as something that JSON can hold.

    Args:
        ledger: the ledger.
        now: monotonic.
        wall: Unix time as the machine believes it to be.
    """
    clock = ledger.clock
    earliest, latest = clock.earliest(now) + clock.late, clock.latest(now) + clock.early
    return {
        "version": _VERSION,
        "saved_at": round(earliest, 3),
        "server_minus_wall": [round(earliest - wall, 3), round(latest - wall, 3)],
        "counter_late": [round(clock.early, 3), round(clock.late, 3)],
        "quarter": ledger.window.quarter,
        **{name: _save(budget) for budget, name in _named(ledger)},
    }


def _save(budget: Budget) -> dict[str, Any]:
    return {
        "quarter": _meter(budget.quarter, budget.out),
        "day": _meter(budget.day, budget.out),
        "limits_confirmed": budget.limits_confirmed,
    }


def _meter(meter: MeterState, out: int) -> dict[str, int | None]:
    if meter.usage is None:
        return {"limit": meter.limit, "usage": None, "confirmed": None}
    usage, confirmed = (min(spent + out, _MAX_COUNT) for spent in (meter.spent(out), meter.confirmed(out)))
    return {"limit": meter.limit, "usage": usage, "confirmed": confirmed}


def load(ledger: Ledger, snapshot: Mapping[str, Any], now: float, wall: float) -> None:
    """Restore a saved state in a ledger that is new.

    Args:
        ledger: the ledger.
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
        early, late = (_seconds(seconds) for seconds in snapshot.get("counter_late", (0, 0)))
        quarter = _count(snapshot["quarter"])
        budgets = [_budget(budget, snapshot[name]) for budget, name in _named(ledger)]
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError("this is not a snapshot of a rate limiter") from error
    if low > high or not quarter - 1 <= saved_at // QUARTER_SECONDS <= quarter + 1:
        raise InputError("this is not a snapshot of a rate limiter: its clock contradicts itself")
    if not 0 <= early <= late <= FIRST_SECONDS + STEP_SECONDS:
        raise InputError("this is not a snapshot of a rate limiter: its counters turn at no time")
    earliest = max(wall + low, saved_at)
    clock = ledger.clock
    clock.suppose(now, earliest - now, max(earliest, wall + high) - now)
    ledger.turn.early, ledger.turn.late = early, late
    clock.set_lateness(early, late)
    current = max(quarter, int((clock.earliest(now) - TURN_SECONDS) // QUARTER_SECONDS))
    for saved in budgets:
        saved.budget.limits_confirmed = saved.limits_confirmed
        for meter, limit, usage, confirmed, length in saved.meters:
            is_current = quarter // length == current // length
            meter.restore(limit, usage if is_current else None, confirmed)
    ledger.resume(current, now)


class _SavedMeter(NamedTuple):
    meter: MeterState
    limit: int | None
    usage: int | None
    confirmed: int | None
    length: int  # of its window, in quarter hours


class _SavedBudget(NamedTuple):
    budget: Budget
    limits_confirmed: bool
    meters: list[_SavedMeter]


def _named(ledger: Ledger) -> tuple[tuple[Budget, str], ...]:
    return (ledger.read, "read"), (ledger.overall, "overall")


def _budget(budget: Budget, saved: Mapping[str, Any]) -> _SavedBudget:
    meters: list[_SavedMeter] = []
    for meter, name, length in ((budget.quarter, "quarter", 1), (budget.day, "day", QUARTERS_PER_DAY)):
        limit, usage = _optional(saved[name]["limit"], least=1), _optional(saved[name]["usage"], least=0)
        # An earlier version of this library saved no doubts.
        confirmed = _optional(saved[name].get("confirmed", usage), least=0)
        meters.append(_SavedMeter(meter, limit, usage, confirmed, length))
    return _SavedBudget(budget, _flag(saved.get("limits_confirmed", True)), meters)


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    if not math.isfinite(value) or abs(value) > _MAX_SECONDS:
        raise ValueError
    return float(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _count(value: object, *, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    if not least <= value <= _MAX_COUNT:
        raise ValueError
    return value


def _optional(value: object, *, least: int) -> int | None:
    return None if value is None else _count(value, least=least)
