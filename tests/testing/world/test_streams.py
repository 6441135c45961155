"""What is made when asked agrees with what the list said."""

import functools
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from strava_async.testing.world import AthleteWorld, Json, generate_athlete
from strava_async.testing.world.record.uploaded import metres_between
from strava_async.testing.world.routes.polyline import decode

NOW = 1_767_693_600.0
OUTDOORS = ("Run", "TrailRun", "Ride", "MountainBikeRide", "Walk", "Hike", "Snowkiting")
SPORTS = (*OUTDOORS, "VirtualRide", "Swim", "WeightTraining", "Yoga", "Rowing")
ALL_KEYS = {"time", "distance", "latlng", "altitude", "velocity_smooth", "heartrate", "cadence", "watts", "temp"}
ALL_KEYS |= {"moving", "grade_smooth"}


@functools.cache
def world() -> AthleteWorld:
    return generate_athlete(1001, seed=1, now=NOW)


@functools.cache
def some_of(sport_type: str) -> list[Json]:
    """Up to three recorded activities of a sport, spread over the years."""
    recorded = [a for a in world().activities if a["sport_type"] == sport_type and not a["manual"]]
    return recorded[:: max(1, len(recorded) // 3)][:3]


def data_of(activity: Json) -> dict[str, list[Any]]:
    streams = world().streams(activity["id"])
    assert streams is not None
    return {key: stream["data"] for key, stream in streams.items()}


each_sport = pytest.mark.parametrize("sport_type", SPORTS)
each_outdoor_sport = pytest.mark.parametrize("sport_type", OUTDOORS)


@each_sport
def test_streams_have_one_length_and_say_it(sport_type: str) -> None:
    for activity in some_of(sport_type):
        streams = world().streams(activity["id"]) or {}
        lengths = {len(stream["data"]) for stream in streams.values()}
        assert len(lengths) == 1
        assert {stream["original_size"] for stream in streams.values()} == lengths
        assert set(streams) <= ALL_KEYS
        assert all(list(s) == ["data", "series_type", "original_size", "resolution"] for s in streams.values())
        assert {stream["resolution"] for stream in streams.values()} == {"high"}


@each_sport
def test_time_ends_with_the_elapsed_time_and_moving_adds_up(sport_type: str) -> None:
    for activity in some_of(sport_type):
        data = data_of(activity)
        time = data["time"]
        assert time[0] == 0
        assert time[-1] == activity["elapsed_time"]
        assert all(later > earlier for earlier, later in pairwise(time))
        moved = sum(b - a for (a, b), moves in zip(pairwise(time), data["moving"][1:], strict=True) if moves)
        assert moved == activity["moving_time"] <= activity["elapsed_time"]


def test_seconds_are_missing_where_the_device_paused_or_slept() -> None:
    gaps = [b - a for activity in some_of("Ride") for a, b in pairwise(data_of(activity)["time"])]
    assert gaps.count(1) > 0.98 * len(gaps)
    assert max(gaps) > 20


@pytest.mark.parametrize("sport_type", [*OUTDOORS, "VirtualRide", "Swim"])
def test_distance_rises_to_the_summarys(sport_type: str) -> None:
    for activity in some_of(sport_type):
        data = data_of(activity)
        assert data["distance"][0] == 0.0
        assert data["distance"][-1] == activity["distance"]
        assert all(later >= earlier for earlier, later in pairwise(data["distance"]))
        assert max(data["velocity_smooth"]) == activity["max_speed"]
        assert activity["average_speed"] == round(activity["distance"] / activity["moving_time"], 3)


@pytest.mark.parametrize("sport_type", ["Rowing", "WeightTraining", "Yoga"])
def test_sports_without_distance_have_no_distance_stream(sport_type: str) -> None:
    for activity in some_of(sport_type):
        streams = world().streams(activity["id"]) or {}
        assert not {"distance", "velocity_smooth", "latlng", "altitude"} & set(streams)
        assert {stream["series_type"] for stream in streams.values()} == {"time"}
        assert activity["distance"] == 0.0


def test_a_swimmers_distance_is_a_staircase_of_pool_lengths() -> None:
    for activity in some_of("Swim"):
        steps = {later - earlier for earlier, later in pairwise(data_of(activity)["distance"])}
        assert steps <= {0.0, 25.0, 50.0}
        assert activity["distance"] % 25 == 0


@each_outdoor_sport
def test_the_track_starts_and_ends_where_the_summary_says(sport_type: str) -> None:
    for activity in some_of(sport_type):
        track = data_of(activity)["latlng"]
        assert track[0] == activity["start_latlng"]
        assert track[-1] == activity["end_latlng"]


@each_outdoor_sport
def test_the_track_is_as_long_as_the_distance_and_nobody_teleports(sport_type: str) -> None:
    fastest = {"Ride": 22.0, "MountainBikeRide": 14.0, "Snowkiting": 20.0}.get(sport_type, 8.0)
    for activity in some_of(sport_type):
        data = data_of(activity)
        steps = [metres_between(a, b) for a, b in pairwise(data["latlng"])]
        assert sum(steps) == pytest.approx(activity["distance"], rel=0.012)
        seconds = [b - a for a, b in pairwise(data["time"])]
        assert max(step / taken for step, taken in zip(steps, seconds, strict=True)) < fastest


@each_outdoor_sport
def test_the_summarys_polyline_is_the_track_simplified(sport_type: str) -> None:
    for activity in some_of(sport_type):
        track = data_of(activity)["latlng"][::2]
        nodes = decode(activity["map"]["summary_polyline"])
        assert 8 <= len(nodes) < 250
        # A node lies between two samples: at most a second of the way (or a recording gap) from one of them.
        assert max(min(metres_between(node, point) for point in track) for node in nodes[::4]) < 60
        assert nodes[0] == pytest.approx(tuple(activity["start_latlng"]), abs=1e-5)


@each_outdoor_sport
def test_altitude_and_climbing_agree(sport_type: str) -> None:
    for activity in some_of(sport_type):
        altitude = data_of(activity)["altitude"]
        assert max(altitude) == pytest.approx(activity["elev_high"], abs=1.5)
        assert min(altitude) == pytest.approx(activity["elev_low"], abs=1.5)
        climbed = sum(max(b - a, 0.0) for a, b in pairwise(altitude))
        assert climbed == pytest.approx(activity["total_elevation_gain"], rel=0.05, abs=3)


@each_sport
def test_averages_and_maxima_are_the_streams(sport_type: str) -> None:
    for activity in some_of(sport_type):
        data = data_of(activity)
        assert activity["has_heartrate"] == ("heartrate" in data)
        for key, average, highest in (
            ("heartrate", "average_heartrate", "max_heartrate"),
            ("watts", "average_watts", "max_watts"),
        ):
            if key in data:
                assert sum(data[key]) / len(data[key]) == pytest.approx(activity[average], abs=0.06)
                assert max(data[key]) == activity[highest]
                assert all(type(value) is int for value in data[key])
        if "cadence" in data:
            turning = [value for value in data["cadence"] if value]
            assert sum(turning) / len(turning) == pytest.approx(activity["average_cadence"], abs=0.06)
        if "temp" in data:
            assert round(sum(data["temp"]) / len(data["temp"])) == activity["average_temp"]


def test_the_heart_starts_slow_and_follows() -> None:
    for activity in some_of("Run"):
        if activity["has_heartrate"]:
            beats = data_of(activity)["heartrate"]
            assert sum(beats[:30]) / 30 < activity["average_heartrate"] - 8
            assert max(abs(b - a) for a, b in pairwise(beats[600:-1])) <= 12


def test_uphill_is_slower_than_downhill() -> None:
    for activity in some_of("Ride"):
        data = data_of(activity)
        rows = list(zip(data["grade_smooth"], data["velocity_smooth"], data["moving"], strict=True))
        up = [speed for grade, speed, moves in rows if moves and grade > 2]
        down = [speed for grade, speed, moves in rows if moves and grade < -2]
        assert sum(up) / len(up) < 0.8 * sum(down) / len(down)


@each_sport
def test_laps_and_splits_add_up(sport_type: str) -> None:
    for activity in some_of(sport_type)[:3]:
        detail = world().detail(activity["id"])
        parts = [detail["laps"]] + [detail[key] for key in ("splits_metric", "splits_standard") if key in detail]
        for part in parts:
            assert sum(piece["elapsed_time"] for piece in part) == activity["elapsed_time"]
            assert sum(piece["moving_time"] for piece in part) == activity["moving_time"]
            assert sum(piece["distance"] for piece in part) == pytest.approx(activity["distance"], abs=0.5)
        assert world().laps(activity["id"]) == detail["laps"]


def test_a_watch_makes_several_laps_whose_samples_join() -> None:
    laps = world().laps(some_of("Run")[-1]["id"])
    assert len(laps) > 2
    assert laps[0]["start_index"] == 0
    assert all(earlier["end_index"] == later["start_index"] for earlier, later in pairwise(laps))
    assert [lap["lap_index"] for lap in laps] == list(range(1, len(laps) + 1))


def test_zones_hold_every_moving_second() -> None:
    for sport_type in ("Run", "Ride", "VirtualRide"):
        for activity in some_of(sport_type):
            for zone in world().activity_zones(activity["id"]):
                assert sum(bucket["time"] for bucket in zone["distribution_buckets"]) == activity["moving_time"]


def test_efforts_carry_the_achievements_that_were_counted() -> None:
    for activity in some_of("Run") + some_of("Ride"):
        efforts = world().detail(activity["id"])["segment_efforts"]
        assert sum(len(effort["achievements"]) for effort in efforts) == activity["achievement_count"]
        assert sum(effort["pr_rank"] == 1 for effort in efforts) == activity["pr_count"]
        assert all(0 <= effort["start_index"] < effort["end_index"] for effort in efforts)


def test_the_same_road_has_the_same_segments() -> None:
    seen: dict[int, set[tuple[str, float]]] = {}
    passed: Counter[int] = Counter()
    for activity in [a for a in world().activities if a["sport_type"] == "Run"][::40]:
        for effort in world().segment_efforts(activity["id"]):
            segment = effort["segment"]
            seen.setdefault(segment["id"], set()).add((segment["name"], segment["distance"]))
            passed[segment["id"]] += 1
    assert all(len(descriptions) == 1 for descriptions in seen.values())
    assert sum(count > 1 for count in passed.values()) > 5


def test_best_efforts_get_slower_with_distance() -> None:
    run = max(some_of("Run"), key=lambda activity: activity["distance"])
    efforts = sorted(world().detail(run["id"])["best_efforts"], key=lambda effort: effort["distance"])
    times = [effort["elapsed_time"] for effort in efforts]
    assert len(efforts) >= 6
    assert times == sorted(times)
    assert all(effort["distance"] <= run["distance"] for effort in efforts)


def test_the_details_polyline_is_finer_than_the_summarys() -> None:
    for activity in some_of("Ride"):
        shown = world().detail(activity["id"])["map"]
        assert shown["summary_polyline"] == activity["map"]["summary_polyline"]
        assert len(decode(shown["polyline"])) > len(decode(shown["summary_polyline"]))


def test_only_a_few_streams_are_kept() -> None:
    one = generate_athlete(1001, seed=1, now=NOW, years=0.3)
    ids = [activity["id"] for activity in one.activities if not activity["manual"]]
    first = one.streams(ids[0])
    assert one.streams(ids[0]) is first
    for activity_id in ids[1:9]:
        one.streams(activity_id)
    assert one.streams(ids[0]) is not first
    assert one.streams(ids[0]) == first
