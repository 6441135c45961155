"""The emulator's clubs: the own ones, those of others, what they do, and what is closed."""

from datetime import datetime

import httpx
import pytest

from strava_async.models import ActivityType
from strava_async.testing import Emulator, FakeClock, MeterLimits
from strava_async.testing.world.plan.places import HOMES
from strava_async.testing.world.view import clubs

pytestmark = pytest.mark.anyio

ROOMY = MeterLimits(100_000, 100_000, 100_000, 100_000)


@pytest.fixture
def emulator():
    return Emulator(clock=FakeClock(), years=0.1, limits=ROOMY)


def connect(emulator, *scope, athlete_id=None):
    granted = emulator.grant(athlete_id, scope=scope) if scope else emulator.grant(athlete_id)
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(emulator.app),
        base_url="https://www.strava.com/api/v3",
        headers={"Authorization": f"Bearer {granted['access_token']}"},
    )


def all_ids():
    """Return the ids of all clubs that there are."""
    return {club["id"]: club for home in HOMES for club in clubs.joined(home, 4)}


def strange_to(emulator, *, private):
    mine = {club["id"] for club in emulator.world().profile["clubs"]}
    return next(number for number, club in all_ids().items() if number not in mine and club["private"] == private)


def missing(resource):
    return {"message": "Resource Not Found", "errors": [{"resource": resource, "field": "", "code": "not found"}]}


def test_no_two_clubs_have_the_same_id():
    assert len(all_ids()) == 4 * len(HOMES)


async def test_each_club_that_is_listed_is_answered_in_detail_with_the_same_facts(emulator):
    async with connect(emulator) as api:
        listed = (await api.get("/athlete/clubs")).json()
        assert listed == (await api.get("/athlete")).json()["clubs"]
        for club in listed:
            detail = (await api.get(f"/clubs/{club['id']}")).json()
            same = set(club) - {"resource_state", "member_count"}
            assert {key: detail[key] for key in same} == {key: club[key] for key in same}
            assert (club["resource_state"], detail["resource_state"]) == (2, 3)
            assert detail["member_count"] > 0
            assert detail["membership"] == "member"
            assert {"description", "club_type", "following_count"} <= set(detail)


async def test_a_club_lists_sports_of_the_older_enumeration_alone():
    """So in each recording; stravalib takes no other, and cannot read an athlete whose club says one."""
    older = {member.value for member in ActivityType}
    listed = {sport for home in HOMES for club in clubs.joined(home, 4) for sport in club["activity_types"]}
    assert {"Run", "Ride"} < listed <= older


async def test_clubs_are_paged(emulator):
    mine = emulator.world().profile["clubs"]
    async with connect(emulator) as api:
        pages = [(await api.get(f"/athlete/clubs?per_page=1&page={n + 1}")).json() for n in range(len(mine) + 1)]
    assert pages == [*([club] for club in mine), []]


async def test_a_public_club_of_others_is_seen_without_being_a_member(emulator):
    number = strange_to(emulator, private=False)
    async with connect(emulator) as api:
        club = (await api.get(f"/clubs/{number}")).json()
    assert (club["id"], club["membership"], club["admin"], club["owner"]) == (number, None, False, False)
    assert (club["private"], club["following_count"]) == (False, 0)


async def test_a_private_club_of_others_is_missing(emulator):
    number = strange_to(emulator, private=True)
    async with connect(emulator) as api:
        for below in ("", "/group_events"):
            reply = await api.get(f"/clubs/{number}{below}")
            assert (reply.status_code, reply.json()) == (404, missing("Club"))


async def test_members_see_their_private_club():
    emulator = next(
        emulator
        for emulator in (Emulator(seed=seed, clock=FakeClock(), years=0.1) for seed in range(50))
        if len(emulator.world().profile["clubs"]) == 4
    )
    club = emulator.world().profile["clubs"][3]
    async with connect(emulator) as api:
        detail = (await api.get(f"/clubs/{club['id']}")).json()
    assert (detail["private"], detail["admin"], detail["membership"]) == (True, True, "member")


async def test_two_athletes_see_the_same_club():
    emulator = Emulator(clock=FakeClock(), years=0.1, athletes=2)
    number = emulator.world().profile["clubs"][0]["id"]
    seen = []
    for athlete_id in emulator.athlete_ids:
        async with connect(emulator, athlete_id=athlete_id) as api:
            seen.append((await api.get(f"/clubs/{number}")).json())
    assert set(seen[0]) == set(seen[1])
    assert {key for key in seen[0] if seen[0][key] != seen[1][key]} == {"membership", "following_count"}


async def test_group_events_come_all_at_once_whatever_page_is_asked_for(emulator):
    number = emulator.world().profile["clubs"][0]["id"]
    async with connect(emulator) as api:
        events = (await api.get(f"/clubs/{number}/group_events")).json()
        second = (await api.get(f"/clubs/{number}/group_events?page=2&per_page=5")).json()
    assert len(events) > 30
    assert second == events
    assert len({event["id"] for event in events}) == len(events)
    assert {event["club_id"] for event in events} == {event["club"]["id"] for event in events} == {number}


