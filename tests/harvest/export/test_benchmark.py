"""The benchmark of exports, with a part of its work; all of it behind ``-m long``."""

from __future__ import annotations

import sys

import pytest

from benchmarks.harvest_export import ACTIVITIES, measure

pytestmark = [
    pytest.mark.one_python,
    pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc"),
]


def figures(activities: int) -> dict[str, float]:
    return {row.what: row.figure for row in measure(activities)}


def test_an_export_takes_little_memory_and_is_read_faster_than_json_lines() -> None:
    found = figures(ACTIVITIES // 25)
    assert found["export to parquet, memory over the start"] <= 150
    # Most of the time goes to opening few files here: with all activities it is twenty times.
    assert found["DuckDB, weekly sums of samples: JSONL / parquet"] >= 3


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_same_with_ten_thousand_activities() -> None:
    found = figures(ACTIVITIES)
    assert found["export to parquet, memory over the start"] <= 150
    assert found["DuckDB, weekly sums of samples: JSONL / parquet"] >= 20
