"""The benchmark of a shared quota: its figures, its clock, its processes. Nothing here is timed."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import pytest

from benchmarks.fleet import TENTH, measure
from benchmarks.fleet_clock import AgreedClock, Pace
from benchmarks.fleet_figures import harvest_rows, visit_rows
from benchmarks.fleet_processes import SOME_HOUR, Sent, Setup, limits_of
from benchmarks.table import Row
from strava_async.clock import SystemClock
from tests.environment import clean_environment
from tests.redis_server import needs_redis

FIRST = int(SOME_HOUR // 900)
NOT_REFUSED: Mapping[int, Sequence[int]] = {}


def setup(limit: int, processes: int = 2) -> Setup:
    return Setup(sys.executable, limits_of(limit), processes=processes)


def verdicts(rows: Sequence[Row]) -> dict[str, str]:
    return {row.what.partition(": ")[2]: row.verdict for row in rows if row.verdict}


# -- figures -----------------------------------------------------------------------------------------------------------


def test_a_harvest_that_went_well_misses_nothing() -> None:
    sent = Sent({FIRST: [300, 300], FIRST + 1: [295, 305]}, NOT_REFUSED)
    assert set(verdicts(harvest_rows("file", setup(600), sent, trips=300)).values()) == {"met"}


@pytest.mark.parametrize(
    ("sent", "trips", "what"),
    [
        (Sent({FIRST: [300, 300]}, {FIRST: [0, 1]}), 10, "429s"),
        (Sent({FIRST: [298, 298]}, NOT_REFUSED), 10, "share of the quota used, worst window"),
        (Sent({FIRST: [300, 300]}, NOT_REFUSED), 151, "round trips per request"),
        (Sent({FIRST: [292, 308]}, NOT_REFUSED), 10, "largest / smallest count of a process"),
        (Sent({FIRST: [250, 350], FIRST + 1: [350, 250]}, NOT_REFUSED), 10, "the same in the worst window"),
    ],
)
def test_whatever_goes_wrong_misses_a_target(sent: Sent, trips: int, what: str) -> None:
    found = verdicts(harvest_rows("redis", setup(600), sent, trips))
    assert [name for name, verdict in found.items() if verdict == "MISSED"] == [what]


def test_of_small_limits_round_trips_are_counted_by_process_and_window() -> None:
    sent = Sent({FIRST: [50, 50], FIRST + 1: [50, 50]}, NOT_REFUSED)
    rows = {row.what: row.figure for row in harvest_rows("file", setup(100), sent, trips=28)}
    assert rows["file, 100: round trips per process and window"] == 7.0


def test_what_nobody_coordinates_has_no_target() -> None:
    rows = harvest_rows("alone", setup(100), Sent({FIRST: [90, 10]}, {FIRST: [7, 8]}), trips=0)
    assert rows[0].figure == 15
    assert verdicts(rows) == {}


def test_waits_count_from_the_second_window_on() -> None:
    visits = [(SOME_HOUR + 10.0, 90.0), (SOME_HOUR + 910.0, 0.2), (SOME_HOUR + 2_000.0, 0.4)]
    rows = visit_rows("file", setup(600), visits, Sent({FIRST: [1, 1], FIRST + 1: [1, 1]}, NOT_REFUSED))
    assert [row.figure for row in rows] == [0, 0.4, 90.0, 3]


# -- the clock ---------------------------------------------------------------------------------------------------------


def test_a_clock_stands_still_until_it_begins() -> None:
    clock = AgreedClock(Pace(1e6), SOME_HOUR)
    assert clock.time() == SOME_HOUR
    clock.begin(SystemClock.monotonic() - 1.0)
    assert clock.time() >= SOME_HOUR + 1e6


def test_clocks_that_began_together_show_the_same() -> None:
    one, other = AgreedClock(Pace(10.0), SOME_HOUR), AgreedClock(Pace(10.0), SOME_HOUR, skew=-60.0)
    for clock in (one, other):
        clock.begin(1.0)
    before, skewed, after = one.time(), other.time() + 60.0, one.time()
    assert before <= skewed + 1e-3
    assert skewed <= after + 1e-3
    assert one.monotonic() <= other.monotonic()


def test_it_is_slow_at_the_beginning_of_each_quarter_hour_and_fast_after_it() -> None:
    # 100 s before a turn: 2 s at 10 a second, 0.8 s at 100; after the turn the same.
    clock = AgreedClock(Pace(10.0, 20.0, 100.0), SOME_HOUR + 800.0)

    def shown(real: float) -> float:
        clock.begin(SystemClock.monotonic() - real)
        return clock.monotonic()

    for real, seconds in ((1.0, 10.0), (2.4, 60.0), (2.8 + 1.0, 110.0), (2.8 + 2.5, 170.0)):
        assert seconds <= shown(real) < seconds + 30.0


# -- the processes -----------------------------------------------------------------------------------------------------


@needs_redis
@pytest.mark.one_python
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
async def test_a_tenth_of_it_runs() -> None:
    rows = [row async for part in measure(sys.executable, TENTH, clean_environment()) for row in part]
    figures = {row.what: row.figure for row in rows}
    for kind in ("file", "Redis"):
        assert figures[f"{kind}, 60: 429s"] == 0
        assert figures[f"{kind}, 100 and interactive requests: 429s"] == 0
        assert figures[f"{kind}, 60: round trips per process and window"] > 0
        assert figures[f"{kind}: round trips per request, one at a time"] > 0
    assert figures["uncoordinated, 60: share of the quota used"] > 0
    assert [Row(**asdict(row)) for row in rows] == rows
