"""What Strava sends once in a while comes from the emulator too, once in a while, and not from the default athlete's.

Whatever is counted here was recorded at least once, or is documented and says so in ``world/oddities.py``.
"""

import functools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import stravalib.model
import stravalib.strava_model
from pydantic import BaseModel

from strava_async.models import (
    ActivityStats,
    DetailedActivity,
    DetailedAthlete,
    DetailedGear,
    GroupEvent,
    StravaModel,
    SummaryActivity,
    SummaryAthlete,
    SummaryClub,
    SummarySegment,
    Zones,
)
from strava_async.models._reading import read_many
from strava_async.testing import Emulator, FakeClock
from strava_async.testing.world import AthleteWorld, Json, generate_athlete
from strava_async.testing.world.plan.places import HOMES
from strava_async.testing.world.routes import saved_views
from strava_async.testing.world.view import club_events, clubs

NOW = 1_767_693_600.0
SEEDS = range(1, 9)


@functools.cache
def worlds() -> list[AthleteWorld]:
    """Return the first athlete of each of eight emulators."""
    first = {seed: Emulator(seed=seed, clock=FakeClock()).athlete_ids[0] for seed in SEEDS}
    return [generate_athlete(athlete_id, seed=seed, now=NOW, years=1.0) for seed, athlete_id in first.items()]


@functools.cache
def activities() -> list[Json]:
    return [activity for world in worlds() for activity in world.activities]


@functools.cache
def details() -> list[Json]:
    """Return the details of runs, and of what was entered by hand."""
    found: list[Json] = []
    for world in worlds():
        some = [a for a in world.activities if a["type"] == "Run" and not a["manual"]]
        races = [a for a in some if a["workout_type"] == 1]
        by_hand = [a for a in world.activities if a["manual"]]
        found += [world.detail(a["id"]) for a in [*some[::20], *races, *by_hand]]
    return found


@functools.cache
def events() -> list[Json]:
    return [event for club in all_clubs() for event in club_events.events(club, {}, [], now=NOW)]


def all_clubs() -> Iterator[Json]:
    for home in HOMES:
        for club in clubs.joined(home, 4):
            yield club | {"membership": None}


def organizers() -> list[Json]:
    return [event["organizing_athlete"] for event in events() if event["organizing_athlete"]]


def route_segments() -> list[Json]:
    world = worlds()[0]
    return [segment.summary for segment in world.segments.all().values()]


def share(found: list[Any], wanted: Any) -> float:
    return sum(value == wanted for value in found) / len(found)


def check(found: list[Any], odd: Any, *, most: float) -> None:
    """Assert that the odd value occurs, and that it is the odd one."""
    assert 0.0 < share(found, odd) <= most, (odd, share(found, odd), len(found))


# --- athletes


def test_some_athletes_have_no_threshold_power_and_no_bike() -> None:
    check([world.profile["ftp"] for world in worlds()], None, most=0.5)
    check([world.profile["bikes"] for world in worlds()], [], most=0.5)
    check(["power" in world.zones for world in worlds()], False, most=0.5)
    check(["biggest_ride_distance" in world.stats(NOW) for world in worlds()], False, most=0.5)
    check(["biggest_climb_elevation_gain" in world.stats(NOW) for world in worlds()], False, most=0.5)


def test_who_has_no_bike_has_nothing_of_cycling() -> None:
    for world in worlds():
        has = world.profile["bikes"] != []
        assert has == (world.profile["ftp"] is not None) == ("power" in world.zones)
        assert has == any("Ride" in activity["type"] for activity in world.activities)
        assert has == any(activity.get("device_watts", False) for activity in world.activities)
        assert has == ("biggest_ride_distance" in world.stats(NOW))
        assert 170 < len(world.activities) < 300


def test_some_athletes_name_no_country() -> None:
    check([world.profile["country"] for world in worlds()], "", most=0.6)
    assert all(world.profile["country"] == world.summary_profile["country"] for world in worlds())


def test_a_ride_by_somebody_without_a_bike_has_no_gear() -> None:
    walker = next(world for world in worlds() if not world.profile["bikes"])
    made = walker.add_recorded(activity_id=9, upload_id=10, name=None, sport_type="Ride", private=False, now=NOW)
    assert (made["gear_id"], "gear" in made) == (None, False)
    assert walker.stats(NOW)["biggest_ride_distance"] == made["distance"]
    walker.remove(9)


def test_a_ride_without_distance_is_not_the_biggest() -> None:
    walker = next(world for world in worlds() if not world.profile["bikes"])
    entry = {"name": "x", "sport_type": "Ride", "start_date_local": "2026-01-05T10:00:00Z", "elapsed_time": 60}
    walker.add_manual(entry, activity_id=9, now=NOW)
    stats = walker.stats(NOW)
    walker.remove(9)
    assert (stats["all_ride_totals"]["count"], "biggest_ride_distance" in stats) == (1, False)


