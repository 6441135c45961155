"""The benchmark of the harvest: its parts run, on little, and what does not depend on the machine is met."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.harvest import SMALL, TENTH, Scale, measure
from benchmarks.harvest_clock import SharedClock
from benchmarks.table import Row
from strava_async.clock import SystemClock

pytestmark = [pytest.mark.anyio, pytest.mark.one_python, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

TIMED = ("H4", "H7", "H8")


async def rows_of(scale: Scale) -> Sequence[Row]:
    return [row async for part in measure(sys.executable, scale, dict(os.environ)) for row in part]


def missed(rows: Sequence[Row]) -> list[str]:
    return [row.what for row in rows if row.verdict == "MISSED" and row.target not in TIMED]


@pytest.mark.timeout(120)
async def test_a_small_run_misses_nothing_that_is_counted() -> None:
    rows = await rows_of(SMALL)
    assert {row.target for row in rows} >= {f"H{number}" for number in (1, 2, 3, 4, 5, 6, 7, 8)}
    assert [what for what in missed(rows) if "had nothing left" not in what] == []


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_a_tenth_misses_nothing_that_is_counted() -> None:
    assert missed(await rows_of(replace(TENTH, rounds=1, fleet_seconds=3.0))) == []


async def test_processes_share_a_clock_that_is_moved(tmp_path: Path) -> None:
    SharedClock.make(tmp_path / "clock")
    one, other = (SharedClock(str(tmp_path / "clock"), SystemClock.monotonic(), 1e9, 1.0) for _ in range(2))
    one.move(3_600.0)
    assert 1e9 + 3_600 <= other.time() < 1e9 + 7_200
    one.move_to_next()  # nobody waits
    assert other.time() < 1e9 + 7_200
