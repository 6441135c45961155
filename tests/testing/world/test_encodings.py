"""Polylines, local time, and the bending of measurements."""

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strava_async.testing.world.plan.timezones import Zone, iso, start_of
from strava_async.testing.world.record.scaling import rescale
from strava_async.testing.world.routes.polyline import decode, encode, thin

NEW_YORK = Zone("America/New_York", -18_000, "us")
BERLIN = Zone("Europe/Berlin", 3_600, "eu")
KATHMANDU = Zone("Asia/Kathmandu", 20_700)
ST_JOHNS = Zone("America/St_Johns", -12_600, "us")


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_the_example_of_googles_page_is_encoded_as_there() -> None:
    points = [(38.5, -120.2), (40.7, -120.95), (43.252, -126.453)]
    assert encode(points) == "_p~iF~ps|U_ulLnnqC_mqNvxq`@"
    assert decode("_p~iF~ps|U_ulLnnqC_mqNvxq`@") == points


def test_no_points_are_the_empty_string() -> None:
    assert encode([]) == ""
    assert decode("") == []


degrees = st.integers(-18_000_000, 18_000_000).map(lambda value: value / 1e5)


@given(st.lists(st.tuples(degrees, degrees), max_size=60))
def test_what_was_encoded_is_decoded(points: list[tuple[float, float]]) -> None:
    assert decode(encode(points)) == points


@pytest.mark.parametrize("text", ["_p~iF", "_p~iF~ps|", "_"])
def test_a_polyline_cut_short_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="too early"):
        decode(text)


def test_thinning_keeps_the_ends() -> None:
    points = [(float(i), 0.0) for i in range(1_000)]
    thinned = thin(points, 7)
    assert len(thinned) == 7
    assert (thinned[0], thinned[-1]) == (points[0], points[-1])
    assert thin(points[:5], 7) == points[:5]


@pytest.mark.parametrize(
    ("zone", "instant", "offset"),
    [
        (NEW_YORK, "2025-03-09T06:59:59", -18_000),
        (NEW_YORK, "2025-03-09T07:00:00", -14_400),
        (NEW_YORK, "2025-11-02T05:59:59", -14_400),
        (NEW_YORK, "2025-11-02T06:00:00", -18_000),
        (NEW_YORK, "2026-03-08T07:00:00", -14_400),
        (BERLIN, "2025-03-30T00:59:59", 3_600),
        (BERLIN, "2025-03-30T01:00:00", 7_200),
        (BERLIN, "2025-10-26T00:59:59", 7_200),
        (BERLIN, "2025-10-26T01:00:00", 3_600),
        (ST_JOHNS, "2025-07-01T00:00:00", -9_000),
        (KATHMANDU, "2025-07-01T00:00:00", 20_700),
        (NEW_YORK, "2026-01-01T02:00:00", -18_000),
    ],
)
def test_summer_begins_and_ends_on_the_second(zone: Zone, instant: str, offset: int) -> None:
    assert zone.offset_at(at(instant)) == offset


@pytest.mark.parametrize(
    ("zone", "label"),
    [
        (NEW_YORK, "(GMT-05:00) America/New_York"),
        (KATHMANDU, "(GMT+05:45) Asia/Kathmandu"),
        (ST_JOHNS, "(GMT-03:30) America/St_Johns"),
        (Zone("Europe/London", 0, "eu"), "(GMT+00:00) Europe/London"),
    ],
)
def test_labels_are_written_as_strava_does(zone: Zone, label: str) -> None:
    assert zone.label == label


@given(st.sampled_from([NEW_YORK, BERLIN, KATHMANDU, ST_JOHNS]), st.integers(1_300_000_000, 1_900_000_000))
def test_the_wall_clock_can_be_read_back(zone: Zone, instant: int) -> None:
    wall = instant + zone.offset_at(instant)
    again = zone.at_wall(wall)
    assert again + zone.offset_at(again) == wall  # in the doubled hour of autumn one of the two


def test_instants_are_written_in_whole_seconds() -> None:
    assert iso(1_767_693_600.9) == "2026-01-06T10:00:00Z"
    assert start_of({"start_date": "2026-01-06T10:00:00Z"}) == 1_767_693_600.0


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(30, 400),
    average=st.floats(90.0, 180.0).map(lambda value: round(value, 1)),
    above=st.integers(5, 30),
)
def test_measurements_are_bent_to_the_wanted_mean_and_peak(seed: int, count: int, average: float, above: int) -> None:
    rng = random.Random(seed)
    values = [rng.gauss(1.0, 0.2) for _ in range(count)]
    peak = int(average) + above
    bent = rescale(values, average=average, peak=peak, floor=50)
    assert max(bent) == peak
    assert min(bent) >= 50
    assert abs(sum(bent) - average * count) <= 0.6


def test_what_lies_at_the_bottom_stays_there() -> None:
    values = [0.0] * 50 + [1.0 + i / 100 for i in range(150)]
    bent = rescale(values, average=160.0, peak=420)
    assert bent[:50] == [0] * 50
    assert sum(bent) == 160 * 200


def test_a_flat_line_has_a_mean_too() -> None:
    bent = rescale([1.0] * 40, average=20.0, peak=22, floor=17)
    assert sum(bent) == 800
    assert max(bent) == 22