def test_totals_are_added_up_alike_on_each_version_of_python() -> None:
    for world in worlds():
        total = 0.0
        for run in world.activities:
            if run["type"] in ("Run", "VirtualRun") and run["visibility"] == "everyone":
                total += run["distance"]
        assert world.stats(NOW)["all_run_totals"]["distance"] == total


# --- activities


@pytest.mark.parametrize(
    ("key", "odd", "most"), [("name", "", 0.01), ("flagged", True, 0.01), ("has_kudoed", True, 0.02)]
)
def test_a_summary_is_odd_now_and_then(key: str, odd: Any, most: float) -> None:
    check([activity[key] for activity in activities()], odd, most=most)


def test_a_photo_may_be_from_instagram() -> None:
    with_photos = [activity for activity in activities() if activity["total_photo_count"]]
    check([activity["photo_count"] for activity in with_photos], 1, most=0.15)
    assert all(activity["photo_count"] <= activity["total_photo_count"] for activity in activities())


def test_some_say_how_hard_it_was() -> None:
    said = [(detail["perceived_exertion"], detail["prefer_perceived_exertion"]) for detail in details()]
    check([exertion is not None for exertion, _ in said], True, most=0.2)
    assert {type(exertion) for exertion, _ in said} == {int, type(None)}
    assert {prefer for exertion, prefer in said if exertion is None} == {None, False}
    assert {prefer for exertion, prefer in said if exertion is not None} == {True, False}


def test_some_activities_are_muted() -> None:
    check([detail["hide_from_home"] for detail in details()], True, most=0.1)


def test_a_best_effort_may_be_a_record() -> None:
    runs = [detail["best_efforts"] for detail in details() if detail.get("best_efforts")]
    check([efforts[0]["pr_rank"] is not None for efforts in runs], True, most=0.4)
    for efforts in runs:
        for effort in efforts:
            rank = effort["pr_rank"]
            assert effort["achievements"] == ([{"type_id": 3, "type": "pr", "rank": rank}] if rank else [])
        assert [effort["pr_rank"] for effort in efforts[1:]] == [None] * (len(efforts) - 1)
        assert len({effort["distance"] for effort in efforts}) == len(efforts)


def test_a_run_entered_by_hand_has_no_best_effort_and_is_like_no_other() -> None:
    by_hand = [detail for detail in details() if detail["manual"]]
    assert {detail["type"] == "Run" for detail in by_hand} == {True, False}
    for detail in by_hand:
        assert ("best_efforts" in detail) == ("similar_activities" in detail) == (detail["type"] == "Run")
        assert detail.get("best_efforts", []) == []
        assert detail.get("similar_activities", NOTHING_SIMILAR) == NOTHING_SIMILAR


NOTHING_SIMILAR = {
    "effort_count": 0,
    "average_speed": 0,
    "min_average_speed": 0,
    "mid_average_speed": 0,
    "max_average_speed": 0,
    "pr_rank": None,
    "frequency_milestone": None,
    "trend": {
        "speeds": [],
        "current_activity_index": None,
        "min_speed": 0,
        "mid_speed": 0,
        "max_speed": 0,
        "direction": 0,
    },
    "resource_state": 2,
}


def test_the_answers_of_create_and_update_are_like_it() -> None:
    world = generate_athlete(1001, seed=1, now=NOW, years=0.02)
    entry = {"name": "x", "sport_type": "Run", "start_date_local": "2026-01-05T10:00:00Z", "elapsed_time": 60}
    created = world.add_manual(entry, activity_id=9, now=NOW)
    updated = world.update(9, {"name": "y"})
    for detail in (created, updated):
        assert (detail["best_efforts"], detail["similar_activities"]) == ([], NOTHING_SIMILAR)
        assert detail["available_zones"] == ["pace"]


def test_nothing_is_odd_about_what_has_only_just_come() -> None:
    world = generate_athlete(1001, seed=1, now=NOW, years=0.02)
    for number in range(12):
        made = world.add_recorded(
            activity_id=number, upload_id=number, name="x", sport_type="Run", private=False, now=NOW
        )
        assert (made["perceived_exertion"], made["hide_from_home"], made["flagged"]) == (None, False, False)
        assert {effort["pr_rank"] for effort in made["best_efforts"]} <= {None}


# --- segments and events


def test_of_some_segments_strava_does_not_know_where_they_are() -> None:
    found = route_segments()
    check([segment["city"] for segment in found], None, most=0.12)
    assert all((s["city"] is None) == (s["state"] is None) == (s["country"] is None) for s in found)


