"""What is read from an export is what Strava has, and what ``docs/analysis.md`` shows is what happens."""

from __future__ import annotations

import ast
import inspect
import re
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import duckdb
import pandas
import polars
import pyarrow.compute
import pyarrow.dataset
import pytest

import strava_async
from strava_async.harvest import Plan
from strava_async.harvest.export import export
from strava_async.testing import serve
from tests import typed_blocks
from tests.harvest.world import World

PAGE = (Path(__file__).parents[3] / "docs/analysis.md").read_text(encoding="utf-8")
_, *BLOCKS = typed_blocks.blocks_of("docs/analysis.md")
*READING, WITHOUT_A_HARVEST = BLOCKS
ONE_LINERS = re.findall(r"^\| (?:pandas|pyarrow|DuckDB)[^|]*\| `(.+)` \|$", PAGE, re.M)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("analysis")
    found = World(folder / "h.sqlite", athletes=2, years=0.04)

    async def fill() -> None:
        async with found.harvest(Plan()) as harvest:
            await harvest.run()
        await export(found.store, folder / "e", to="parquet")
        await export(found.store, folder / "e/csv", to="csv")

    anyio.run(fill)
    return found


def folder_of(world: World) -> Path:
    return world.path.parent / "e"


def books(world: World) -> dict[tuple[int, datetime], float]:
    """Return the kilometres of each athlete and week, by the emulator's own lists."""
    weeks: dict[tuple[int, datetime], float] = defaultdict(float)
    for athlete_id in world.ids:
        for activity in world.activities(athlete_id):
            day = datetime.fromisoformat(activity["start_date_local"]).replace(tzinfo=None, hour=0, minute=0, second=0)
            weeks[athlete_id, day - timedelta(days=day.weekday())] += activity["distance"] / 1000
    return {key: pytest.approx(value) for key, value in sorted(weeks.items())}


def beats(world: World) -> dict[int, tuple[int, int]]:
    """Return how many heart rates each activity has, and their sum."""
    found: dict[int, tuple[int, int]] = {}
    for athlete_id in world.ids:
        for activity in world.activities(athlete_id):
            stream = (world.emulator.world(athlete_id).streams(activity["id"]) or {}).get("heartrate")
            if stream is not None:
                values = [value for value in stream["data"] if value is not None]
                found[activity["id"]] = (len(values), sum(values))
    return found


def test_duckdb_reads_the_sums_that_strava_has(world: World) -> None:
    found: dict[str, Any] = {"path": folder_of(world), "print": lambda *_: None}
    exec(READING[0], found)
    rows = found["weeks"].itertuples(index=False)
    assert {(row.athlete_id, row.week.to_pydatetime()): row.km for row in rows} == books(world)
    columns = "id, list_count(heartrate), list_sum(heartrate)"
    query = f"select {columns} from read_parquet(?) where heartrate is not null"
    sums = duckdb.execute(query, [f"{folder_of(world)}/streams/*/*/*.parquet"]).fetchall()
    assert {number: (count, total) for number, count, total in sums} == beats(world)
    exec(READING[1], found)
    assert found["minutes"]


def test_polars_reads_the_sums_that_strava_has(world: World) -> None:
    found: dict[str, Any] = {"path": folder_of(world), "print": lambda *_: None}
    exec(READING[2], found)
    assert {(athlete_id, week): km for athlete_id, week, km in found["weeks"].iter_rows()} == books(world)
    streams = polars.scan_parquet(folder_of(world) / "streams/**/*.parquet", hive_partitioning=True)
    values = polars.col("heartrate").list.drop_nulls()
    sums = streams.drop_nulls("heartrate").select("id", values.list.len(), values.list.sum().alias("sum"))
    assert {number: (count, total) for number, count, total in sums.collect().iter_rows()} == beats(world)


def test_pyarrow_reads_the_sums_that_strava_has(world: World) -> None:
    table = pyarrow.dataset.dataset(folder_of(world) / "activities", partitioning="hive").to_table()
    monday = pyarrow.compute.floor_temporal(table["start_local"], unit="week")
    weeks = table.append_column("week", monday).group_by(["athlete_id", "week"]).aggregate([("distance", "sum")])
    rows = weeks.to_pylist()
    assert {(row["athlete_id"], row["week"]): row["distance_sum"] / 1000 for row in rows} == books(world)
    streams = pyarrow.dataset.dataset(folder_of(world) / "streams", partitioning="hive").to_table(["id", "heartrate"])
    found = {
        row["id"]: (len(values), sum(values))
        for row in streams.to_pylist()
        if row["heartrate"] is not None
        for values in [[value for value in row["heartrate"] if value is not None]]
    }
    assert found == beats(world)


@pytest.mark.parametrize("line", ONE_LINERS)
def test_each_of_the_others_reads_it(world: World, line: str) -> None:
    line = line.replace("7)]", f"{world.ids[0]})]")
    names = {"folder": folder_of(world), "pandas": pandas, "pyarrow": pyarrow, "duckdb": duckdb}
    counts = {len(world.activities(athlete_id)) for athlete_id in world.ids}
    assert len(eval(line, names)) in {*counts, sum(counts)}


def test_every_reader_is_tried() -> None:
    assert len(ONE_LINERS) == 4
    assert len(READING) == 3


@pytest.mark.asyncio
async def test_the_block_without_a_harvest_runs(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    async with serve(world.emulator) as url:
        activity_id = world.activities()[0]["id"]
        token = world.emulator.grant()["access_token"]
        names: dict[str, Any] = {**vars(strava_async), "access_token": token, "activity_id": activity_id}
        names |= {name: getattr(strava_async, name) for name in ("ApiV3", "Client")}
        names["urls"] = {"api_url": f"{url}/api/v3"}
        code = compile(WITHOUT_A_HARVEST, "analysis.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        made = eval(code, names)
        if inspect.isawaitable(made):
            await made
        await names["api"].aclose()
    assert "Feature" in capsys.readouterr().out
