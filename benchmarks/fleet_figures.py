"""The figures of processes that share a quota, and their targets; see ``fleet``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.fleet_clock import QUARTER_SECONDS
from benchmarks.fleet_processes import Sent, Setup
from benchmarks.table import Row

SPENT = 200  # units of a window from which on its fairness counts
ROUND_TRIPS = {600: 0.25, 3_000: 0.12}  # for a request; below that they are counted by process and window
NAMES = {"alone": "uncoordinated", "file": "file", "redis": "Redis"}


def harvest_rows(kind: str, setup: Setup, sent: Sent, trips: int) -> list[Row]:
    """Return the rows of a harvest.

    Args:
        kind: of the limiter.
        setup: of the processes.
        sent: what was sent until just before the end of a window; somebody waited all the time.
        trips: calls to the meeting place.
    """
    name = f"{NAMES[kind]}, {setup.limit:,}"
    windows = [counts for _, counts in sorted(sent.served.items())]
    used = min(sum(counts) / setup.limit for counts in windows)
    if kind == "alone":
        return [
            Row("", f"{name}: 429s", sent.refusals, ""),
            Row("", f"{name}: share of the quota used", 100 * used, "%"),
        ]
    rows = [
        Row("T16", f"{name}: 429s", sent.refusals, "", at_most=0.0),
        Row("T17", f"{name}: share of the quota used, worst window", 100 * used, "%", at_least=99.5),
        _trips_row(name, setup, sent, trips, len(windows)),
    ]
    whole = _ratio([sum(counts) for counts in zip(*windows, strict=True)])
    rows.append(Row("T19", f"{name}: largest / smallest count of a process", whole, "x", at_most=1.05))
    worst = max(map(_ratio, windows))
    at_most = 1.3 if setup.limit >= SPENT else None
    target = "" if at_most is None else "T19"
    return [*rows, Row(target, f"{name}: the same in the worst window", worst, "x", at_most=at_most)]


def _trips_row(name: str, setup: Setup, sent: Sent, trips: int, windows: int) -> Row:
    if setup.limit in ROUND_TRIPS:
        at_most = ROUND_TRIPS[setup.limit]
        return Row("T18", f"{name}: round trips per request", trips / sent.requests, "", at_most=at_most)
    each = trips / setup.processes / windows
    return Row("T18", f"{name}: round trips per process and window", each, "", at_most=7.0)


def lag_row(kind: str, setup: Setup, lag: float) -> Row:
    """Return the row of the worst lag of a process's event loop; real seconds in, those of the slow clock out."""
    return Row("", f"{NAMES[kind]}, {setup.limit:,}: worst lag of a process, on the clock", lag * setup.pace.speed, "s")


def visit_rows(kind: str, setup: Setup, visits: Iterable[Sequence[float]], sent: Sent) -> list[Row]:
    """Return the rows of interactive requests: when each was asked for, and how long it waited, in seconds."""
    name = f"{NAMES[kind]}, {setup.limit:,} and interactive requests"
    first_window = min(sent.served, default=0)
    first: list[float] = []
    later: list[float] = []
    for asked_at, waited in visits:
        (first if asked_at // QUARTER_SECONDS == first_window else later).append(waited)
    return [
        Row("T16", f"{name}: 429s", sent.refusals, "", at_most=0.0),
        Row("T20", f"{name}: p99 of the wait from the second window on", _p99(later), "s", at_most=1.0),
        Row("", f"{name}: p99 of the wait in the first window", _p99(first), "s"),
        Row("", f"{name}: requests in all, interactive ones", len(first) + len(later), ""),
    ]


def _ratio(counts: Sequence[int]) -> float:
    return max(counts) / max(1, min(counts))


def _p99(waits: Sequence[float]) -> float:
    return sorted(waits)[min(len(waits) - 1, int(0.99 * len(waits)))] if waits else 0.0
