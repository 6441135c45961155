"""The example service in this process: pure parts, what processes share, pages through ASGI, and the command."""

import json
import logging
import math
import re
import signal
import stat
import subprocess
import sys
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.fastapi_app import embedded, formats, stream
from examples.fastapi_app.app import create_app, strava_of
from examples.fastapi_app.database import Database
from examples.fastapi_app.drawing import CHART_HEIGHT, MOST_POINTS, SIDE, track, weeks
from examples.fastapi_app.events import Events
from examples.fastapi_app.live import BACKLOG, Live
from examples.fastapi_app.meters import Meters
from examples.fastapi_app.news import KEEP_SECONDS, News
from examples.fastapi_app.rides import MAX_AGE_SECONDS, MAX_ATHLETES, Ride, Rides
from examples.fastapi_app.settings import Settings, SettingsError
from strava_async import (
    AccessInfo,
    Client,
    MemoryTokenStore,
    NotFoundError,
    RetryPolicy,
    ServerError,
    Strava,
    WebhookEvent,
)
from strava_async.models import SummaryActivity, read_one
from strava_async.quota.readings import Meter, Quota
from strava_async.testing import Emulator, FakeClock, Fault, MeterLimits
from strava_async.webhooks import SqliteEventStore
from tests.environment import DEAD_PROXY, clean_environment
from tests.plain_http import NO_TRUST

ROOT = Path(__file__).parent.parent.parent
SITE = "https://localhost"
LARGE = MeterLimits(10_000, 10_000, 10_000, 10_000)

# --- drawing and formats ----------------------------------------------------------------------------------------------

places = st.tuples(
    st.floats(-90, 90, allow_nan=False, allow_infinity=False),
    st.floats(-360, 360, allow_nan=False, allow_infinity=False),
)


@given(st.lists(places, max_size=50))
def test_a_track_of_any_points_is_a_path_inside_its_frame(points):
    drawn = track(points)
    if drawn is None:
        return
    numbers = [float(number) for number in re.split(r"[ML ]", drawn.path) if number]
    assert re.fullmatch(r"M-?[\d.]+ -?[\d.]+(L-?[\d.]+ -?[\d.]+)*", drawn.path)
    assert all(math.isfinite(number) for number in numbers)
    assert 0 <= min(numbers) <= max(numbers[::2]) <= drawn.width + 0.1
    assert max(numbers[1::2]) <= drawn.height + 0.1
    assert max(drawn.width, drawn.height) == pytest.approx(SIDE)


@pytest.mark.parametrize("points", [[], [(47.0, 8.0)], [(47.0, 8.0)] * 5, [(90.0, 0.0), (90.0, 0.0)]])
def test_points_in_one_place_are_no_track(points):
    assert track(points) is None


def test_north_is_up_and_east_is_right():
    drawn = track([(47.0, 8.0), (47.1, 8.0), (47.1, 8.1)])
    assert drawn is not None
    assert drawn.start[1] > drawn.end[1]
    assert drawn.start[0] < drawn.end[0]


def test_degrees_of_longitude_are_as_narrow_as_they_are_there():
    drawn = track([(60.0, 0.0), (60.0, 2.0), (61.0, 2.0)])
    assert drawn is not None
    assert drawn.width / drawn.height == pytest.approx(2 * math.cos(math.radians(60.5)), rel=1e-3)


def test_a_track_over_the_date_line_is_not_torn():
    drawn = track([(0.0, 179.9), (0.1, -179.9)])
    assert drawn is not None
    assert drawn.width / drawn.height == pytest.approx(2, rel=1e-2)


def test_a_long_track_is_thinned_and_keeps_its_ends():
    drawn = track([(n / 10_000, math.sin(n / 500)) for n in range(10_000)])
    assert drawn is not None
    assert drawn.path.count("L") <= MOST_POINTS
    assert (drawn.start[1], drawn.end[1]) == (drawn.height, 0.0)


def test_weeks_begin_on_monday_and_end_with_the_present_one():
    sunday = date(2026, 11, 22)
    bars = weeks([(sunday, 1_000.0), (sunday + timedelta(days=1), 500.0), (sunday - timedelta(weeks=30), 9.0)], sunday)
    assert [(bar.metres, bar.count) for bar in bars] == [(0.0, 0)] * 11 + [(1_000.0, 1)]
    assert (bars[0].monday, bars[-1].monday) == (date(2026, 8, 31), date(2026, 11, 16))
    following = weeks([(sunday, 1_000.0)], sunday + timedelta(days=1))
    assert [bar.metres for bar in following[-2:]] == [1_000.0, 0.0]


