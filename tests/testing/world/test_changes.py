"""What athletes and applications add and edit."""

import functools
import json
from itertools import pairwise

import pytest

from strava_async.testing.world import AthleteWorld, Json, Sample, start_of
from strava_async.testing.world.additions import NewUpload
from strava_async.testing.world.generate import Invention, invent
from strava_async.testing.world.routes.polyline import decode

NOW = 1_767_693_600.0
START = NOW - 7_200.0
FIELDS: dict[str, object] = {
    "name": "Stairs",
    "sport_type": "StairStepper",
    "start_date_local": "2025-07-14T18:30:00Z",
    "elapsed_time": "1800",
}


@functools.cache
def some_invention() -> Invention:
    return invent(1001, seed=1, now=NOW, years=0.6)


def some_world() -> AthleteWorld:
    return some_invention().world()


def upload(world: AthleteWorld, samples: list[Sample] | None, sport_type: str = "Run", start_at: float = START) -> Json:
    new = NewUpload(
        activity_id=99_000_000_001,
        upload_id=88_000_000_001,
        sport_type=sport_type,
        start_at=start_at,
        samples=samples,
        external_id="42.gpx",
        description="By a program",
        commute=True,
    )
    return world.add_uploaded(new, now=NOW)


def walk(seconds: int, *, pause: range = range(0)) -> list[Sample]:
    """North from a town that the world knows, at three metres a second, standing still in the pause."""
    samples: list[Sample] = []
    steps = 0
    for second in range(seconds + 1):
        steps += second > 0 and second not in pause
        lat = 48.5216 + steps * 3.0 / 111_320
        samples.append(
            Sample(at=START + second, latlng=(lat, 9.0576), altitude=300 + steps / 10, heartrate=120 + second % 20)
        )
    return samples


def test_a_manual_entry_is_in_its_place_in_the_list() -> None:
    world = some_world()
    before = len(world.activities)
    detail = world.add_manual(FIELDS, activity_id=99_000_000_000, now=NOW)
    starts = [start_of(activity) for activity in world.activities]
    assert len(starts) == before + 1
    assert starts == sorted(starts)
    assert detail["resource_state"] == 3
    assert detail["manual"] is True
    assert (detail["sport_type"], detail["type"]) == ("StairStepper", "StairStepper")
    assert detail["elapsed_time"] == detail["moving_time"] == 1800
    assert world.streams(99_000_000_000) is None
    assert world.detail(99_000_000_000) == detail


def test_a_manual_entrys_local_start_is_kept_and_utc_follows_from_home() -> None:
    detail = some_world().add_manual(FIELDS, activity_id=99_000_000_000, now=NOW)
    assert detail["start_date_local"] == "2025-07-14T18:30:00Z"
    assert detail["start_date"] == "2025-07-15T00:30:00Z"  # home is in Colorado, in summer
    assert detail["utc_offset"] == -21_600.0


def test_a_manual_run_wears_shoes_and_counts() -> None:
    world = some_world()
    count = world.stats(NOW)["all_run_totals"]["count"]
    fields = FIELDS | {"sport_type": "Run", "distance": 5_000, "description": "felt good", "commute": "1"}
    detail = world.add_manual(fields, activity_id=99_000_000_000, now=NOW)
    worn = sum(activity["distance"] for activity in world.activities if activity["gear_id"] == detail["gear_id"])
    assert world.stats(NOW)["all_run_totals"]["count"] == count + 1
    assert world.gear[detail["gear_id"]]["distance"] == round(worn)
    assert detail["gear"]["distance"] == round(worn)
    assert (detail["description"], detail["commute"], detail["trainer"]) == ("felt good", True, False)
    assert detail["average_speed"] == round(5_000 / 1800, 3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"sport_type": None}, "sport_type"),
        ({"sport_type": "../etc"}, "sport_type"),
        ({"start_date_local": None}, "start_date_local"),
        ({"start_date_local": "yesterday"}, "start_date_local"),
        ({"start_date_local": "0001-01-01T00:00:00Z"}, "start_date_local"),
        ({"start_date_local": "2031-01-01T00:00:00Z"}, "start_date_local"),
        ({"elapsed_time": None}, "elapsed_time"),
        ({"elapsed_time": "soon"}, "elapsed_time"),
        ({"elapsed_time": "nan"}, "elapsed_time"),
        ({"elapsed_time": -1}, "elapsed_time"),
        ({"elapsed_time": 10**400}, "elapsed_time"),
        ({"distance": "inf"}, "distance"),
        ({"distance": []}, "distance"),
    ],
)
def test_a_manual_entry_that_cant_be_read_names_the_field(wrong: dict[str, object], message: str) -> None:
    world = some_world()
    with pytest.raises(ValueError, match=message):
        world.add_manual(FIELDS | wrong, activity_id=99_000_000_000, now=NOW)
    with pytest.raises(KeyError):
        world.detail(99_000_000_000)


