"""What the emulator answers, of each kind that there is a model of."""

import functools
from dataclasses import dataclass
from typing import Any

import anyio
import httpx

from strava_async.models import (
    ActivityStats,
    ActivityZone,
    Comment,
    DetailedActivity,
    DetailedAthlete,
    DetailedClub,
    DetailedGear,
    DetailedSegment,
    DetailedSegmentEffort,
    ExplorerSegments,
    GroupEvent,
    Lap,
    Photo,
    Route,
    StravaModel,
    SummaryActivity,
    SummaryAthlete,
    SummaryClub,
    SummarySegment,
    Upload,
    Zones,
)
from strava_async.models._reading import read_many, read_one
from strava_async.testing import Emulator, FakeClock, MeterLimits, Quirks

_ROOMY = MeterLimits(100_000, 100_000, 100_000, 100_000)


@dataclass(frozen=True)
class Answered:
    """An answer: its path, the model, whether it is a list, and the body."""

    path: str
    kind: type[StravaModel]
    many: bool
    body: bytes

    def read(self, **options: Any) -> list[StravaModel]:
        if self.many:
            return list(read_many(self.kind, self.body, **options))
        return [read_one(self.kind, self.body, **options)]


@functools.cache
def answers() -> list[Answered]:
    return anyio.run(_ask)


async def _ask() -> list[Answered]:
    emulator = Emulator(clock=FakeClock(), years=0.3, limits=_ROOMY, quirks=Quirks(explore_open=True))
    headers = {"Authorization": f"Bearer {emulator.grant()['access_token']}"}
    transport = httpx.ASGITransport(emulator.app)
    async with httpx.AsyncClient(transport=transport, base_url="https://s.invalid/api/v3", headers=headers) as http:
        found: list[Answered] = []

        async def ask(path: str, kind: type[StravaModel], *, many: bool = False) -> Any:
            reply = await http.get(path)
            assert reply.status_code == 200, (path, reply.text)
            found.append(Answered(path, kind, many, reply.content))
            return reply.json()

        athlete = await ask("/athlete", DetailedAthlete)
        await ask("/athlete/zones", Zones)
        await ask(f"/athletes/{athlete['id']}/stats", ActivityStats)
        for gear in [*athlete["bikes"], *athlete["shoes"]]:
            await ask(f"/gear/{gear['id']}", DetailedGear)
        clubs = await ask("/athlete/clubs", SummaryClub, many=True)
        await ask(f"/clubs/{clubs[0]['id']}", DetailedClub)
        await ask(f"/clubs/{clubs[0]['id']}/group_events", GroupEvent, many=True)
        activities = await ask("/athlete/activities?per_page=200", SummaryActivity, many=True)
        efforts: list[Any] = []
        for activity in _one_of_each(activities):
            path = f"/activities/{activity['id']}"
            efforts += (await ask(path, DetailedActivity))["segment_efforts"]
            await ask(f"{path}/laps", Lap, many=True)
            await ask(f"{path}/zones", ActivityZone, many=True)
            await ask(f"{path}/kudos", SummaryAthlete, many=True)
            await ask(f"{path}/comments?page_size=30", Comment, many=True)
            await ask(f"{path}/photos?size=600", Photo, many=True)
        segment_id = efforts[0]["segment"]["id"]
        await ask(f"/segment_efforts/{efforts[0]['id']}", DetailedSegmentEffort)
        await ask(f"/segment_efforts?segment_id={segment_id}", DetailedSegmentEffort, many=True)
        await ask(f"/segments/{segment_id}", DetailedSegment)
        await ask("/segments/starred", SummarySegment, many=True)
        for sport in ("running", "riding"):
            await ask(f"/segments/explore?bounds=-90,-180,90,180&activity_type={sport}", ExplorerSegments)
        routes = await ask(f"/athletes/{athlete['id']}/routes", Route, many=True)
        for route in routes:
            await ask(f"/routes/{route['id']}", Route)
        form = {"data_type": "gpx"}
        sent = await http.post("/uploads", data=form, files={"file": ("a.gpx", b"<gpx>not quite")})
        found.append(Answered("/uploads", Upload, False, sent.content))
        return found


def _one_of_each(activities: list[Any]) -> list[Any]:
    """Return an activity of each sport, one that was entered by hand, and one with photos."""
    by_kind: dict[str, Any] = {}
    for activity in activities:
        by_kind[activity["sport_type"]] = activity
        if activity["manual"]:
            by_kind["manual"] = activity
        if activity["total_photo_count"]:
            by_kind["photos"] = activity
    return list(by_kind.values())