@given(st.lists(st.tuples(st.dates(date(2026, 1, 1), date(2026, 12, 31)), st.floats(0, 1e9))))
def test_the_longest_week_has_the_highest_bar_and_no_bar_leaves_the_chart(distances):
    bars = weeks(distances, date(2026, 12, 31))
    assert all(0 <= bar.height <= CHART_HEIGHT and bar.y + bar.height == pytest.approx(CHART_HEIGHT) for bar in bars)
    assert max(bar.height for bar in bars) in (0.0, CHART_HEIGHT)


def test_numbers_are_formatted_for_people():
    assert [formats.distance(metres) for metres in (0, 750, 999.4, 10_373)] == ["0.0 km", "750 m", "999 m", "10.4 km"]
    told = [formats.duration(seconds) for seconds in (7, 431, 3_187, 6_544)]
    assert told == ["7 s", "7 min 11 s", "53 min", "1 h 49 min"]
    assert [formats.words(name) for name in ("Run", "WeightTraining")] == ["Run", "Weight Training"]


def test_settings_do_not_show_their_secrets_and_say_what_is_missing():
    application = {"STRAVA_CLIENT_ID": "5", "STRAVA_CLIENT_SECRET": "hidden!"}
    settings = Settings.read({**application, "STRAVA_TOKEN_KEY": "hidden?"})
    assert "hidden" not in repr(settings)
    assert settings.verify_token not in ("", *repr(settings).split("'"))
    with pytest.raises(SettingsError, match="STRAVA_CLIENT_SECRET"):
        Settings.read({"STRAVA_CLIENT_ID": "5"})


@pytest.mark.asyncio
async def test_events_come_to_a_path_that_can_be_chosen_and_is_shown_nowhere(tmp_path):
    application = {"STRAVA_CLIENT_ID": "5", "STRAVA_CLIENT_SECRET": "x"}
    settings = Settings.read({**application, "STRAVA_WEBHOOK_PATH": "/9f3", "DATA_DIR": str(tmp_path)})
    assert "9f3" not in repr(settings)
    app = create_app(settings)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=SITE) as browser:
        found = {path: (await browser.get(f"/strava{path}")).status_code for path in ("/9f3", "/webhook")}
    assert found == {"/9f3": 400, "/webhook": 404}


@pytest.mark.asyncio
async def test_offline_athletes_come_back_to_the_name_that_they_began_under(tmp_path):
    async with (
        embedded.running(Emulator(years=0.1), tmp_path) as service,
        httpx.AsyncClient(verify=NO_TRUST, trust_env=False) as browser,
    ):
        for host in ("localhost", "127.0.0.1"):  # the cookie of the question is with the one or the other
            site = service.url.replace("127.0.0.1", host)
            page = httpx.URL((await browser.get(f"{site}/strava/connect")).headers["location"])
            assert page.params["redirect_uri"] == f"{site}/strava/callback"


@pytest.mark.asyncio
async def test_a_change_of_an_activity_that_strava_does_not_know_is_for_the_router_to_see(tmp_path, emulator):
    async with service(emulator, tmp_path) as s:
        await s.connect()
        events = Events(s.strava, s.tally.news, s.tally.rides, s.tally.live)
        for aspect in ("create", "update"):
            with pytest.raises(NotFoundError):
                await events.on_event(WebhookEvent("activity", 5, aspect, emulator.athlete_ids[0], 1, 1))
        await events.on_event(WebhookEvent("activity", 5, "delete", emulator.athlete_ids[0], 1, 1))
        assert [item.ride for item in await s.tally.news.after(0)] == [None]


# --- what is shown of an activity -------------------------------------------------------------------------------------


def ride(**values):
    return Ride.of(read_one(SummaryActivity, json.dumps({"id": 7, **values}).encode()))


def test_a_ride_stands_whatever_strava_leaves_out_or_distorts():
    assert ride() == Ride(
        id=7, name="Untitled", sport="Activity", began=None, distance=0, moving_time=0, climb=0,
        device=None, private=False, track=None,
    )  # fmt: skip
    odd = ride(name=["x"], distance="far", moving_time=None, start_date_local="yesterday", map="none", sport_type=3)
    assert (odd.name, odd.distance, odd.began, odd.track) == ("Untitled", 0, None, None)