def test_a_segment_that_only_falls_has_no_steep_place() -> None:
    found = route_segments()
    check([segment["maximum_grade"] <= 0.0 for segment in found], True, most=0.2)
    assert all(segment["maximum_grade"] > segment["average_grade"] for segment in found)


def test_the_segments_of_a_route_are_among_them() -> None:
    world = worlds()[0]
    ways = {route.way: route for route in world.routes.values()}
    along = [s.summary for s in world.segments.all().values() if s.route in ways]
    check([segment["country"] for segment in along], None, most=0.2)
    assert saved_views.detail(next(iter(ways.values())), world.summary_profile, along)["segments"] == along


@pytest.mark.parametrize("key", ["start_latlng", "terrain", "skill_levels"])
def test_an_event_may_leave_a_value_out(key: str) -> None:
    check([event[key] for event in events()], None, most=0.3)


def test_an_event_may_have_no_title() -> None:
    check([event["title"] for event in events()], "", most=0.1)


@pytest.mark.parametrize("key", ["country", "username", "sex", "bio"])
def test_an_organizer_may_leave_a_value_out(key: str) -> None:
    check([athlete[key] for athlete in organizers()], None, most=0.6)


def test_not_every_organizer_subscribes() -> None:
    assert {(a["premium"], a["summit"], a["badge_type_id"]) for a in organizers()} == {
        (True, True, 1),
        (False, False, 0),
    }


# --- clubs and gear


def test_a_club_may_name_no_city() -> None:
    check([club["city"] for club in all_clubs()], "", most=0.3)


def test_gear_may_be_described_or_not_and_warn_of_its_age_or_not() -> None:
    shoes = [item for world in worlds() for item in world.gear.values() if "notification_distance" in item]
    assert {item["notification_distance"] for item in shoes} == {0, 600}
    bikes = [item for world in worlds() for item in world.gear.values() if "frame_type" in item]
    for gear in (shoes, bikes):
        assert {type(item["description"]) for item in gear} <= {str, type(None)}
        assert {bool(item["description"]) for item in gear} == {True, False}


# --- and yet


def test_the_default_athlete_has_everything_to_try_out() -> None:
    world = Emulator(clock=FakeClock(), years=0.5).world()
    sports = {activity["type"] for activity in world.activities}
    assert {"Run", "Ride", "Swim"} <= sports
    assert len(world.activities) > 80
    assert (len(world.profile["bikes"]), len(world.profile["shoes"])) == (3, 2)
    assert world.profile["ftp"] > 100
    assert world.profile["country"] != ""
    assert {"heart_rate", "power"} == set(world.zones)
    assert world.stats(NOW)["biggest_ride_distance"] > 20_000
    assert any(activity.get("device_watts") for activity in world.activities)
    assert world.routes


# --- who reads it

OURS: dict[type[StravaModel], Callable[[], list[Json]]] = {
    DetailedAthlete: lambda: [world.profile for world in worlds()],
    SummaryAthlete: lambda: [*(world.summary_profile for world in worlds()), *organizers()],
    Zones: lambda: [world.zones for world in worlds()],
    ActivityStats: lambda: [world.stats(NOW) for world in worlds()],
    SummaryActivity: activities,
    DetailedActivity: details,
    SummarySegment: route_segments,
    GroupEvent: events,
    SummaryClub: lambda: list(all_clubs()),
    DetailedGear: lambda: [item for world in worlds() for item in world.gear.values()],
}
THEIRS: dict[type[BaseModel], Callable[[], list[Json]]] = {
    stravalib.model.DetailedAthlete: OURS[DetailedAthlete],
    stravalib.strava_model.Zones: OURS[Zones],
    stravalib.model.AthleteStats: OURS[ActivityStats],
    stravalib.model.SummaryActivity: activities,
    stravalib.model.DetailedActivity: details,
    stravalib.model.SummarySegment: route_segments,
    stravalib.model.SummaryClub: OURS[SummaryClub],
    stravalib.strava_model.DetailedGear: OURS[DetailedGear],
}


@pytest.mark.parametrize("kind", OURS)
def test_the_models_read_all_of_it(kind: type[StravaModel]) -> None:
    sent = OURS[kind]()
    read = read_many(kind, json.dumps(sent).encode(), on_invalid="raise")
    assert len(list(read)) == len(sent) > 0


@pytest.mark.parametrize("kind", THEIRS)
def test_those_of_stravalib_do_too(kind: type[BaseModel]) -> None:
    sent = THEIRS[kind]()
    assert [kind.model_validate(one) for one in sent if "sport_type" not in one or one["sport_type"] != "Snowkiting"]
