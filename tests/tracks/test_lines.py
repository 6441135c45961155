"""Tracks as GeoJSON, GPX and WKB."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from xml.etree import ElementTree

import pytest

from strava_async.tracks.geojson import bbox, feature
from strava_async.tracks.gpx import gpx_parts
from strava_async.tracks.lines import Bounds, Track, track_of
from strava_async.tracks.samples import Samples, read_samples
from strava_async.tracks.texts import clean, encodable

START = datetime(2026, 1, 5, 10, tzinfo=UTC)
GPX = "{http://www.topografix.com/GPX/1/1}"
GARMIN = "{http://www.garmin.com/xmlschemas/TrackPointExtension/v1}"


def of(**streams: list[Any]) -> Samples:
    return read_samples({name: {"data": data} for name, data in streams.items()})


def track(**streams: list[Any]) -> Track:
    found = track_of(of(**streams))
    assert found is not None
    return found


def test_a_line_has_longitude_first_and_six_decimals() -> None:
    found = feature(track(latlng=[[47.12345678, 8.5], None, [48, 9]]), {"name": "a"}, 5)
    assert found["geometry"] == {"type": "LineString", "coordinates": [[8.5, 47.123457], [9.0, 48.0]]}
    assert found["bbox"] == [8.5, 47.123457, 9.0, 48.0]
    assert (found["id"], found["properties"], found["type"]) == (5, {"name": "a"}, "Feature")


def test_altitudes_are_there_if_every_place_has_one() -> None:
    places = [[47.0, 8.0], [], [48.0, 9.0]]
    assert track(latlng=places, altitude=[400.25, None, 401]).lines == [[(8.0, 47.0, 400.25), (9.0, 48.0, 401)]]
    assert track(latlng=places, altitude=[400, 1, None]).lines == [[(8.0, 47.0), (9.0, 48.0)]]


@pytest.mark.parametrize("places", [[], [[1, 2]], [None, [1, 2], []], ["x", [1, 2]]])
def test_less_than_two_places_are_no_track(places: list[Any]) -> None:
    assert track_of(of(time=[0, 1, 2], latlng=places)) is None
    assert feature(None, {})["geometry"] is None


def test_a_track_is_cut_at_the_date_line() -> None:
    found = track(latlng=[[0, 179], [10, -179], [20, 178]], altitude=[0, 10, 20])
    assert found.lines == [
        [(179, 0, 0), (180.0, 5.0, 5.0)],
        [(-180.0, 5.0, 5.0), (-179, 10, 10), (-180.0, pytest.approx(40 / 3), pytest.approx(40 / 3))],
        [(180.0, pytest.approx(40 / 3), pytest.approx(40 / 3)), (178, 20, 20)],
    ]
    assert found.bounds == Bounds(178, 0, -179, 20)
    shown = feature(found, {})
    assert shown["geometry"]["type"] == "MultiLineString"
    assert all(abs(x) <= 180 for line in shown["geometry"]["coordinates"] for x, *_ in line)
    assert track(latlng=[[0, 180], [0, -180]]).lines == [[(180, 0), (180.0, 0.0)], [(-180.0, 0.0), (-180, 0)]]
    assert bbox(found.bounds | Bounds(1, 2, 3, 30)) == [-180, 0, 180, 30]
    assert Bounds(0, 0, 1, 1) | Bounds(-5, 2, 3, 4) == Bounds(-5, 0, 3, 4)


def test_well_known_binary() -> None:
    line = track(latlng=[[1, 2], [3, 4]]).wkb
    assert line == struct.pack("<BII4d", 1, 2, 2, 2.0, 1.0, 4.0, 3.0)
    cut = track(latlng=[[0, 180], [0, -180]]).wkb
    assert cut[:9] == struct.pack("<BII", 1, 5, 2)
    assert len(cut) == 9 + 2 * (9 + 32)


def test_gpx_has_what_was_recorded() -> None:
    samples = of(
        time=[0, 60, 120],
        latlng=[[47.0, 8.0], [], [47.0000014, 8.1]],
        altitude=[400, None, 401.26],
        heartrate=[140, 150, 300],
        cadence=[80, None, 81],
        temp=[-5, None, None],
        watts=[200, None, None],
    )
    parts = gpx_parts(samples, name="a < b & c\x00\ud800]]>", sport_type="Run", start=START)
    root = ElementTree.fromstring("".join(parts))
    assert root.get("version") == "1.1"
    assert [root.findtext(f"{GPX}trk/{GPX}{tag}") for tag in ("name", "type")] == ["a < b & c ]]>", "Run"]
    first, last = root.iter(f"{GPX}trkpt")
    assert (first.get("lat"), first.get("lon"), last.get("lat")) == ("47.000000", "8.000000", "47.000001")
    assert [first.findtext(f"{GPX}{tag}") for tag in ("ele", "time")] == ["400.0", "2026-01-05T10:00:00Z"]
    extensions = first.find(f"{GPX}extensions")
    assert extensions is not None
    assert extensions.findtext(f"{GPX}power") == "200"
    garmin = extensions.find(f"{GARMIN}TrackPointExtension")
    assert garmin is not None
    assert [(each.tag, each.text) for each in garmin] == [
        (f"{GARMIN}atemp", "-5"),
        (f"{GARMIN}hr", "140"),
        (f"{GARMIN}cad", "80"),
    ]
    assert last.findtext(f"{GPX}time") == "2026-01-05T10:02:00Z"
    assert [each.text for each in last.iter(f"{GARMIN}hr")] == []  # no byte holds it


@pytest.mark.parametrize(
    ("start", "shown"),
    [
        (None, []),
        (datetime(1, 1, 1, tzinfo=UTC), ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"]),
        (datetime(1970, 1, 1, tzinfo=timezone(timedelta(hours=-5))), ["1970-01-01T05:00:00Z", "1970-01-01T05:00:00Z"]),
        (datetime.max.replace(tzinfo=UTC), ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"]),
    ],
)
def test_instants_are_utc_at_the_ends_of_the_calendar_too(start: datetime | None, shown: list[str]) -> None:
    samples = of(time=[0, 2**31 - 1], latlng=[[0, 0], [1, 1]])
    root = ElementTree.fromstring("".join(gpx_parts(samples, start=start)))
    assert [each.text for each in root.iter(f"{GPX}time")] == shown


def test_texts_are_on_one_line_and_can_be_written() -> None:
    assert clean("a\r\n\tb\u202e\x85\ud800 \ufffe👨‍👩‍👧\u3000ö") == "a b   👨‍👩‍👧\u3000ö"
    assert len(clean("x" * 100_000)) == 32_767
    assert (encodable("ö\n"), encodable("\ud800")) == ("ö\n", "?")