def test_garmin_is_named_also_where_a_list_does_not_say():
    assert ride(external_id="garmin_ping_1").device == "Garmin"
    assert ride(external_id="garmin_ping_1", device_name="Garmin Edge 840").device == "Garmin Edge 840"
    assert ride(external_id="wahoo").device is None


# --- the cache of dashboards ------------------------------------------------------------------------------------------


@dataclass
class World:
    emulator: Emulator
    clock: FakeClock
    strava: Strava
    rides: Rides

    @property
    def client(self) -> Client:
        return self.strava.client(self.emulator.athlete_ids[0])

    async def answer(self):
        """Let time go by until Strava has answered."""
        await anyio.wait_all_tasks_blocked()
        while self.clock.sleeping:
            self.clock.advance(1)
            await anyio.wait_all_tasks_blocked()

    def lists(self):
        return self.emulator.count("GET", "/athlete/activities")


@asynccontextmanager
async def world(**options):
    clock = FakeClock()
    emulator = Emulator(clock=clock, years=0.5, limits=LARGE, **options)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(emulator.app)) as http_client:
        store, retry = MemoryTokenStore(), RetryPolicy(max_attempts=1)
        for athlete_id in emulator.athlete_ids:
            await store.save(athlete_id, AccessInfo(emulator.grant(athlete_id, expires_in=10**6)).token_set())
        credentials = emulator.client_id, emulator.client_secret

        async def newest():
            return 0

        async with Strava(*credentials, token_store=store, http_client=http_client, clock=clock, retry=retry) as strava:
            yield World(emulator, clock, strava, Rides(clock, newest))


@pytest.mark.anyio
async def test_a_hundred_requests_at_a_time_ask_strava_once():
    async with world() as w, anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(w.rides.of, w.client)
    assert w.lists() == 1


@pytest.mark.anyio
async def test_a_dashboard_is_kept_for_three_minutes():
    async with world() as w:
        first = await w.rides.of(w.client)
        w.clock.advance(MAX_AGE_SECONDS - 1)
        assert await w.rides.of(w.client) is first
        w.clock.advance(1)
        assert await w.rides.of(w.client) is not first


@pytest.mark.anyio
async def test_news_drops_a_dashboard_even_one_that_is_being_asked_for():
    async with world(latency_seconds=1.0) as w:
        for _ in range(2):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(w.rides.of, w.client)
                await anyio.wait_all_tasks_blocked()
                w.rides.drop(w.emulator.athlete_ids[0])
                await w.answer()
    assert w.lists() == 2


@pytest.mark.anyio
async def test_those_who_wait_for_what_fails_share_the_failure_and_the_next_tries_again():
    async with world() as w:
        w.emulator.faults.add(Fault.server_error(), path="/athlete/activities")
        errors = []

        async def ask():
            try:
                await w.rides.of(w.client)
            except ServerError as error:
                errors.append(error)

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(ask)
        assert (len(errors), w.lists()) == (10, 1)
        await w.rides.of(w.client)


@pytest.mark.anyio
async def test_who_waits_for_a_caller_that_is_cancelled_asks_instead():
    async with world(latency_seconds=1.0) as w, anyio.create_task_group() as tasks:
        async with anyio.create_task_group() as first:
            first.start_soon(w.rides.of, w.client)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(w.rides.of, w.client)
            await anyio.wait_all_tasks_blocked()
            first.cancel_scope.cancel()
        await w.answer()
        assert await w.rides.of(w.client)
    assert [served.status_code for served in w.emulator.requests if "activities" in served.path] == [200]


@pytest.mark.anyio
async def test_the_cache_has_a_bound():
    async with world() as w:
        dashboard = await w.rides.of(w.client)
        for athlete_id in range(1, MAX_ATHLETES):
            w.rides._entry(athlete_id)
        assert await w.rides.of(w.client) is dashboard
        w.rides._entry(MAX_ATHLETES)
        w.rides._entry(MAX_ATHLETES + 1)
        assert len(w.rides._entries) == MAX_ATHLETES


