"""What the emulator answers reads with stravalib too, whose models know less than Strava sends but are strict."""

import functools
import io
import logging
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import httpx
import pytest
import requests
import stravalib
from requests.adapters import BaseAdapter

from strava_async.testing import Emulator, FakeClock, MeterLimits

pytestmark = pytest.mark.filterwarnings(
    'ignore:The "(explore_segments|activity_type)":FutureWarning', 'ignore:The "activity_type":DeprecationWarning'
)

ROOMY = MeterLimits(100_000, 100_000, 100_000, 100_000)
TRACK = b"".join(
    b'<trkpt lat="47.%04d" lon="8.5"><time>2026-01-05T11:%02d:%02dZ</time></trkpt>' % (n, n // 6, 10 * (n % 6))
    for n in range(60)
)
GPX = b'<gpx xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>' + TRACK + b"</trkseg></trk></gpx>"


class InProcess(BaseAdapter):
    """Carries what requests sends to an application in the process."""

    def __init__(self, emulator: Emulator) -> None:
        super().__init__()
        self.app = emulator.app

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        async def ask() -> httpx.Response:
            headers = {**request.headers, "Accept-Encoding": "identity"}
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app)) as http:
                return await http.request(
                    request.method or "", request.url or "", content=request.body, headers=headers
                )

        reply, answer = anyio.run(ask), requests.Response()
        answer.status_code, answer.reason, answer.url = reply.status_code, reply.reason_phrase, request.url or ""
        answer.headers.update(reply.headers)
        answer.raw = io.BytesIO(reply.content)
        return answer

    def close(self) -> None:
        pass


def client_of(emulator: Emulator) -> stravalib.Client:
    session = requests.Session()
    session.mount("https://", InProcess(emulator))
    return stravalib.Client(emulator.grant()["access_token"], requests_session=session, rate_limit_requests=False)


@functools.cache
def emulator() -> Emulator:
    return Emulator(clock=FakeClock(), years=0.5, limits=ROOMY)


@functools.cache
def client() -> stravalib.Client:
    return client_of(emulator())


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail where stravalib warns that it does not know a value; the one sport that is newer than all lists is meant."""
    yield
    warned = [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.WARNING]
    assert [text for text in warned if not any(word in text for word in ("Snowkiting", "STRAVA_CLIENT_ID"))] == []


def some_activities() -> list[int]:
    """Return an activity of each sport, one entered by hand and one with photos."""
    chosen: dict[str, int] = {}
    for activity in emulator().world().activities:
        for kind in (activity["sport_type"], f"manual {activity['manual']}", f"{activity['total_photo_count']} photos"):
            chosen[kind] = activity["id"]
    return sorted(set(chosen.values()))


def segment_ids() -> list[int]:
    return list(emulator().world().segments.all())[:8]


def efforts() -> list[int]:
    found = (emulator().world().segment_efforts(activity_id) for activity_id in some_activities())
    return [effort["id"] for some in found for effort in some][:8]


READS: dict[str, Callable[[stravalib.Client], Any]] = {
    "athlete": lambda c: c.get_athlete(),
    "zones": lambda c: c.get_athlete_zones(),
    "stats": lambda c: c.get_athlete_stats(),
    "clubs": lambda c: [c.get_club(club.id or 0) for club in c.get_athlete_clubs()],
    "gear": lambda c: [c.get_gear(gear_id) for gear_id in emulator().world().gear],
    "activities": lambda c: list(c.get_activities()),
    "details": lambda c: [c.get_activity(i) for i in some_activities()],
    "laps": lambda c: [list(c.get_activity_laps(i)) for i in some_activities()],
    "activity zones": lambda c: [c.get_activity_zones(i) for i in some_activities()],
    "comments": lambda c: [list(c.get_activity_comments(i)) for i in some_activities()],
    "kudos": lambda c: [list(c.get_activity_kudos(i)) for i in some_activities()],
    "photos": lambda c: [list(c.get_activity_photos(i)) for i in some_activities()],
    "streams": lambda c: [c.get_activity_streams(i, types=["distance"]) for i in tracked()[:4]],
    "segments": lambda c: [c.get_segment(i) for i in segment_ids()],
    "starred": lambda c: list(c.get_starred_segments()),
    "explored": lambda c: c.explore_segments((-90, -180, 90, 180), activity_type="running"),
    "efforts": lambda c: [list(c.get_segment_efforts(i)) for i in segment_ids()[:4]],
    "one effort": lambda c: [c.get_segment_effort(i) for i in efforts()],
    "effort streams": lambda c: [c.get_effort_streams(i) for i in efforts()[:2]],
    "segment streams": lambda c: [c.get_segment_streams(i) for i in segment_ids()],
    "routes": lambda c: [c.get_route(route.id or 0) for route in c.get_routes()],
    "route streams": lambda c: [c.get_route_streams(i) for i in emulator().world().routes],
}


def tracked() -> list[int]:
    world = emulator().world()
    return [i for i in some_activities() if "distance" in (world.streams(i) or {})]


@pytest.mark.parametrize("what", READS)
def test_everything_of_the_default_athlete_can_be_read(what: str) -> None:
    found = READS[what](client())
    assert found is not None
    assert found != []


def test_an_activity_may_be_made_changed_and_uploaded() -> None:
    own = Emulator(clock=FakeClock(), years=0.1, limits=ROOMY, upload_seconds=0.0)
    writer = client_of(own)
    made = writer.create_activity(
        name="Made", start_date_local="2026-01-05T10:00:00Z", elapsed_time=60, activity_type="run"
    )
    assert (made.sport_type, made.type) == ("Run", "Run")
    changed = writer.update_activity(made.id or 0, name="Changed", sport_type="TrailRun", commute=True)
    assert (changed.name, changed.sport_type, changed.commute) == ("Changed", "TrailRun", True)
    uploader = writer.upload_activity(io.BytesIO(GPX), data_type="gpx", activity_type="hike")
    uploader.poll()
    assert writer.get_activity(uploader.activity_id or 0).sport_type == "Hike"