async def test_group_events_have_the_oddities_that_strava_sends(emulator):
    number = emulator.world().profile["clubs"][0]["id"]
    async with connect(emulator) as api:
        events = (await api.get(f"/clubs/{number}/group_events")).json()
    assert "" in {event["created_at"] for event in events}
    assert any(event["created_at"] for event in events)
    assert None in [event["organizing_athlete"] for event in events]
    assert None in [event["route_id"] for event in events]
    weekly = [event["upcoming_occurrences"] for event in events if len(event["upcoming_occurrences"]) > 1]
    assert weekly
    for times in weekly:
        assert all(datetime.fromisoformat(at).timestamp() > emulator.clock.time() for at in times)
        assert times == sorted(times)


@pytest.mark.parametrize("now", [1_640_000_000.0, 1_767_693_600.0, 1_800_000_000.0])
async def test_no_event_is_of_the_future_or_older_than_the_route_it_follows(now):
    emulator = Emulator(clock=FakeClock(now), years=0.3)
    found = []
    async with connect(emulator) as api:
        for club in emulator.world().profile["clubs"]:
            found += (await api.get(f"/clubs/{club['id']}/group_events")).json()
    written = [event for event in found if event["created_at"]]
    assert len(written) > 5
    assert all(datetime.fromisoformat(event["created_at"]).timestamp() <= emulator.clock.time() for event in written)
    followed = [event for event in written if event["route_id"]]
    assert followed
    for event in followed:
        created = emulator.world().routes[event["route_id"]].created_at
        assert datetime.fromisoformat(event["created_at"]).timestamp() >= created


async def test_a_weekly_event_keeps_its_time_on_the_wall(emulator):
    number = emulator.world().profile["clubs"][0]["id"]
    zone = clubs.place_of(number).zone
    hours = set()
    async with connect(emulator) as api:
        for _ in range(8):  # into summer time
            emulator.clock.advance(30 * 86_400)
            token = emulator.grant()["access_token"]
            reply = await api.get(f"/clubs/{number}/group_events", headers={"Authorization": f"Bearer {token}"})
            event = next(event for event in reply.json() if len(event["upcoming_occurrences"]) > 1)
            for written in event["upcoming_occurrences"]:
                at = datetime.fromisoformat(written).timestamp()
                hours.add((event["id"], (at + zone.offset_at(at)) % 86_400))
    assert len(hours) == 1


async def test_the_routes_of_group_events_are_answered(emulator):
    async with connect(emulator, "read") as api:
        for club in emulator.world().profile["clubs"]:
            events = (await api.get(f"/clubs/{club['id']}/group_events")).json()
            routed = [event for event in events if event["route_id"] is not None]
            assert routed
            for event in routed:
                route = (await api.get(f"/routes/{event['route_id']}")).json()
                assert (event["route"]["id"], event["route"]["name"]) == (route["id"], route["name"])
                assert event["organizing_athlete"]["id"] == route["athlete"]["id"]


async def test_strangers_see_no_private_events(emulator):
    number = strange_to(emulator, private=False)
    async with connect(emulator) as api:
        events = (await api.get(f"/clubs/{number}/group_events")).json()
    assert events
    assert {event["private"] for event in events} == {False}


@pytest.mark.parametrize("path", ["/athlete/clubs", "/clubs/{}", "/clubs/{}/group_events"])
async def test_clubs_need_a_scope_that_reads(emulator, path):
    async with connect(emulator, "activity:read_all") as api:
        reply = await api.get(path.format(emulator.world().profile["clubs"][0]["id"]))
    assert reply.status_code == 401
    assert reply.json()["errors"] == [{"resource": "AccessToken", "field": "read_permission", "code": "missing"}]


@pytest.mark.parametrize("people", ["members", "admins"])
async def test_who_is_in_a_club_is_closed(emulator, people):
    async with connect(emulator) as api:
        reply = await api.get(f"/clubs/{emulator.world().profile['clubs'][0]['id']}/{people}")
    assert reply.status_code == 401
    assert reply.json()["errors"] == [{"resource": "Application", "field": "internal", "code": "invalid"}]


async def test_the_activities_of_a_club_are_a_path_no_more(emulator):
    async with connect(emulator) as api:
        reply = await api.get(f"/clubs/{emulator.world().profile['clubs'][0]['id']}/activities")
    assert reply.status_code == 404
    assert reply.json()["errors"] == [{"resource": "resource", "field": "path", "code": "invalid"}]


@pytest.mark.parametrize("number", ["0", "1", "-1", "x", "1.0", "9" * 40, "%00", "٣", "{}"])
@pytest.mark.parametrize("below", ["", "/group_events"])
async def test_a_club_that_does_not_exist_is_a_404(emulator, number, below):
    async with connect(emulator) as api:
        reply = await api.get(f"/clubs/{number}{below}")
    assert (reply.status_code, reply.json()) == (404, missing("Club"))