@pytest.mark.anyio
async def test_a_dashboard_shows_the_newest_twenty_and_counts_all():
    async with world() as w:
        dashboard = await w.rides.of(w.client)
        activities = w.emulator.world().activities[::-1]
        assert [ride.id for ride in dashboard.rides] == [activity["id"] for activity in activities[:20]]
        first = dashboard.weeks[0].monday.isoformat()
        counted = [activity for activity in activities if activity["start_date_local"] >= first]
        assert sum(week.count for week in dashboard.weeks) == len(counted)


# --- news, meters and live pages --------------------------------------------------------------------------------------

RIDE = ride(name="Morning Run")


@dataclass
class Process:
    """One of several processes with the same file."""

    database: Database
    news: News
    meters: Meters
    live: Live
    strava: Strava
    rides: Rides


@asynccontextmanager
async def processes(folder, count=2):
    clock = FakeClock()
    database = Database(folder / "news.sqlite")
    await database.create()
    found = []
    for _ in range(count):
        strava = Strava(1, "secret", clock=clock)
        news, meters = News(database, clock), Meters(database, clock)
        rides = Rides(clock, news.newest)
        live = Live(strava, news, meters, rides)
        await live.look()
        found.append(Process(database, news, meters, live, strava, rides))
    yield clock, found
    for process in found:
        await process.strava.aclose()


@pytest.mark.anyio
async def test_an_event_that_two_processes_handle_is_news_once(tmp_path):
    async with processes(tmp_path) as (_, (one, other)):
        assert await one.news.add("key", 1, 7, RIDE)
        assert not await other.news.add("key", 1, 7, RIDE)
        assert [(item.id, item.ride) for item in await other.news.after(0)] == [(1, RIDE)]


@pytest.mark.anyio
async def test_news_of_one_process_reaches_the_pages_of_the_other_and_of_that_athlete_alone(tmp_path):
    async with processes(tmp_path) as (_, (one, other)):
        with other.live.page(1) as page, other.live.page(2) as foreign:
            await one.news.add("key", 1, 7, RIDE)
            await other.live.look()
            await other.live.look()
            assert (await page.receive()).ride == RIDE
            assert page.statistics().current_buffer_used == 0
            assert foreign.statistics().current_buffer_used == 0


@pytest.mark.anyio
async def test_what_an_athlete_leaves_behind_is_deleted(tmp_path):
    async with processes(tmp_path) as (_, (one, other)):
        await one.news.add("theirs", 1, 7, RIDE)
        await one.news.add("another's", 2, 8, RIDE)
        await other.news.forget(1)
        assert [item.athlete_id for item in await one.news.after(0)] == [2]
        assert await one.news.newest() == 2


@pytest.mark.anyio
async def test_news_of_a_deleted_activity_is_deleted(tmp_path):
    async with processes(tmp_path) as (_, (one, _other)):
        await one.news.add("created", 1, 7, RIDE)
        await one.news.add("deleted", 1, 7, None)
        assert [item.ride for item in await one.news.after(0)] == [None, None]
    assert b"Morning Run" not in (tmp_path / "news.sqlite").read_bytes()


@pytest.mark.anyio
async def test_news_of_an_hour_ago_is_deleted_and_a_page_from_before_is_told_so(tmp_path):
    async with processes(tmp_path) as (clock, (one, _)):
        await one.news.add("first", 1, 7, RIDE)
        await one.news.add("second", 1, 7, RIDE)
        assert [await one.news.covers(since) for since in (0, 1, 2, 3)] == [True, True, True, False]
        clock.advance(KEEP_SECONDS + 1)
        await one.news.add("third", 1, 7, RIDE)
        await one.news.forget_old()
        assert [item.id for item in await one.news.after(0)] == [3]
        assert [await one.news.covers(since) for since in (1, 2, 3)] == [False, True, True]


@pytest.mark.anyio
async def test_a_page_that_takes_nothing_is_let_go_and_holds_up_no_other(tmp_path):
    async with processes(tmp_path, 1) as (_, (one,)):
        with one.live.page(1) as slow, one.live.page(1) as quick:
            for n in range(BACKLOG + 1):
                await one.news.add(f"{n}", 1, 7, RIDE)
                await one.live.look()
                await quick.receive()
            assert [item.id async for item in slow] == list(range(1, BACKLOG + 1))


@pytest.mark.anyio
async def test_pages_end_when_the_server_stops(tmp_path):
    async with processes(tmp_path, 1) as (_, (one,)):
        with one.live.page(1) as before:
            one.live.stop()
            with one.live.page(1) as after, pytest.raises(anyio.EndOfStream):
                await after.receive()
            with pytest.raises(anyio.EndOfStream):
                await before.receive()


