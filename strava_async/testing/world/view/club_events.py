"""The events of a club. The endpoint isn't documented; the shape is that of 2025."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from strava_async.testing.world.plan.people import make_person, summary_profile
from strava_async.testing.world.plan.places import Place
from strava_async.testing.world.plan.timezones import DAY, iso
from strava_async.testing.world.record.samples import Json
from strava_async.testing.world.routes.saved import SavedRoute
from strava_async.testing.world.routes.saved_views import seen_by_others, summary
from strava_async.testing.world.view.clubs import place_of

_FIRST_AT = 1_520_000_000  # when the first event was created: the spring of 2018
_WEEK = 7 * DAY
_OWN_EVENTS = 2
_MISSING, _NAMELESS, _HIDDEN_BY_ATHLETE = 0.15, 0.03, 0.25
_TITLES = ("Long run & coffee", "Intervalle 6×800", "After work (25 km/h)", "Beginners welcome!", "Vollmondlauf 🌕")
_MEETING_POINTS = ("Station, {town}", "Car park by the lake", "Town hall", "")


def events(club: Json, organizer: Json, routes: Sequence[SavedRoute], *, now: float) -> list[Json]:
    """Return the group events of a club: dozens in one list, by the day when they were first held.

    Most are organized by others, and the same for every athlete; they are over, or repeat each week. If the athlete is
    a member, the last ones are the athlete's, along own routes.

    Args:
        club: as the asking athlete sees it.
        organizer: the SummaryAthlete of the athlete who asks.
        routes: of that athlete, those that everyone may see.
        now: Unix seconds.
    """
    rng, rare = random.Random(f"club {club['id']} events"), random.Random(f"club {club['id']} odd events")
    count = rng.randint(34, 48)
    others = [_organizer(rng, place_of(club["id"]), now) for _ in range(3)]
    created_at = [_FIRST_AT + number * 9 * _WEEK + rng.randrange(7) * DAY for number in range(count)]
    found = [
        _event(rng, rare, club, number, created, now) for number, created in enumerate(created_at) if created <= now
    ]
    for event in found:
        event["organizing_athlete"] = rng.choice([*others, None])
    if club["membership"] != "member":
        return [event for event in found if not event["private"]]
    rng = random.Random(f"club {club['id']} events of {organizer['id']}")
    for number, route in enumerate(routes[:_OWN_EVENTS]):
        created = route.created_at + rng.randrange(1, 24) * 3600  # a saved route is a day old
        event = _event(rng, rare, club, count + number, created, now)
        event |= {
            "id": 10_000_000 + rng.getrandbits(40),
            "organizing_athlete": seen_by_others(organizer),
            "joined": True,
        }
        found.append(event | _along(route, organizer))
    return found


def _event(rng: random.Random, rare: random.Random, club: Json, number: int, created: float, now: float) -> Json:
    """Return an event by somebody else. Its title may be empty; terrain, level and place of start may be null."""
    place = place_of(club["id"])
    first_day = created // DAY * DAY + rng.randint(1, 7) * _WEEK
    wall = first_day + rng.choice((8, 9, 18)) * 3600
    occurrences = _weekly(place, wall, now) if rng.random() < 0.2 else [place.zone.at_wall(wall)]
    event: Json = {
        "id": 300_000 + club["id"] * 64 + number,
        "resource_state": 2,
        "title": rng.choice(_TITLES),
        "description": rng.choice(("", "Lights on, please.\n\nNobody is left behind.")),
        "club_id": club["id"],
        "club": {"id": club["id"], "resource_state": 1, "name": club["name"]},
        "organizing_athlete": None,
        "activity_type": rng.choice(club["activity_types"] or ["Workout"]),
        "created_at": iso(created) if rng.random() < 0.3 else "",
        "route_id": None,
        "route": None,
        "women_only": rng.random() < 0.1,
        "private": rng.random() < 0.2,
        "skill_levels": rng.choice((1, 2, 4)),
        "terrain": rng.choice((0, 1, 2)),
        "upcoming_occurrences": [iso(at) for at in occurrences],
        "zone": place.zone.name,
        "address": rng.choice(_MEETING_POINTS).format(town=place.town),
        "joined": False,
        "start_latlng": [
            round(place.lat + rng.uniform(-0.02, 0.02), 5),
            round(place.lng + rng.uniform(-0.02, 0.02), 5),
        ],
    }
    missing: Json = {key: None for key in ("skill_levels", "terrain", "start_latlng") if rare.random() < _MISSING}
    return event | missing | ({"title": ""} if rare.random() < _NAMELESS else {})


def _weekly(place: Place, wall: float, now: float) -> list[float]:
    """Return the next five occurrences of an event: at the same local time each week."""
    skipped = max(0, (now - wall) // _WEEK)
    times = [place.zone.at_wall(wall + (skipped + week) * _WEEK) for week in range(7)]
    return [at for at in times if at > now][:5]


def _along(route: SavedRoute, owner: Json) -> Json:
    shown = summary(route, owner)
    kept: Json = {key: shown[key] for key in ("id", "id_str", "resource_state", "name", "map", "map_urls")}
    return {
        "activity_type": route.activity_type,
        "route_id": route.route_id,
        "route": kept | {"resource_state": 1},
        "private": False,
        "start_latlng": list(route.points[0]),
    }


def _organizer(rng: random.Random, home: Place, now: float) -> Json:
    """Return an organizer: user name, names, place and subscription may be missing."""
    number = rng.randrange(1_000_000, 10_000_000)
    key = f"organizer {number}"
    someone = make_person(rng, number, since=_FIRST_AT - 400 * DAY, key=key)
    profile = seen_by_others(summary_profile(replace(someone, home=home), now=now // DAY * DAY))
    rare = random.Random(f"{key}:untold")
    missing: Json = {name: None for name in ("username", "bio", "country", "sex") if rare.random() < _HIDDEN_BY_ATHLETE}
    subscribes = rare.random() < 0.5
    return profile | missing | {"premium": subscribes, "summit": subscribes, "badge_type_id": int(subscribes)}