def test_no_time_at_all_is_a_manual_entry_too() -> None:
    assert some_world().add_manual(FIELDS | {"elapsed_time": 0}, activity_id=9, now=NOW)["average_speed"] == 0.0


def test_an_uploads_summary_follows_from_its_samples() -> None:
    world = some_world()
    detail = upload(world, walk(900, pause=range(300, 400)))
    streams = world.streams(detail["id"]) or {}
    assert detail["elapsed_time"] == 900
    assert detail["moving_time"] == pytest.approx(800, abs=2)
    assert detail["distance"] == pytest.approx(2_400, rel=0.01)
    assert detail["distance"] == streams["distance"]["data"][-1]
    assert detail["total_elevation_gain"] == pytest.approx(80, abs=1)
    assert detail["max_speed"] == pytest.approx(3.0, abs=0.05)
    beats = streams["heartrate"]["data"]
    assert detail["average_heartrate"] == round(sum(beats) / len(beats), 1)
    assert detail["start_latlng"] == streams["latlng"]["data"][0]
    assert decode(detail["map"]["summary_polyline"])[-1] == pytest.approx(tuple(detail["end_latlng"]), abs=1e-5)
    assert sum(lap["moving_time"] for lap in detail["laps"]) == detail["moving_time"]
    assert len(detail["splits_metric"]) == 3


def test_an_upload_keeps_what_came_with_it() -> None:
    world = some_world()
    detail = upload(world, walk(60))
    assert detail["start_date"] == "2026-01-06T08:00:00Z"
    assert detail["start_date_local"] == "2026-01-06T09:00:00Z"  # on the spot, in Germany
    assert detail["timezone"] == "(GMT+01:00) Europe/Berlin"
    assert (detail["upload_id"], detail["upload_id_str"]) == (88_000_000_001, "88000000001")
    assert (detail["external_id"], detail["description"]) == ("42.gpx", "By a program")
    assert (detail["trainer"], detail["commute"], detail["manual"]) == (False, True, False)
    assert detail["name"].endswith("Run")
    assert detail["kudos_count"] == len(world.kudos(detail["id"])) == 0
    assert world.activities[-1]["id"] == detail["id"]


def test_samples_may_be_unsorted_doubled_and_full_of_holes() -> None:
    world = some_world()
    samples = [
        *reversed(walk(120)),
        Sample(at=START + 60.2),
        Sample(at=START + 121),
        Sample(at=START + 90.0, watts=200),
    ]
    samples += [Sample(at=START + 122, latlng=(float("nan"), 500.0), altitude=float("inf"))]
    detail = upload(world, samples)
    streams = world.streams(detail["id"]) or {}
    time = streams["time"]["data"]
    assert time == list(range(123))
    assert all(b > a for a, b in pairwise(time))
    assert len({len(stream["data"]) for stream in streams.values()}) == 1
    assert json.loads(json.dumps(detail, allow_nan=False)) == detail


def test_samples_without_position_have_time_and_what_was_measured() -> None:
    world = some_world()
    detail = upload(world, [Sample(at=START, heartrate=90), Sample(at=START + 2_700, heartrate=110)], "WeightTraining")
    assert set(world.streams(detail["id"]) or {}) == {"time", "moving", "heartrate"}
    assert detail["elapsed_time"] == detail["moving_time"] == 2_700
    assert detail["start_latlng"] == []
    assert detail["distance"] == 0.0