@pytest.mark.anyio
async def test_the_looking_goes_on_after_trouble_with_the_file(tmp_path, caplog):
    async with processes(tmp_path, 1) as (clock, (one,)):
        with one.live.page(1) as page:
            (tmp_path / "news.sqlite").rename(tmp_path / "away")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(one.live.run)
                while not clock.sleeping:
                    await anyio.lowlevel.checkpoint()
                (tmp_path / "news.sqlite").unlink()
                (tmp_path / "away").rename(tmp_path / "news.sqlite")
                await one.news.add("key", 1, 7, RIDE)
                clock.advance(1)
                assert (await page.receive()).ride == RIDE
                tasks.cancel_scope.cancel()
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def quota(usage, resets_at):
    meter = Meter(100, usage, 0, resets_at)
    return Quota(meter, meter, Meter(None, None, 0, resets_at), meter)


@pytest.mark.anyio
async def test_the_highest_count_of_the_latest_window_is_what_all_processes_show(tmp_path):
    async with processes(tmp_path) as (clock, (one, other)):
        end = clock.time() + 900
        await one.meters.tell(quota(40, end))
        await other.meters.tell(quota(30, end))
        gauges = await one.meters.read()
        assert [(gauge.name, gauge.usage) for gauge in gauges] == [
            (name, 40) for name in ("read_15min", "read_day", "overall_day")
        ]
        await other.meters.tell(quota(2, end + 900))
        assert {gauge.usage for gauge in await one.meters.read()} == {2}
        clock.advance(1801)
        assert await one.meters.read() == ()


@pytest.mark.anyio
async def test_the_file_is_for_its_user_alone(tmp_path):
    async with processes(tmp_path):
        assert stat.S_IMODE((tmp_path / "news.sqlite").stat().st_mode) == 0o600


# --- the service through ASGI; on asyncio, as under uvicorn -----------------------------------------------------------


class Door:
    """Where Strava reaches the service; the service comes later than Strava."""

    app = None

    async def __call__(self, scope, receive, send):
        await self.app(scope, receive, send)


@dataclass
class Service:
    emulator: Emulator
    strava: Strava
    tally: object
    browser: httpx.AsyncClient
    settings: Settings

    async def connect(self, **decision):
        page = (await self.browser.get("/strava/connect")).headers["location"]
        return await self.browser.get(await self.emulator.approve(page, **decision))

    async def home(self):
        return await self.browser.get("/", headers={"Accept": "text/html"})

    async def follow(self, since=0):
        """Yield the messages to a page, without a server: httpx's transport would wait for their end."""
        client = self.strava.client(self.emulator.athlete_ids[0])
        with self.tally.live.page(client.athlete_id) as arriving:
            async with aclosing(stream.live(arriving, self.tally, self.strava, client, since)) as told:
                async for event in told:
                    yield event


@asynccontextmanager
async def service(emulator, folder, door=None, record=None):
    settings = Settings(str(emulator.client_id), emulator.client_secret, data_dir=folder, public_url=SITE)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(emulator.app)) as http_client:
        # No jitter, no backoff: the clock stands still, and a request of a person's is tried twice.
        options = {"retry": RetryPolicy(max_attempts=1), "random": lambda: 0.0}
        strava = strava_of(settings, http_client=http_client, clock=emulator.clock, **options)
        app = create_app(settings, strava=strava, record=record)
        async with app.router.lifespan_context(app) as state:

            async def with_state(scope, receive, send):
                await app({**scope, "state": dict(state)}, receive, send)

            if door is not None:
                door.app = with_state
            transport = httpx.ASGITransport(with_state)
            async with httpx.AsyncClient(transport=transport, base_url=SITE) as browser:
                yield Service(emulator, strava, state["tally"], browser, settings)


@pytest.fixture
def emulator():
    return Emulator(clock=FakeClock(), years=0.5)


@pytest.fixture
def activity(emulator):
    return emulator.world().activities[-1]


@pytest.mark.asyncio
async def test_a_stranger_sees_the_button_and_nothing_else(emulator, tmp_path):
    async with service(emulator, tmp_path) as s:
        page = await s.home()
        assert page.status_code == 200
        assert 'href="/strava/connect"' in page.text
        assert (await s.browser.get("/live?since=0")).status_code == 401
    assert emulator.count() == 0


