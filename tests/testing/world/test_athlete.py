"""Athletes who don't exist: the same for the same seed, quickly made, with believable years."""

import functools
import json
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from types import FrameType

import pytest

from strava_async.testing.world import AthleteWorld, Json, generate_athlete, generate_summary_profile, start_of

NOW = 1_767_693_600.0  # 2026-01-06 10:00:00 UTC
DAY = 86_400.0


@functools.cache
def world(athlete_id: int = 1001) -> AthleteWorld:
    return generate_athlete(athlete_id, seed=1, now=NOW)


def calls_of(work: Callable[[], object]) -> int:
    """Count the Python functions called: a measure of work that no busy machine disturbs."""
    calls = 0

    def tally(frame: FrameType, event: str, arg: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(tally)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def everything(one: AthleteWorld) -> str:
    some = [activity["id"] for activity in one.activities[::40]]
    parts: list[object] = [one.profile, one.summary_profile, one.zones, one.gear, one.activities, one.stats(NOW)]
    for activity_id in some:
        parts += [one.detail(activity_id), one.streams(activity_id), one.laps(activity_id)]
        parts += [one.kudos(activity_id), one.comments(activity_id), one.activity_zones(activity_id)]
    return json.dumps(parts)


def test_the_same_seed_makes_the_same_world_down_to_the_last_sample() -> None:
    first, second = (generate_athlete(7, seed=3, now=NOW, years=0.5) for _ in range(2))
    assert everything(first) == everything(second)


def test_what_is_asked_first_changes_nothing() -> None:
    first, second = (generate_athlete(7, seed=3, now=NOW, years=0.03) for _ in range(2))
    ids = [activity["id"] for activity in first.activities]
    assert len(ids) > 4
    forwards = {activity_id: first.detail(activity_id) for activity_id in ids}
    backwards = {activity_id: second.detail(activity_id) for activity_id in reversed(ids)}
    assert forwards == backwards


@pytest.mark.parametrize(("athlete_id", "seed"), [(1002, 1), (1001, 2)])
def test_another_athlete_and_another_seed_are_another_world(athlete_id: int, seed: int) -> None:
    one, other = (
        generate_athlete(number, seed=of, now=NOW, years=0.5) for number, of in ((1001, 1), (athlete_id, seed))
    )
    mine = {(activity["start_date"], activity["distance"]) for activity in one.activities}
    theirs = {(activity["start_date"], activity["distance"]) for activity in other.activities}
    assert len(mine) > 90
    assert len(mine & theirs) < 3


def test_every_value_is_json() -> None:
    one = generate_athlete(1001, seed=1, now=NOW, years=0.5)
    assert json.loads(everything(one))[0] == one.profile


@pytest.mark.parametrize("athlete_id", [1001, 26_000_000])
def test_five_years_hold_more_than_a_thousand_activities(athlete_id: int) -> None:
    activities = world(athlete_id).activities
    assert 1_000 < len(activities) < 1_400
    years = Counter(activity["start_date"][:4] for activity in activities)
    assert all(years[str(year)] > 170 for year in range(2021, 2026))


def test_activities_are_in_order_and_none_ends_after_now() -> None:
    activities = world().activities
    starts = [start_of(activity) for activity in activities]
    assert starts == sorted(starts)
    assert min(starts) > NOW - 5.01 * 365.25 * DAY
    assert max(start_of(activity) + activity["elapsed_time"] for activity in activities) <= NOW
    assert starts[-1] > NOW - 10 * DAY


def test_nobody_is_at_two_places_at_once() -> None:
    known = [activity for activity in world().activities if not activity["start_date_local"].endswith("00:00:01Z")]
    overlaps = [
        (earlier["id"], later["id"])
        for earlier, later in pairwise(known)
        if start_of(earlier) + earlier["elapsed_time"] > start_of(later)
    ]
    assert len(overlaps) < len(known) / 100


def test_ids_need_64_bits_and_rise_with_time() -> None:
    ids = [activity["id"] for activity in world().activities]
    assert min(ids) > 2**33
    assert all(later > earlier for earlier, later in pairwise(ids))
    other = generate_athlete(1002, seed=1, now=NOW, years=1.0)
    assert not set(ids) & {activity["id"] for activity in other.activities}


def test_all_sports_are_there_and_one_that_no_list_knows() -> None:
    found = Counter(activity["sport_type"] for activity in world().activities)
    assert set(found) == {
        *("Run", "TrailRun", "Ride", "VirtualRide", "MountainBikeRide", "Swim", "Walk", "Hike"),
        *("WeightTraining", "Yoga", "Rowing", "Snowkiting"),
    }
    types = {activity["sport_type"]: activity["type"] for activity in world().activities}
    assert (types["TrailRun"], types["MountainBikeRide"], types["Snowkiting"]) == ("Run", "Ride", "Workout")


def test_virtual_rides_are_for_the_winter_and_long_runs_for_sundays() -> None:
    months = Counter(int(a["start_date"][5:7]) for a in world().activities if a["sport_type"] == "VirtualRide")
    assert set(months) <= {1, 2, 3, 11, 12}
    long_runs = [a for a in world().activities if a["sport_type"] == "Run" and a["workout_type"] == 2]
    assert {datetime.fromisoformat(a["start_date_local"]).weekday() for a in long_runs} == {6}


def test_there_is_a_marathon_almost_every_year() -> None:
    races = [activity for activity in world().activities if activity.get("workout_type") == 1]
    assert 3 <= len(races) <= 6
    assert all(42_195 < race["distance"] < 43_000 for race in races)


def test_holidays_are_spent_in_other_time_zones() -> None:
    zones = Counter(activity["timezone"] for activity in world().activities)
    assert len(zones) > 2
    home, often = zones.most_common(1)[0]
    assert often > len(world().activities) * 0.9
    assert all(days >= 5 for zone, days in zones.items() if zone != home)


@pytest.mark.parametrize(("years", "least", "most"), [(0.0, 0, 3), (0.02, 0, 20), (1.0, 170, 290), (8.0, 1_600, 2_160)])
def test_any_number_of_years_can_be_asked_for(years: float, least: int, most: int) -> None:
    one = generate_athlete(5, seed=1, now=NOW, years=years)
    assert least <= len(one.activities) <= most
    assert one.stats(NOW)["all_run_totals"]["count"] <= len(one.activities)


def test_a_summary_profile_needs_no_world() -> None:
    assert generate_summary_profile(1001, seed=1, now=NOW) == world().summary_profile
    assert calls_of(lambda: generate_summary_profile(1001, seed=1, now=NOW)) < 1_500


def test_five_years_cost_a_bounded_amount_of_work() -> None:
    one = world()
    assert calls_of(lambda: generate_athlete(1001, seed=1, now=NOW)) < 450 * len(one.activities)


def test_streams_cost_a_handful_of_calls_per_sample() -> None:
    one = generate_athlete(1001, seed=1, now=NOW, years=0.5)
    powered = next(a for a in one.activities if "max_watts" in a and a["start_latlng"])
    samples = powered["elapsed_time"]
    assert calls_of(lambda: one.streams(powered["id"])) < 8 * samples
    assert calls_of(lambda: one.streams(powered["id"])) < 20  # the second time they are there


def test_stats_add_up_over_what_everyone_may_see() -> None:
    public = [activity for activity in world().activities if activity["visibility"] == "everyone"]
    stats = world().stats(NOW)
    for family, types in (("ride", ("Ride", "VirtualRide")), ("run", ("Run",)), ("swim", ("Swim",))):
        mine = [activity for activity in public if activity["type"] in types]
        totals = stats[f"all_{family}_totals"]
        assert totals["count"] == len(mine)
        assert totals["distance"] == pytest.approx(sum(activity["distance"] for activity in mine))
        assert totals["moving_time"] == sum(activity["moving_time"] for activity in mine)
        recent = [activity for activity in mine if start_of(activity) >= NOW - 28 * DAY]
        assert stats[f"recent_{family}_totals"]["count"] == len(recent)
        assert "achievement_count" in stats[f"recent_{family}_totals"]
        assert "achievement_count" not in totals


def test_this_years_totals_have_float_times_and_a_whole_distance() -> None:
    december = datetime(2025, 12, 30, tzinfo=UTC).timestamp()
    totals = generate_athlete(1001, seed=1, now=december, years=1.0).stats(december)["ytd_run_totals"]
    kinds = {key: type(value) for key, value in totals.items()}
    assert kinds == {
        "count": int,
        "distance": int,
        "moving_time": float,
        "elapsed_time": float,
        "elevation_gain": float,
    }


def test_without_a_ride_the_biggest_ones_are_missing() -> None:
    stats = generate_athlete(1001, seed=1, now=NOW, years=0.0).stats(NOW)
    assert "biggest_ride_distance" not in stats
    assert stats["ytd_ride_totals"]["distance"] == 0


def test_gear_is_as_worn_as_the_activities_say() -> None:
    one = world()
    for gear_id, gear in one.gear.items():
        worn = sum(activity["distance"] for activity in one.activities if activity["gear_id"] == gear_id)
        assert gear["distance"] == round(worn)
        assert isinstance(gear["distance"], int)
    assert {gear_id[0] for gear_id in one.gear} == {"b", "g"}
    assert {activity["gear_id"] for activity in one.activities} <= {*one.gear, None}
    assert sum(gear["retired"] for gear in one.gear.values()) >= 3


def test_the_profile_lists_the_gear_in_use() -> None:
    one = world()
    in_use = {gear_id for gear_id, gear in one.gear.items() if not gear["retired"]}
    listed: list[Json] = [*one.profile["bikes"], *one.profile["shoes"]]
    assert {item["id"] for item in listed} == in_use
    assert all(item["distance"] == one.gear[item["id"]]["distance"] for item in listed)
    assert all(item["resource_state"] == 2 for item in listed)


def test_the_summary_profile_is_part_of_the_detailed_one() -> None:
    one = world()
    assert one.summary_profile["resource_state"] == 2
    assert one.profile.items() >= {**one.summary_profile, "resource_state": 3}.items()
    assert all(club["member_count"] == 0 for club in one.profile["clubs"])


def test_an_unknown_activity_is_a_key_error() -> None:
    one = world()
    for ask in (one.detail, one.streams, one.laps, one.activity_zones, one.kudos, one.comments):
        with pytest.raises(KeyError):
            ask(1)


def test_applause_is_as_loud_as_counted_and_anonymous() -> None:
    one = world()
    for activity in one.activities[::5]:
        kudos, comments = one.kudos(activity["id"]), one.comments(activity["id"])
        assert len(kudos) == activity["kudos_count"]
        assert len(comments) == activity["comment_count"]
        for person in [*kudos, *(comment["athlete"] for comment in comments)]:
            assert list(person) == ["resource_state", "firstname", "lastname"]
            assert len(person["lastname"]) == 2
            assert person["lastname"].endswith(".")


def test_comments_are_oldest_first_after_the_activity_and_without_cursor() -> None:
    one = world()
    commented = [activity for activity in one.activities if activity["comment_count"] > 1]
    assert len(commented) > 50
    for activity in commented[::5]:
        comments = one.comments(activity["id"])
        times = [comment["created_at"] for comment in comments]
        ids = [comment["id"] for comment in comments]
        assert times == sorted(times)
        assert ids == sorted(set(ids))
        assert times[0] > activity["start_date"]
        assert datetime.fromisoformat(times[-1]).timestamp() <= NOW
        assert all("cursor" not in comment for comment in comments)
