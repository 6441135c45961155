"""An export of a harvest: its memory, and how fast DuckDB reads it.

``python -m benchmarks.harvest_export``: 10,000 activities of ten minutes, with streams; ``--quick`` takes a tenth. It
needs Linux, for the memory, the extras ``harvest`` and ``parquet``, and DuckDB.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.table import Row, render

ACTIVITIES, ATHLETES, SAMPLES = 10_000, 10, 600
_BODIES = 40
_ROUNDS = 5
_DAY = 86_400
_START = 1_767_225_600  # 2026-01-01
_WRITTEN_TOGETHER = 250

# In a process of its own: the memory is above what it takes before pyarrow is loaded. Of it 95 MB are pyarrow's, and
# pandas', which that loads where it is installed.
_EXPORT = """
import asyncio, re, sys, time
from strava_async.harvest import SqliteHarvestStore
from strava_async.harvest.export import export
from strava_async.harvest.export import run

def memory(name):
    with open("/proc/self/status") as file:
        return int(re.search(name + r":\\s+(\\d+) kB", file.read())[1]) / 1000

before, began = memory("VmRSS"), time.process_time()
exported = asyncio.run(export(SqliteHarvestStore(sys.argv[1]), sys.argv[2], to=sys.argv[3]))
print(memory("VmHWM") - before, time.process_time() - began, exported.content.streams)
"""
_WEEKS = {
    "parquet": (
        "select date_trunc('week', start) as week, sum(list_sum(heartrate)) "
        "from read_parquet('{}/streams/*/*/*.parquet') group by all order by all",
        "select date_trunc('week', start) as week, sum(distance) "
        "from read_parquet('{}/activities/*/*/*.parquet') group by all order by all",
    ),
    "jsonl": (
        "select date_trunc('week', start::timestamptz) as week, sum(list_sum(streams.heartrate.data)) "
        "from read_json('{}/streams/*/*/*.jsonl') group by all order by all",
        "select date_trunc('week', start_date::timestamptz) as week, sum(distance) "
        "from read_json('{}/activities/*/*/*.jsonl') group by all order by all",
    ),
}


def _streams(seed: int) -> dict[str, Any]:
    """Return the eleven streams of ten minutes."""
    rng = random.Random(seed)
    walk = [0.0]
    for _ in range(SAMPLES - 1):
        walk.append(walk[-1] + rng.gauss(0, 1))
    columns: dict[str, list[Any]] = {
        "time": list(range(SAMPLES)),
        "distance": [round(3.1 * n + abs(walk[n]), 1) for n in range(SAMPLES)],
        "latlng": [[round(47 + n * 2e-5, 6), round(8 + walk[n] * 1e-5, 6)] for n in range(SAMPLES)],
        "altitude": [round(400 + walk[n], 1) for n in range(SAMPLES)],
        "velocity_smooth": [round(3 + math.sin(n / 50) / 3, 3) for n in range(SAMPLES)],
        "heartrate": [140 + int(walk[n]) for n in range(SAMPLES)],
        "cadence": [80 + n % 5 for n in range(SAMPLES)],
        "watts": [200 + int(10 * walk[n]) for n in range(SAMPLES)],
        "temp": [20] * SAMPLES,
        "moving": [n % 100 != 0 for n in range(SAMPLES)],
        "grade_smooth": [round(math.sin(n / 30), 1) for n in range(SAMPLES)],
    }
    return {name: {"data": data, "series_type": "time", "original_size": SAMPLES} for name, data in columns.items()}


async def fill(path: Path, activities: int) -> None:
    """Write activities with details and streams into a store."""
    from strava_async.harvest import Changes, Kind, Resource, SqliteHarvestStore, State
    from strava_async.harvest.fetch import compressed
    from strava_async.harvest.rows import row_of

    store = SqliteHarvestStore(path)
    bodies = [compressed(json.dumps(_streams(seed)).encode()) for seed in range(_BODIES)]

    def made(number: int) -> tuple[Any, list[Resource]]:
        start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(_START - number // ATHLETES * _DAY // 2))
        fields = {"id": 10**10 + number, "name": f"Ride {number}", "sport_type": "Ride", "start_date": start}
        fields |= {"start_date_local": start, "distance": 1860.0 + number % 100, "moving_time": 600, "kudos_count": 3}
        detail = compressed(json.dumps({**fields, "calories": 120.5, "laps": [fields] * 3}).encode())
        key = str(10**10 + number)
        return row_of(fields), [
            Resource(kind, key, State.STORED, _START, body=body, coding="gzip")
            for kind, body in ((Kind.DETAIL, detail), (Kind.STREAMS, bodies[number % _BODIES]))
        ]

    for athlete in range(ATHLETES):
        await store.add_athlete(athlete + 1)
        numbers = range(athlete, activities, ATHLETES)
        for begin in range(0, len(numbers), _WRITTEN_TOGETHER):
            some = [made(number) for number in numbers[begin : begin + _WRITTEN_TOGETHER]]
            rows, resources = [row for row, _ in some], [each for _, two in some for each in two]
            await store.write(Changes(athlete + 1, rows=rows, listed_at=_START, seen_in=1, resources=resources))


def measure(activities: int = ACTIVITIES) -> list[Row]:
    """Return the rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        asyncio.run(fill(path / "h.sqlite", activities))
        rows: list[Row] = []
        for kind in _WEEKS:
            ended = subprocess.run(
                [sys.executable, "-c", _EXPORT, path / "h.sqlite", path / kind, kind],
                capture_output=True,
                text=True,
                check=True,
            )
            megabytes, seconds, streams = map(float, ended.stdout.split())
            if streams != activities:
                raise RuntimeError(f"{streams} of {activities} activities were exported")
            at_most = 150.0 if kind == "parquet" else None
            rows.append(Row("", f"export to {kind}, memory over the start", megabytes, "MB", at_most=at_most))
            rows.append(Row("", f"export to {kind}, CPU of an activity", seconds / activities * 1000, "ms"))
        rows += _queries(path)
    return rows


def _queries(path: Path) -> Iterator[Row]:
    import duckdb

    for number, what in enumerate(("weekly sums of samples", "weekly sums of activities")):
        seconds: dict[str, float] = {}
        answers: list[Any] = []
        for kind, queries in _WEEKS.items():
            query = queries[number].format(path / kind)
            seconds[kind] = _best(lambda query=query: duckdb.execute(query).fetchall())
            answers.append(duckdb.execute(query).fetchall())
        if answers[0] != answers[1]:
            raise RuntimeError(f"{what} differ")
        at_least = None if number else 20.0
        yield Row("", f"DuckDB, {what}: JSONL / parquet", seconds["jsonl"] / seconds["parquet"], "x", at_least=at_least)


def _best(work: Callable[[], object]) -> float:
    times: list[float] = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.harvest_export")
    parser.add_argument("--quick", action="store_true", help="a tenth of the activities")
    print(render(measure(ACTIVITIES // 10 if parser.parse_args().quick else ACTIVITIES)))


if __name__ == "__main__":
    main()