@pytest.mark.asyncio
@pytest.mark.parametrize(("days", "named"), [(0, "this week"), (7, "last week"), (70, "in the week of 5 January")])
async def test_a_dashboard_opens_with_a_week_that_is_not_empty(tmp_path, days, named):
    clock = FakeClock()  # on a Tuesday
    emulator = Emulator(clock=clock, years=0.5)
    emulator.record_activity(sport_type="Run")
    clock.advance(days * 86_400)
    async with service(emulator, tmp_path) as s:
        await s.connect()
        shown = re.search(r"<strong>([\d.]+) km</strong> (.*)\n", (await s.home()).text)
    assert float(shown[1]) > 0
    assert shown[2] == named


def test_who_asks_strava_itself_is_distinguished():
    urls = (
        (None, "https://www.strava.com/api/v3", "https://api-v3.strava.com"),
        ("http://127.0.0.1:1", "https://strava.test"),
    )
    for here, are in zip(urls, (True, False), strict=True):
        assert {Settings("1", "s", api_url=url).at_strava for url in here} == {are}
        assert {Settings("1", "s", oauth_url=url).at_strava for url in here} == {are}


@pytest.mark.asyncio
async def test_who_is_not_signed_in_is_not_asked_whether_to_disconnect(emulator, tmp_path):
    async with service(emulator, tmp_path) as s:
        assert (await s.browser.get("/disconnect")).headers["location"] == "/"
        await s.connect()
        page = await s.browser.get("/disconnect")
        assert (page.status_code, "Disconnect from Strava?" in page.text) == (200, True)
    assert emulator.count("POST", "/oauth/revoke") == 0


@pytest.mark.asyncio
async def test_a_page_costs_one_read_and_the_next_none(emulator, tmp_path, activity):
    async with service(emulator, tmp_path) as s:
        assert (await s.connect()).status_code == 303
        for _ in range(3):
            page = await s.home()
            assert page.status_code == 200
            assert f"https://www.strava.com/activities/{activity['id']}" in page.text
    assert emulator.count("GET") - emulator.count("GET", "/oauth/*") == 1


@pytest.mark.asyncio
async def test_no_page_runs_or_loads_what_is_not_ours_nor_is_kept(emulator, tmp_path):
    async with service(emulator, tmp_path) as s:
        await s.connect()
        page = await s.home()
        for name in ("/static/tally.css", "/static/tally.js", "/static/mark.svg"):
            assert (await s.browser.get(name)).status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"
    assert not re.search(r"\sstyle=|\son\w+=|<style|<script>|javascript:", page.text)
    assert re.findall(r'(?:src|href)="(?!/|https://www\.strava\.com/activities/\d)', page.text) == []


HOSTILE = """\ud83d</h2><script>alert(1)</script>"'><img src=x onerror=alert(1)>{{ 7*7 }}\u202e"""


@pytest.mark.asyncio
async def test_the_name_of_an_activity_is_text_whatever_it_says(emulator, tmp_path, activity):
    emulator.edit_activity(activity["id"], name=HOSTILE)
    async with service(emulator, tmp_path) as s:
        await s.connect()
        page = (await s.home()).text
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "{{ 7*7 }}" in page


@pytest.mark.asyncio
async def test_who_has_no_activities_is_told_what_will_happen(emulator, tmp_path):
    emulator.world().activities.clear()
    emulator.refresh()
    async with service(emulator, tmp_path) as s:
        await s.connect()
        page = await s.home()
    assert page.status_code == 200
    assert "<li " not in page.text
    assert "Nothing here yet" in page.text


@pytest.mark.asyncio
async def test_private_activities_and_those_without_a_track_are_marked(emulator, tmp_path):
    emulator.record_activity(sport_type="WeightTraining", private=True)
    async with service(emulator, tmp_path) as s:
        await s.connect()
        first = (await s.home()).text.split("<li ")[1]
    assert "Only you" in first
    assert "No track" in first


@pytest.mark.asyncio
async def test_a_spent_quota_is_a_503_that_says_when_and_tries_again(emulator, tmp_path):
    emulator.spend(100)
    async with service(emulator, tmp_path) as s:
        await s.connect()
        page = await s.home()
        again = await s.home()
    assert (page.status_code, again.status_code) == (503, 503)
    seconds = int(again.headers["retry-after"])
    assert 0 < seconds <= 900 + 60
    assert f'<meta http-equiv="refresh" content="{seconds}">' in again.text
    assert emulator.count("GET", "/athlete/activities") == 1


