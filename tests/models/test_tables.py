"""Collected models as tables of pandas and pyarrow, and streams as GeoJSON and GPX."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

import pandas
import pytest

from strava_async.errors import InputError
from strava_async.models import StreamSet, SummaryActivity, read_many
from strava_async.resources._collected import Collected

SENT: list[dict[str, Any]] = [
    {
        "id": 2**53 + 1,
        "name": "a",
        "sport_type": "Ride",
        "distance": 12,
        "moving_time": 60,
        "trainer": False,
        "start_date": "2026-01-05T10:00:00Z",
        "start_date_local": "2026-01-05T11:00:00Z",
        "athlete": {"id": 7},
        "map": {"summary_polyline": "x", "resource_state": 2},
        "start_latlng": [47.5, 8.5],
        "of_the_future": {"x": [1]},
    },
    {
        "id": 5,
        "name": "\ud800",
        "distance": 1.5,
        "start_latlng": [],
        "kudos_count": 3,
        "start_date": None,
        "trainer": None,
    },
]


def collected(sent: list[dict[str, Any]]) -> Collected[SummaryActivity]:
    return Collected(read_many(SummaryActivity, json.dumps(sent).encode()))


def test_a_collected_list_is_a_list() -> None:
    activities = collected(SENT)
    assert activities == read_many(SummaryActivity, json.dumps(SENT).encode())
    assert isinstance(activities, list)


def test_pandas_has_a_row_for_each_and_columns_with_types() -> None:
    table = collected(SENT).to_pandas()
    types = {name: str(kind) for name, kind in table.dtypes.items()}
    assert types["id"] == "int64"
    assert types["distance"] == "float64"
    assert (types["moving_time"], types["kudos_count"], types["trainer"]) == ("Int64", "Int64", "boolean")
    assert (types["start_date"], types["start_date_local"]) == ("datetime64[us, UTC]", "datetime64[us]")
    assert table["id"].tolist() == [2**53 + 1, 5]
    assert table["start_date"][0] == pandas.Timestamp("2026-01-05T10:00:00Z")
    assert table["athlete.id"].tolist() == [7, pandas.NA]
    assert (table["start_lat"][0], table["start_lng"][0]) == (47.5, 8.5)
    assert (table["sport_type"][0], type(table["sport_type"][0])) == ("Ride", str)
    assert "location_city" not in table
    assert table["of_the_future"][0] == {"x": [1]}


def test_arrow_has_the_same_columns() -> None:
    table = collected(SENT).to_arrow()
    first, second = table.to_pylist()
    assert (first["id"], first["start_date"]) == (2**53 + 1, datetime(2026, 1, 5, 10, tzinfo=UTC))
    assert str(table.schema.field("start_date_local").type) == "timestamp[us]"
    assert (first["of_the_future"], first["map.summary_polyline"]) == ('{"x": [1]}', "x")
    assert (second["trainer"], second["kudos_count"], second["start_lat"]) == (None, 3, None)


def test_odd_values_make_a_column_of_anything() -> None:
    sent = [{"id": 1, "start_date": "soon", "distance": {"km": 1}}, {"id": 2, "start_date": "2026-01-05T10:00:00Z"}]
    activities = collected(sent)
    assert activities.to_pandas()["start_date"][0] == "soon"
    assert activities.to_arrow()["start_date"].to_pylist() == ['"soon"', '"2026-01-05 10:00:00+00:00"']
    assert len(Collected[SummaryActivity]().to_pandas()) == Collected[SummaryActivity]().to_arrow().num_rows == 0
    with pytest.raises(InputError, match="only models make a table"):
        Collected([5]).to_pandas()


def test_streams_become_a_feature_and_a_file() -> None:
    streams = StreamSet(
        {
            "latlng": {"data": [[47.0, 8.0], "odd", [47.1, 8.1]]},
            "time": {"data": [0, 1, 2]},
            "heartrate": {"data": [100, None]},
        }
    )
    feature = streams.to_geojson({"name": "a"})
    assert feature["geometry"] == {"type": "LineString", "coordinates": [[8.0, 47.0], [8.1, 47.1]]}
    assert feature["properties"] == {"name": "a"}
    file = streams.to_gpx(start=datetime(2026, 1, 5, 10, tzinfo=UTC), name="a & b", sport_type="Run")
    points = [each for each in ElementTree.fromstring(file).iter() if each.tag.endswith("}trkpt")]
    assert [point.get("lat") for point in points] == ["47.000000", "47.100000"]
    assert "<time>2026-01-05T10:00:02Z</time>" in file
    assert StreamSet({}).to_geojson()["geometry"] is None
    assert "trkpt" not in StreamSet([{"type": "watts", "data": [1]}]).to_gpx()
    with pytest.raises(InputError, match="aware datetime"):
        streams.to_gpx(start=datetime.fromisoformat("2026-01-05"))
