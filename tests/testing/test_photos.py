"""The emulator's photos of an activity."""

from datetime import datetime, timedelta

import httpx
import pytest

from strava_async.testing import Emulator, FakeClock, MeterLimits
from strava_async.testing.world.routes.polyline import decode

pytestmark = pytest.mark.anyio

EMULATOR = Emulator(clock=FakeClock(), years=1.5, limits=MeterLimits(10**6, 10**6, 10**6, 10**6))
WORLD = EMULATOR.world()
PICTURED = [activity for activity in WORLD.activities if activity["total_photo_count"]]
BARE = next(activity for activity in WORLD.activities if not activity["total_photo_count"])
MOST = max(PICTURED, key=lambda activity: (activity["total_photo_count"], activity["map"]["summary_polyline"] != ""))


def connect(*scope):
    token = (EMULATOR.grant(scope=scope) if scope else EMULATOR.grant())["access_token"]
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(EMULATOR.app),
        base_url="https://www.strava.com/api/v3",
        headers={"Authorization": f"Bearer {token}"},
    )


async def test_there_are_as_many_photos_as_the_activity_counts_and_the_first_is_its_primary():
    async with connect() as api:
        for activity in PICTURED[:12]:
            photos = (await api.get(f"/activities/{activity['id']}/photos?size=600&photo_sources=true")).json()
            summary = (await api.get(f"/activities/{activity['id']}")).json()["photos"]
            assert len(photos) == activity["total_photo_count"] == summary["count"]
            small = (await api.get(f"/activities/{activity['id']}/photos?size=100")).json()
            assert photos[0]["unique_id"] == summary["primary"]["unique_id"]
            assert summary["primary"]["urls"] == photos[0]["urls"] | small[0]["urls"]
            assert [photo["default_photo"] for photo in photos] == [True] + [False] * (len(photos) - 1)
            assert len({photo["unique_id"] for photo in photos}) == len(photos)
            assert set(summary["primary"]["urls"]) == {"100", "600"}


async def test_an_activity_without_photos_has_an_empty_list_and_no_primary():
    async with connect() as api:
        assert (await api.get(f"/activities/{BARE['id']}/photos?size=600")).json() == []
        assert (await api.get(f"/activities/{BARE['id']}")).json()["photos"] == {"primary": None, "count": 0}


async def test_a_photo_belongs_to_its_activity():
    async with connect() as api:
        photos = (await api.get(f"/activities/{MOST['id']}/photos?size=2048")).json()
    begins = datetime.fromisoformat(MOST["start_date"])
    ends = begins + timedelta(seconds=MOST["elapsed_time"])
    track = decode(MOST["map"]["summary_polyline"])
    for photo in photos:
        assert (photo["activity_id"], photo["activity_name"]) == (MOST["id"], MOST["name"])
        assert photo["athlete_id"] == WORLD.athlete_id
        taken = datetime.fromisoformat(photo["created_at"])
        assert begins <= taken <= ends < datetime.fromisoformat(photo["uploaded_at"])
        local = datetime.fromisoformat(photo["created_at_local"])
        assert local - taken == timedelta(seconds=MOST["utc_offset"])
        assert tuple(photo["location"]) in track


@pytest.mark.parametrize(
    ("size", "longest"), [(1, 1), (100, 100), (600, 600), (2048, 2048), (5000, 2048), (10**17, 2048)]
)
async def test_urls_and_sizes_are_keyed_by_the_size_asked_for_and_nothing_is_enlarged(size, longest):
    async with connect() as api:
        photos = (await api.get(f"/activities/{MOST['id']}/photos?size={size}")).json()
    for photo in photos:
        assert set(photo["urls"]) == set(photo["sizes"]) == {str(size)}
        width, height = photo["sizes"][str(size)]
        assert max(width, height) == longest
        assert photo["urls"][str(size)].endswith(f"-{width}x{height}.jpg")


async def test_without_a_size_the_pictures_are_small():
    async with connect() as api:
        photos = (await api.get(f"/activities/{MOST['id']}/photos")).json()
    assert {tuple(photo["urls"]) for photo in photos} == {("100",)}


async def test_the_same_photos_come_in_every_size():
    async with connect() as api:
        small, large = [(await api.get(f"/activities/{MOST['id']}/photos?size={size}")).json() for size in (100, 2048)]
    for photo in (*small, *large):
        del photo["urls"], photo["sizes"]
    assert small == large


async def test_page_is_ignored():
    async with connect() as api:
        first = (await api.get(f"/activities/{MOST['id']}/photos?size=600")).json()
        second = (await api.get(f"/activities/{MOST['id']}/photos?size=600&page=2&per_page=1")).json()
    assert second == first


async def test_a_film_has_a_length_and_a_photo_has_not():
    async with connect() as api:
        found = [
            photo
            for activity in PICTURED
            if activity["total_photo_count"] > 2
            for photo in (await api.get(f"/activities/{activity['id']}/photos?size=600")).json()
        ]
    assert {photo["type"] for photo in found} == {1, 2}
    for photo in found:
        assert ("duration" in photo) == ("video_url" in photo) == (photo["type"] == 2)


async def test_a_new_name_of_the_activity_is_that_of_its_photos():
    async with connect() as api:
        before = (await api.get(f"/activities/{PICTURED[0]['id']}/photos?size=600")).json()
        await api.put(f"/activities/{PICTURED[0]['id']}", json={"name": "Renamed"})
        after = (await api.get(f"/activities/{PICTURED[0]['id']}/photos?size=600")).json()
    assert after == [photo | {"activity_name": "Renamed"} for photo in before]


@pytest.mark.parametrize("size", ["0", "-1", "x", "1e3", "", "9" * 40, "%00"])
async def test_an_odd_size_is_a_400(size):
    async with connect() as api:
        reply = await api.get(f"/activities/{MOST['id']}/photos?size={size}")
    assert (reply.status_code, reply.json()["errors"][0]["field"]) == (400, "size")


async def test_photos_need_the_scope_of_activities():
    async with connect("read") as api:
        reply = await api.get(f"/activities/{MOST['id']}/photos?size=x")
    assert reply.status_code == 401
    assert reply.json()["errors"][0]["field"] == "activity:read_permission"


@pytest.mark.parametrize("number", ["1", "x", "-1", "9" * 40])
async def test_the_photos_of_no_activity_are_a_404(number):
    async with connect() as api:
        reply = await api.get(f"/activities/{number}/photos?size=600")
    assert reply.json() == {
        "message": "Resource Not Found",
        "errors": [{"resource": "Activity", "field": "", "code": "not found"}],
    }


async def test_a_private_activity_hides_its_photos():
    hidden = next(activity for activity in PICTURED if activity["private"])
    async with connect("activity:read") as api:
        assert (await api.get(f"/activities/{hidden['id']}/photos?size=600")).status_code == 404
    async with connect("activity:read_all") as api:
        assert (await api.get(f"/activities/{hidden['id']}/photos?size=600")).status_code == 200