@pytest.mark.asyncio
async def test_strava_being_down_is_a_502_that_tries_again_and_a_program_gets_json(emulator, tmp_path):
    async with service(emulator, tmp_path) as s:
        await s.connect()
        emulator.faults.add(Fault.server_error(), path="/athlete/activities", times=4)
        page, program = await s.home(), await s.browser.get("/", headers={"Accept": "application/json"})
        assert (await s.home()).status_code == 200
    assert page.status_code == program.status_code == 502
    assert "Strava cannot be reached" in page.text
    assert 'http-equiv="refresh"' in page.text
    assert program.headers["content-type"] == "application/problem+json"


@pytest.mark.asyncio
async def test_a_grant_that_died_leads_back_to_the_button(emulator, tmp_path):
    async with service(emulator, tmp_path) as s:
        await s.connect()
        emulator.disconnect()
        page = await s.home()
    assert page.status_code == 401
    assert "Connect with Strava" in page.text


@pytest.mark.asyncio
async def test_what_a_process_remembers_is_not_shown_after_disconnecting_in_another(emulator, tmp_path):
    async with service(emulator, tmp_path) as one, service(emulator, tmp_path) as other:
        await one.connect()
        other.browser.cookies = one.browser.cookies
        assert "Recent activities" in (await other.home()).text
        cookies = httpx.Cookies(other.browser.cookies)
        await one.browser.post("/strava/disconnect")
        other.browser.cookies = cookies
        page = await other.home()
    assert "Recent activities" not in page.text
    assert "Connect with Strava" in page.text


@pytest.mark.asyncio
async def test_there_is_a_page_for_what_is_not_there(emulator, tmp_path):
    async with service(emulator, tmp_path) as s:
        page = await s.browser.get("/nothing<b>")
        assert (page.status_code, "Back to the beginning" in page.text) == (404, True)
        await s.connect()
        assert (await s.browser.post("/record")).status_code == 404


