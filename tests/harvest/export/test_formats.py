"""What is in the files of each format."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import duckdb
import pyarrow
import pytest
from pyarrow import parquet

from strava_async.harvest import Changes, Kind, SqliteHarvestStore
from strava_async.harvest.export import Format, Written, export
from strava_async.harvest.export.columns import COLUMNS
from strava_async.harvest.export.csv_files import cell_text
from tests.harvest.contract import NOW, made_row, stored
from tests.harvest.export.stored import DAYS, TRACK, add, body, files_in, filled, streams

pytestmark = pytest.mark.anyio


async def test_each_format_has_its_files(tmp_path: Path) -> None:
    store = await filled(tmp_path / "h.sqlite", 7)
    await add(store, 7, 99, samples={})
    years = ("year=2025", "year=2026")
    both = [f"{top}/athlete_id=7/{year}/{{}}" for top in ("activities", "streams") for year in years]
    expected = {
        Format.PARQUET: [name.format("part-0.parquet") for name in both],
        Format.CSV: [f"activities/athlete_id=7/{year}/activities.csv" for year in years],
        Format.JSONL: [name.format(f"{name.split('/')[0]}.jsonl") for name in both],
        Format.GEOJSON: ["tracks/athlete_id=7/tracks.geojson"],
        Format.GPX: [f"tracks/athlete_id=7/{name}.gpx" for name in ("year=2025/70", "year=2026/71", "year=2026/72")],
    }
    contents = {
        Format.PARQUET: Written(4, 3, 0, 0),
        Format.CSV: Written(4, 0, 0, 0),
        Format.JSONL: Written(4, 3, 0, 0),
        Format.GEOJSON: Written(3, 3, 1, 0),
        Format.GPX: Written(3, 3, 1, 0),
    }
    for kind, files in expected.items():
        folder = tmp_path / "a" / kind
        exported = await export(store, folder, to=kind)
        assert files_in(folder) == files
        assert exported.content == contents[kind]
        assert (exported.folder, exported.format, exported.athletes) == (str(folder), kind, 1)
        assert (exported.files_written, exported.files_kept, exported.files_removed) == (len(files), 0, 0)
        again = await export(store, str(folder), to=str(kind))
        assert again.content == contents[kind]
        assert (again.files_written, again.files_kept, again.files_removed) == (0, len(files), 0)
        assert all((folder / name).stat().st_mode & 0o777 == 0o600 for name in files)


async def test_parquet_has_types_of_its_own(tmp_path: Path) -> None:
    store = SqliteHarvestStore(tmp_path / "h.sqlite")
    big = 2**62 + 1
    await add(
        store,
        7,
        big,
        "2026-01-05T08:00:00Z",
        start_date_local="2026-01-05T00:00:00Z",
        utc_offset=-28800.0,
        moving_time=60.0,
        kudos_count=2**63 - 1,
        name="\ud800 läuft",
        trainer=True,
        start_latlng=[47.0, 8.0],
    )
    await export(store, tmp_path / "p", to="parquet")
    table = parquet.read_table(tmp_path / "p/activities/athlete_id=7/year=2026/part-0.parquet", partitioning=None)
    assert table.schema.names == [column.name for column in COLUMNS]
    (row,) = table.to_pylist()
    assert (row["id"], row["start"]) == (big, datetime(2026, 1, 5, 8, tzinfo=UTC))
    assert (row["start_local"], row["utc_offset"], row["moving_time"]) == (
        datetime.fromisoformat("2026-01-05"),
        -28800,
        60,
    )
    assert (row["kudos_count"], row["name"], row["trainer"]) == (2**63 - 1, "? läuft", True)
    assert (row["start_lat"], row["start_lng"], row["end_lat"], row["calories"]) == (47.0, 8.0, None, 5.5)
    assert not table.schema.field("id").nullable
    samples = parquet.read_table(tmp_path / "p/streams/athlete_id=7/year=2026/part-0.parquet", partitioning=None)
    (row,) = samples.to_pylist()
    assert (row["id"], row["samples"], row["heartrate"], row["watts"]) == (big, 3, [100, 110, 120], None)
    assert (row["lat"], row["lng"]) == ([lat for lat, _ in TRACK], [lng for _, lng in TRACK])
    geo = json.loads(samples.schema.metadata[b"geo"])
    assert (geo["version"], geo["primary_column"]) == ("1.1.0", "track")
    assert geo["columns"]["track"] == {"encoding": "WKB", "geometry_types": ["LineString", "MultiLineString"]}
    assert row["track"][:5] == b"\1\2\0\0\0"


async def test_files_of_every_year_and_athlete_have_the_same_columns(tmp_path: Path) -> None:
    store = await filled(tmp_path / "h.sqlite", 7)
    await add(store, 8, 80, samples={"time": {"data": [0]}}, distance=None, start_date_local=None)
    await export(store, tmp_path, to="parquet")
    for top in ("activities", "streams"):
        schemas = {str(parquet.read_schema(path)) for path in (tmp_path / top).rglob("*.parquet")}
        assert len(schemas) == 1


async def test_jsonl_has_all_fields_and_the_streams_as_they_came(tmp_path: Path) -> None:
    store = SqliteHarvestStore(tmp_path / "h.sqlite")
    came = {"time": {"data": [0, 1], "resolution": "high"}, "of_the_future": {"data": ["a\n\u2028", None]}}
    await add(store, 7, 1, samples=came, detail={"laps": [{"id": 5}], "name": "old"}, name="new\nline \ud800")
    await export(store, tmp_path / "j", to="jsonl")
    text = (tmp_path / "j/activities/athlete_id=7/year=2026/activities.jsonl").read_text("utf-8")
    (line,) = text.split("\n")[:-1]
    found = json.loads(line)
    assert (found["id"], found["name"], found["laps"], found["calories"]) == (1, "new\nline ?", [{"id": 5}], 5.5)
    (line,) = (tmp_path / "j/streams/athlete_id=7/year=2026/streams.jsonl").read_text("utf-8").split("\n")[:-1]
    assert json.loads(line) == {"id": 1, "start": DAYS[1], "streams": came}


async def test_geojson_is_a_collection_with_bounds(tmp_path: Path) -> None:
    store = await filled(tmp_path / "h.sqlite", 7)
    await add(store, 7, 9, samples=streams(latlng=[[0, 179.9], [0, -179.9]]), name="<b>")
    await export(store, tmp_path / "g", to="geojson")
    found = json.loads((tmp_path / "g/tracks/athlete_id=7/tracks.geojson").read_text("utf-8"))
    assert (found["type"], found["bbox"]) == ("FeatureCollection", [-180.0, 0.0, 180.0, 47.002])
    assert [feature["id"] for feature in found["features"]] == [72, 71, 9, 70]
    properties = found["features"][0]["properties"]
    assert (properties["athlete_id"], properties["start"], properties["distance"]) == (7, DAYS[2], 72000.0)
    assert found["features"][2]["geometry"]["type"] == "MultiLineString"


async def test_gpx_is_named_by_ids_alone_and_has_no_markup_of_others(tmp_path: Path) -> None:
    store = SqliteHarvestStore(tmp_path / "h.sqlite")
    await add(store, 7, 1, name="../../x</name><evil/>\x00", sport_type="Ride/..")
    await export(store, tmp_path / "g", to="gpx")
    (name,) = files_in(tmp_path / "g")
    root = ElementTree.parse(tmp_path / "g" / name).getroot()
    assert name == "tracks/athlete_id=7/year=2026/1.gpx"
    assert [each.text for each in root.iter() if each.tag.endswith(("}name", "}type"))] == [
        "../../x</name><evil/> ",
        "Ride/..",
    ]
    assert not [each for each in root.iter() if each.tag.endswith("evil")]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+x", "'+x"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "' =1"),
        ('"=1', "'\"=1"),
        ("a;=1", "a;'=1"),
        ("＝1", "'＝1"),
        ("a\r\n=1", "a =1"),
        ("Ride - easy; 5-7", "Ride - easy; 5-7"),
    ],
)
def test_no_text_is_a_formula(text: str, cell: str) -> None:
    assert cell_text(text) == cell


async def test_csv_is_read_back_by_the_names_of_its_columns(tmp_path: Path) -> None:
    store = SqliteHarvestStore(tmp_path / "h.sqlite")
    await add(store, 7, 1, name='=cmd|"/c calc", 5', start_date_local="2026-01-02T11:00:00Z", private=False)
    await add(store, 7, 2, "2026-01-03T10:00:00.5Z", name="", start_date_local=None, distance=None, trainer=True)
    await export(store, tmp_path / "c", to="csv")
    path = tmp_path / "c/activities/athlete_id=7/year=2026/activities.csv"
    with path.open(encoding="utf-8", newline="") as file:
        header, _, first = csv.reader(file)
    assert header == [column.name for column in COLUMNS]
    found = dict(zip(header, first, strict=True))
    assert (found["id"], found["name"], found["distance"]) == ("1", '\'=cmd|"/c calc", 5', "1000.0")
    assert (found["start"], found["start_local"]) == ("2026-01-02T10:00:00Z", "2026-01-02T11:00:00")
    assert (found["private"], found["trainer"]) == ("false", "")
    columns = "id, distance, start_local, trainer, typeof(id), typeof(start)"
    query = f"select {columns} from read_csv(?, hive_partitioning=false) order by start desc"
    rows = duckdb.execute(query, [str(path)]).fetchall()
    assert rows[0][:4] == (2, None, None, True)
    assert rows[1][4:] == ("BIGINT", "TIMESTAMP WITH TIME ZONE")


async def test_odd_values_are_missing_and_counted_and_stop_nothing(tmp_path: Path) -> None:
    odd: list[dict[str, Any]] = [
        {"distance": "far", "moving_time": 1.5, "kudos_count": 2**70, "trainer": 1, "start_date_local": "noon"},
        {"start_latlng": [91, 0], "end_latlng": "here", "description": 5, "map": "x"},
        {"average_speed": 10**400, "elev_high": True},
    ]
    for kind, count in ((Format.CSV, 10), (Format.PARQUET, 13), (Format.GEOJSON, 13)):
        store = SqliteHarvestStore(tmp_path / f"{kind}.sqlite")
        for number, fields in enumerate(odd, 1):
            await add(store, 7, number, samples=streams(heartrate=["x", 100, 100]), **fields)
        await store.write(Changes(7, rows=[made_row(9)], resources=[stored(9, Kind.STREAMS, b"[" * 100_000)]))
        await store.write(Changes(7, rows=[made_row(10)], listed_at=NOW, resources=[body(10, Kind.STREAMS, [5])]))
        exported = await export(store, tmp_path / kind, to=kind)
        assert exported.content.unreadable == count + 1
        assert exported.content.activities + exported.content.without_track == 5


async def test_jsonl_takes_what_json_does_not_have(tmp_path: Path) -> None:
    store = SqliteHarvestStore(tmp_path / "h.sqlite")
    await add(store, 7, 1, samples={"time": {"data": [float("nan"), float("inf"), 1]}})
    await store.write(Changes(7, rows=[made_row(2)], resources=[stored(2, body=b'{"a":' * 900 + b"1" + b"}" * 900)]))
    exported = await export(store, tmp_path / "j", to="jsonl")
    assert exported.content.activities == 2
    lines = (tmp_path / "j/streams/athlete_id=7/year=2026/streams.jsonl").read_text("utf-8").splitlines()
    assert json.loads(lines[0])["streams"]["time"]["data"] == [None, None, 1]
    assert len((tmp_path / "j/activities/athlete_id=7/year=2026/activities.jsonl").read_text("utf-8").splitlines()) == 2


@pytest.mark.parametrize(
    ("start", "year"),
    [("0001-01-01T00:00:00+14:00", "1"), ("1970-01-01T00:00:00Z", "1970"), ("9999-12-31T23:59:59-14:00", "9999"),
     ("2026-01-01T00:30:00+02:00", "2025")],
)  # fmt: skip
async def test_years_are_those_of_the_start_in_utc(tmp_path: Path, start: str, year: str) -> None:
    store = SqliteHarvestStore(tmp_path / "h.sqlite")
    await add(store, 7, 1, start)
    for kind in Format:
        await export(store, tmp_path / kind, to=kind)
    assert files_in(tmp_path / "gpx") == [f"tracks/athlete_id=7/year={year}/1.gpx"]
    (found,) = parquet.read_table(tmp_path / f"parquet/activities/athlete_id=7/year={year}", partitioning=None).column(
        "id"
    )
    assert found == pyarrow.scalar(1)