def test_a_single_sample_is_an_activity_of_no_length() -> None:
    detail = upload(some_world(), walk(0))
    assert detail["elapsed_time"] == 0
    assert detail["average_speed"] == 0.0


def test_an_activity_that_hardly_moves_is_cut_without_error() -> None:
    standing = [Sample(at=START + second, latlng=(48.0, 9.0)) for second in range(30)]
    detail = upload(some_world(), standing)
    assert detail["moving_time"] == 0
    assert detail["distance"] == 0.0
    assert detail["available_zones"] == ["pace"]


@pytest.mark.parametrize("sport_type", ["Run", "Ride", "Swim", "Yoga", "Kabaddi"])
def test_a_file_that_cant_be_read_becomes_a_believable_activity(sport_type: str) -> None:
    first, second = upload(some_world(), None, sport_type), upload(some_world(), None, sport_type)
    assert first == second
    assert first["sport_type"] == sport_type
    assert 1_000 < first["elapsed_time"] < 20_000
    assert first["upload_id"] == 88_000_000_001
    assert first["visibility"] == "everyone"
    assert first["kudos_count"] == first["achievement_count"] == 0


@pytest.mark.parametrize("start_at", [-1.0, NOW + 100_000.0, float("nan"), 1e18])
def test_an_upload_from_the_future_is_refused(start_at: float) -> None:
    world = some_world()
    with pytest.raises(ValueError, match="start"):
        upload(world, walk(10), start_at=start_at)
    assert all(activity["id"] != 99_000_000_001 for activity in world.activities)


def test_an_update_changes_what_it_names_and_nothing_else() -> None:
    world = some_world()
    run = next(activity for activity in world.activities if activity["sport_type"] == "Run" and activity["gear_id"])
    before = world.detail(run["id"])
    changes = {"name": "Renamed 🏃", "description": "new", "commute": True, "hide_from_home": True, "gear_id": "none"}
    after = world.update(run["id"], changes)
    changed = {key for key in before if before[key] != after.get(key)}
    assert changed <= {"name", "description", "commute", "hide_from_home", "gear_id", "gear"}
    assert (after["name"], after["description"], after["hide_from_home"]) == ("Renamed 🏃", "new", True)
    assert after["gear_id"] is None
    assert "gear" not in after
    assert run["name"] == "Renamed 🏃"
    assert world.detail(run["id"]) == after


def test_gear_changes_hands_with_its_distance() -> None:
    world = some_world()
    run = next(activity for activity in world.activities if activity["type"] == "Run" and activity["gear_id"])
    old = run["gear_id"]
    new = next(gear_id for gear_id in world.gear if gear_id.startswith("g") and gear_id != old)
    was = world.gear[old]["distance"], world.gear[new]["distance"]
    world.update(run["id"], {"gear_id": new})
    assert world.gear[old]["distance"] == pytest.approx(was[0] - run["distance"], abs=1)
    assert world.gear[new]["distance"] == pytest.approx(was[1] + run["distance"], abs=1)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"sport_type": "TrailRun"}, ("TrailRun", "Run")),
        ({"type": "Ride"}, ("Ride", "Ride")),
        ({"sport_type": "Hike", "type": "Run"}, ("Hike", "Hike")),
        ({"sport_type": "Kabaddi"}, ("Kabaddi", "Workout")),
    ],
)
def test_a_new_sport_type_brings_the_older_type_along(changes: Json, expected: tuple[str, str]) -> None:
    world = some_world()
    run = next(activity for activity in world.activities if activity["sport_type"] == "Run")
    after = world.update(run["id"], changes)
    assert (after["sport_type"], after["type"]) == expected


def test_values_of_a_wrong_type_change_nothing() -> None:
    world = some_world()
    run = next(activity for activity in world.activities if activity["sport_type"] == "Run")
    before = world.detail(run["id"])
    nonsense: Json = {"name": 5, "description": ["x"], "sport_type": "a/b", "gear_id": "b0", "distance": 1, "type": {}}
    assert world.update(run["id"], nonsense) == before


def test_updating_what_doesnt_exist_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        some_world().update(1, {"name": "x"})