@pytest.mark.asyncio
async def test_secrets_are_in_no_page_cookie_or_log(emulator, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    async with service(emulator, tmp_path) as s:
        back = await s.connect()
        shown = [str(back.headers), (await s.home()).text, (await s.browser.get("/strava/quota")).text]
        tokens = await s.strava.token_store.load(emulator.athlete_ids[0])
        shown += [str(s.settings), str(s.browser.cookies)]
        await s.browser.post("/strava/disconnect")
    # aiosqlite and httpcore are not ours; httpx's own line shows addresses of the test's browser.
    shown += [record.getMessage() for record in caplog.records if record.name.startswith(("strava", "examples"))]
    for secret in (tokens.access_token, tokens.refresh_token, emulator.client_secret, s.settings.verify_token):
        assert not any(secret in text for text in shown)


async def until_handled(taker):
    """Wait until one of the processes has handled all events."""
    store = SqliteEventStore(taker.settings.data_dir / "webhooks.sqlite")
    while (await store.stats()).unfinished:
        await anyio.wait_all_tasks_blocked()


@pytest.mark.asyncio
async def test_an_event_that_one_process_took_appears_on_a_page_of_the_other(tmp_path):
    door = Door()
    emulator = Emulator(clock=FakeClock(), years=0.5, callbacks={SITE: door})
    async with service(emulator, tmp_path) as reader:
        async with service(emulator, tmp_path, door) as taker:
            await taker.connect()
            await taker.strava.webhooks.subscribe(f"{SITE}/strava/webhook", taker.settings.verify_token)
            before = await reader.tally.rides.of(reader.strava.client(emulator.athlete_ids[0]))
            emulator.record_activity(sport_type="Run", name="Around the block")
            emulator.record_activity(sport_type="Run", name="Once more")
            assert await emulator.deliver() == 2
            await until_handled(taker)
        told = reader.follow(before.since)
        assert (await anext(told)).event == "meters"
        names = [re.search('<h2 dir="auto">(.*)</h2>', (await anext(told)).raw_data)[1] for _ in range(2)]
        assert sorted(names) == ["Around the block", "Once more"]
        chart = await anext(told)  # though nobody has looked yet: what is kept is older than the news
        assert chart.event == "weeks"
        assert f"{sum(week.count for week in before.weeks) + 2} activities" in chart.raw_data
        await told.aclose()
        await reader.tally.live.look()
        after = await reader.tally.rides.of(reader.strava.client(emulator.athlete_ids[0]))
        assert sorted(ride.name for ride in after.rides[:2]) == sorted(names)


@pytest.mark.asyncio
async def test_a_deletion_takes_the_card_away_and_a_forged_one_does_not(tmp_path):
    door = Door()
    emulator = Emulator(clock=FakeClock(), years=0.5, callbacks={SITE: door})
    there, gone = (activity["id"] for activity in emulator.world().activities[-2:])
    async with service(emulator, tmp_path) as reader:
        async with service(emulator, tmp_path, door) as taker:
            await taker.connect()
            subscription = await taker.strava.webhooks.subscribe(f"{SITE}/strava/webhook", taker.settings.verify_token)
            forged = {
                "object_type": "activity",
                "object_id": there,
                "aspect_type": "delete",
                "owner_id": emulator.athlete_ids[0],
                "subscription_id": subscription.id,
                "event_time": int(emulator.clock.time()),
                "updates": {},
            }
            emulator.post_event(forged)
            emulator.delete_activity(gone)
            await emulator.deliver()
            await until_handled(taker)
        told = reader.follow()
        await anext(told)
        events = {event.event: event.raw_data for event in [await anext(told), await anext(told)]}
        await told.aclose()
    assert events["gone"] == str(gone)
    assert f"ride-{there}" in events["ride"]


@pytest.mark.asyncio
async def test_who_removes_the_application_at_strava_is_forgotten_and_the_page_loads_again(tmp_path):
    door = Door()
    emulator = Emulator(clock=FakeClock(), years=0.5, callbacks={SITE: door})
    async with service(emulator, tmp_path) as reader:
        async with service(emulator, tmp_path, door) as taker:
            await taker.connect()
            await taker.strava.webhooks.subscribe(f"{SITE}/strava/webhook", taker.settings.verify_token)
            await taker.tally.news.add("before", emulator.athlete_ids[0], 7, RIDE)
            emulator.disconnect()
            assert await emulator.deliver() == 1
            await until_handled(taker)
        assert [event.event async for event in reader.follow()] == ["reload"]
        assert await reader.tally.news.after(0) == []
        assert not await reader.strava.is_connected(emulator.athlete_ids[0])


@pytest.mark.asyncio
async def test_a_page_that_is_older_than_the_news_loads_again(emulator, tmp_path):
    async with service(emulator, tmp_path) as s:
        await s.connect()
        assert [event.event async for event in s.follow(since=99)] == ["reload"]


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_says_what_is_missing():
    environment = clean_environment(STRAVA_CLIENT_ID="5", STRAVA_CLIENT_SECRET="")
    command = [sys.executable, "-m", "examples.fastapi_app"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "STRAVA_CLIENT_SECRET is not set" in ended.stderr


@pytest.mark.asyncio
async def test_the_command_runs_offline_and_stops_at_once_though_a_page_is_open():
    environment = clean_environment(PYTHONWARNINGS="error", **DEAD_PROXY)
    command = [sys.executable, "-m", "examples.fastapi_app", "--port", "0"]
    async with await anyio.open_process(command, env=environment) as process:
        try:
            url = re.search(rb"http://\S+", await process.stdout.receive())[0].decode()
        except anyio.EndOfStream:
            pytest.fail(b"".join([chunk async for chunk in process.stderr]).decode())
        async with httpx.AsyncClient(verify=NO_TRUST, trust_env=False, follow_redirects=True) as browser:
            consent = await browser.get(f"{url}/strava/connect")
            fields = dict(re.findall(r'name="(request_id|athlete_id)" value="([^"]+)"', consent.text))
            athlete = re.search(r'<option value="(\d+)"', consent.text)
            fields |= {"athlete_id": athlete[1]} if athlete else {}
            fields |= {"scope": ["read", "activity:read"], "action": "authorize"}
            board = await browser.post(consent.url, data=fields)
            assert "Recent activities" in board.text
            async with browser.stream("GET", f"{url}/live?since=0") as live:
                chunks = live.aiter_text()
                assert "event: meters" in await anext(chunks)
                process.send_signal(signal.SIGINT)
                assert "reload" not in "".join([chunk async for chunk in chunks])
        errors = b"".join([chunk async for chunk in process.stderr])
    assert (process.returncode, errors) == (0, b"")
