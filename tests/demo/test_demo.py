"""The demo: the harvest, its file, what it shows, and what is left when it is stopped."""

import contextlib
import io
import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from rich.console import Console

from strava_async._http.asgi import asgi_client
from strava_async.demo.display import LiveScreen, panel
from strava_async.demo.failures import AGAIN, IN_A_ROW, Failure
from strava_async.demo.frame import Frame, Observer, Outcome, Traffic, Waiting, fitted, plural, results, span
from strava_async.demo.harvest import CALLERS, Kind, Progress, harvest
from strava_async.demo.plain import PlainScreen
from strava_async.demo.run import Settings, main
from strava_async.demo.store import APPLICATION_ID, SqliteStore, StoreError, open_store
from strava_async.errors import ForbiddenError, ServerError, StravaError, UnauthorizedError
from strava_async.limiter.local import RateLimiter
from strava_async.limiter.unlimited import Unlimited
from strava_async.protocol import ApiV3
from strava_async.quota.readings import Meter, Quota
from strava_async.quota.values import QuotaClass
from strava_async.request.options import RetryPolicy
from strava_async.testing import Emulator, FakeClock, Fault, MeterLimits

ROOT = Path(__file__).parent.parent.parent
DETAIL = "/activities/*"
ONE = RetryPolicy(max_attempts=1)
STORED = ("activities", "details", "streams", "no_streams")


class Job:
    """One process's harvest after the other, against one Strava."""

    def __init__(self, path, *, limits=None, years=0.1):
        self.path = path
        self.clock = FakeClock()
        self.strava = Emulator(clock=self.clock, limits=limits, years=years)
        self.athlete_id = self.strava.athlete_ids[0]
        self.manual = self.add_manual()

    def add_manual(self):
        fields = {
            "name": "Gym",
            "sport_type": "Workout",
            "start_date_local": "2026-01-06T00:00:00Z",
            "elapsed_time": 60,
        }
        self.strava.world().add_manual(fields, activity_id=90_000_000_000, now=self.clock.time())
        self.strava.refresh()
        return 90_000_000_000

    async def run(self, newest=10, *, retry=RetryPolicy(), callers=CALLERS):
        progress, failed = Progress(), None
        limiter = RateLimiter(clock=self.clock)
        token = self.strava.grant()["access_token"]
        async with (
            open_store(self.path, self.clock) as store,
            asgi_client(self.strava.app, "https://www.strava.com") as http_client,
            self.clock.autojump(),
        ):
            api = ApiV3(token, http_client, limiter, retry=retry)
            now = self.clock.time()
            try:
                await harvest(
                    api,
                    store,
                    self.athlete_id,
                    before=now,
                    newest=newest,
                    progress=progress,
                    callers=callers,
                    notes=store,
                )
            except StravaError as error:
                failed = error
        if failed is not None:
            raise failed
        return progress


def rows(path, query):
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute(query).fetchall()


@pytest.mark.anyio
async def test_everything_asked_for_is_stored_with_the_time_it_came(tmp_path):
    job = Job(tmp_path / "h.sqlite")
    progress = await job.run(10)
    activities = job.strava.world().activities
    assert progress.listed == progress.new == len(activities)
    assert rows(job.path, "SELECT id FROM activities ORDER BY start_date") == [(a["id"],) for a in activities]
    newest = [(activity["id"],) for activity in activities[-10:]]
    assert sorted(rows(job.path, "SELECT activity_id FROM details WHERE body IS NOT NULL")) == sorted(newest)
    assert sorted(rows(job.path, "SELECT activity_id FROM streams")) == sorted(newest)
    began = min(served.at for served in job.strava.requests)
    for table in ("activities", "details", "streams"):
        assert rows(job.path, f"SELECT count(*) FROM {table} WHERE fetched_at < {began}") == [(0,)]
    (body,) = rows(job.path, "SELECT body ->> '$.name' FROM details ORDER BY activity_id DESC LIMIT 1")[0]
    assert body == "Gym"


@pytest.mark.anyio
async def test_an_activity_without_streams_is_noted_and_not_asked_about_again(tmp_path):
    job = Job(tmp_path / "h.sqlite")
    progress = await job.run(3)
    assert progress.parts[Kind.STREAMS].empty == 1
    assert rows(job.path, "SELECT activity_id FROM streams WHERE body IS NULL") == [(job.manual,)]
    job.strava.requests.clear()
    again = await job.run(3)
    assert again.parts[Kind.STREAMS].kept == 3
    assert job.strava.count("GET", DETAIL) == 0


@pytest.mark.anyio
async def test_an_indoor_activity_gives_its_streams_by_time(tmp_path):
    job = Job(tmp_path / "h.sqlite", years=0.3)
    activities = job.strava.world().activities[::-1]
    indoor = next(n for n, activity in enumerate(activities) if not activity["manual"] and not activity["distance"])
    await job.run(indoor + 1)
    (body,) = rows(job.path, f"SELECT body FROM streams WHERE activity_id = {activities[indoor]['id']}")[0]
    assert "distance" not in json.loads(body)
    assert json.loads(body)["time"]["data"]


@pytest.mark.anyio
async def test_a_second_harvest_asks_for_the_list_alone(tmp_path):
    job = Job(tmp_path / "h.sqlite")
    await job.run(10)
    job.strava.requests.clear()
    progress = await job.run(10)
    assert progress.new == 0
    assert [part.added for part in progress.parts.values()] == [0, 0]
    assert {served.path for served in job.strava.requests} == {"/api/v3/athlete/activities"}


@pytest.mark.anyio
async def test_a_harvest_that_fails_keeps_what_it_has_and_the_next_goes_on(tmp_path):
    job = Job(tmp_path / "h.sqlite")
    job.strava.faults.add(Fault.server_error(), path=DETAIL, after=25, times=None)
    with pytest.raises(ServerError):
        await job.run(20, retry=ONE, callers=1)
    stored = rows(job.path, "SELECT activity_id FROM details UNION ALL SELECT activity_id FROM streams")
    assert 0 < len(stored) <= 25  # a stream set that there is not takes two requests
    assert job.strava.count("GET", DETAIL) == 25 + IN_A_ROW
    job.strava.faults.clear()
    job.strava.requests.clear()
    progress = await job.run(20)
    assert [part.done for part in progress.parts.values()] == [20, 20]
    assert sum(part.added for part in progress.parts.values()) == 40 - len(stored)
    paths = [served.path for served in job.strava.requests if served.path.startswith("/api/v3/activities/")]
    assert len(set(paths)) == 40 - len(stored)


@pytest.mark.anyio
async def test_an_error_about_all_stops_those_too_who_wait_for_quota(tmp_path):
    job = Job(tmp_path / "h.sqlite", limits=MeterLimits(read_15min=15))
    job.strava.faults.add(Fault.inactive(), path=DETAIL, after=5, times=1)
    with pytest.raises(ForbiddenError, match=r"Inactive|inactive"):
        await job.run(20)
    assert len({served.at // 900 for served in job.strava.requests}) == 1
    assert rows(job.path, "SELECT count(*) FROM failures") == [(0,)]


LOST = {
    "an error of Strava's": Fault.status(500, {"message": "error"}),
    "a page of the edge": Fault.html(),
    "a body cut off": Fault.truncated(),
    "a body of another shape": Fault.status(200, [1, 2]),
    "an empty body": Fault.empty_body(),
    "forbidden": Fault.status(403, {"message": "Forbidden"}),
    "a connection that breaks": Fault.lost(),
}


@pytest.mark.anyio
@pytest.mark.parametrize("fault", LOST.values(), ids=LOST)
async def test_what_one_activity_cannot_give_is_noted_and_the_rest_comes(fault, tmp_path):
    job = Job(tmp_path / "h.sqlite")
    bad = job.strava.world().activities[-3]["id"]
    job.strava.faults.add(fault, path=f"/activities/{bad}", times=None)
    progress = await job.run(4, retry=ONE)
    detail, streams = progress.parts[Kind.DETAIL], progress.parts[Kind.STREAMS]
    assert [(part.done, part.failed, part.missing) for part in (detail, streams)] == [(3, 1, 1), (4, 0, 0)]
    assert [(failure.what, failure.activity_id) for failure in progress.failures] == [("detail", bad)]
    assert progress.missing == 1
    assert rows(job.path, "SELECT kind, activity_id, times FROM failures") == [("detail", bad, 1)]


@pytest.mark.anyio
async def test_what_failed_is_asked_for_again_by_the_next_harvest_after_the_rest(tmp_path):
    job = Job(tmp_path / "h.sqlite")
    bad = job.strava.world().activities[-1]["id"]
    job.strava.faults.add(Fault.server_error(500), path=f"/activities/{bad}", times=2)
    assert (await job.run(3, retry=ONE)).missing == 1
    assert (await job.run(4, retry=ONE)).missing == 1
    assert rows(job.path, "SELECT times FROM failures") == [(2,)]
    job.strava.requests.clear()
    assert (await job.run(5)).missing == 0
    asked = [served.path.removeprefix("/api/v3") for served in job.strava.requests if f"{bad}" in served.path]
    assert asked == [f"/activities/{bad}"]
    assert job.strava.requests[-1].path == f"/api/v3/activities/{bad}"
    assert rows(job.path, "SELECT * FROM failures") == []


@pytest.mark.anyio
async def test_what_fails_for_days_costs_each_harvest_a_few_requests_and_gets_its_turn(tmp_path):
    job = Job(tmp_path / "h.sqlite")
    ids = [activity["id"] for activity in job.strava.world().activities[-20:]]
    for activity_id in ids[::2]:  # not ten in a row
        job.strava.faults.add(Fault.server_error(500), path=f"/activities/{activity_id}", times=None)
    assert (await job.run(20, retry=ONE)).missing == 10
    for _ in range(4):
        job.strava.requests.clear()
        assert (await job.run(20, retry=ONE)).missing == 10
        assert AGAIN <= job.strava.count("GET", DETAIL) < 2 * AGAIN
    assert min(rows(job.path, "SELECT times FROM failures")) >= (2,)
    job.strava.faults.clear()
    assert (await job.run(20)).missing == 0


@pytest.mark.anyio
async def test_a_strava_in_trouble_is_not_asked_for_everything(tmp_path):
    job = Job(tmp_path / "h.sqlite")
    await job.run(1)
    job.strava.faults.add(Fault.server_error(503), path=DETAIL, times=None)
    job.strava.requests.clear()
    with pytest.raises(ServerError):
        await job.run(40, retry=ONE)
    assert IN_A_ROW <= job.strava.count("GET", DETAIL) <= CALLERS
    assert IN_A_ROW <= rows(job.path, "SELECT count(*) FROM failures")[0][0] <= CALLERS
    job.strava.faults.clear()
    assert (await job.run(40)).missing == 0


@pytest.mark.anyio
async def test_an_invalid_grant_is_no_fault_of_an_activity(tmp_path):
    job = Job(tmp_path / "h.sqlite")
    refused = {"message": "Authorization Error", "errors": []}
    job.strava.faults.add(Fault.status(401, refused), path=DETAIL, after=3, times=1)
    with pytest.raises(UnauthorizedError):
        await job.run(5)
    assert rows(job.path, "SELECT * FROM failures") == []


@pytest.mark.anyio
async def test_an_incomplete_entry_of_the_list_is_reported_and_the_rest_comes(tmp_path):
    job = Job(tmp_path / "h.sqlite")
    page = [*job.strava.world().activities[-4:-1], {"id": 7, "start_date": None}, "text"]
    whole = [{**activity, "athlete": {"id": job.athlete_id}} for activity in page[:3]]
    job.strava.faults.add(Fault.status(200, [*whole, *page[3:]]), path="/athlete/activities", times=None)
    progress = await job.run(3)
    assert rows(job.path, "SELECT count(*) FROM activities") == [(3,)]
    assert [(failure.what, failure.activity_id) for failure in progress.failures] == [("summary", 7), ("summary", None)]
    assert (progress.unreadable, progress.missing) == (2, 2)


@pytest.mark.parametrize(
    "changes",
    [{"id": 10**30}, {"id": True}, {"id": -1}, {"athlete": {"id": 10**30}}, {"start_date": "\ud800"}],
    ids=["id beyond 64 bits", "true", "negative", "athlete beyond 64 bits", "half of a surrogate pair"],
)
@pytest.mark.anyio
async def test_an_entry_that_no_file_can_hold_is_reported(changes, tmp_path):
    job = Job(tmp_path / "h.sqlite")
    whole = [{**activity, "athlete": {"id": job.athlete_id}} for activity in job.strava.world().activities[-4:]]
    answer = [*whole[:3], {**whole[3], **changes}]
    fault = Fault.status(200, json.dumps(answer), content_type="application/json")
    job.strava.faults.add(fault, path="/athlete/activities", times=None)
    progress = await job.run(3)
    assert (progress.listed, progress.unreadable) == (4, 1)
    assert rows(job.path, "SELECT count(*) FROM activities") == [(3,)]


@pytest.mark.anyio
async def test_a_reason_that_no_file_can_hold_is_noted_all_the_same(tmp_path):
    job = Job(tmp_path / "h.sqlite")
    bad = job.strava.world().activities[-3]["id"]
    fault = Fault.status(400, json.dumps({"message": "odd \ud800"}), content_type="application/json")
    job.strava.faults.add(fault, path=f"/activities/{bad}", times=None)
    assert (await job.run(5, retry=ONE)).missing == 1
    assert "odd \N{REPLACEMENT CHARACTER}" in rows(job.path, "SELECT reason FROM failures")[0][0]


@pytest.mark.anyio
async def test_a_file_of_the_version_before_is_taken_over(tmp_path):
    path = tmp_path / "h.sqlite"
    async with open_store(path, FakeClock()) as store:
        await store.add(Kind.DETAIL, 1, {"id": 1})
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.executescript("DROP TABLE failures; PRAGMA user_version = 1")
    async with open_store(path, FakeClock()) as store:
        await store.note_failure(Kind.STREAMS, 1, "why")
        await store.note_failure(Kind.STREAMS, 1, "why not")
        await store.note_failure(Kind.STREAMS, 2, "why")
        assert await store.failed(Kind.STREAMS) == [2, 1]
        assert await store.failed(Kind.DETAIL) == []
        assert (await store.counts())["details"] == 1
    assert rows(path, "SELECT times, reason FROM failures WHERE activity_id = 1") == [(2, "why not")]


@pytest.mark.anyio
async def test_a_received_answer_is_saved_whatever_stops_the_harvest():
    strava = Emulator(years=0.1)
    kept = []

    class Stopping:
        async def add_activities(self, activities):
            return len(activities)

        async def newest(self, athlete_id, count):
            return [activity["id"] for activity in strava.world().activities[-count:]]

        async def lacking(self, kind, activity_ids):
            return activity_ids

        async def add(self, kind, activity_id, body):
            scope.cancel()
            await anyio.lowlevel.checkpoint()
            kept.append(activity_id)

    progress = Progress()
    async with asgi_client(strava.app, "https://www.strava.com") as http_client:
        api = ApiV3(strava.grant()["access_token"], http_client)
        with anyio.CancelScope() as scope:
            await harvest(api, Stopping(), 1, before=2e9, newest=5, progress=progress)
    assert scope.cancelled_caught
    assert len(kept) == sum(part.done for part in progress.parts.values()) == 1


@pytest.mark.anyio
async def test_the_next_window_is_waited_for_and_no_429_comes(tmp_path):
    job = Job(tmp_path / "h.sqlite", limits=MeterLimits(read_15min=20, overall_15min=40))
    progress = await job.run(20)
    assert progress.parts[Kind.DETAIL].done == progress.parts[Kind.STREAMS].done == 20
    statuses = [served.status_code for served in job.strava.requests]
    assert 429 not in statuses
    windows = {served.at // 900 for served in job.strava.requests}
    assert len(windows) == -(-len(statuses) // 20)


@pytest.mark.anyio
async def test_what_comes_together_is_written_together_and_counted_once_it_is(tmp_path):
    clock = FakeClock()
    async with open_store(tmp_path / "h.sqlite", clock) as store:
        async with anyio.create_task_group() as tasks:
            for activity_id in range(100):
                tasks.start_soon(store.add, Kind.DETAIL, activity_id, {"id": activity_id})
        assert await store.lacking(Kind.DETAIL, [*range(101)]) == [100]
        assert await store.counts() == {"activities": 0, "details": 100, "streams": 0, "no_streams": 0}


@pytest.mark.anyio
async def test_a_hundred_answers_at_once_take_two_commits(tmp_path):
    statements = []
    async with open_store(tmp_path / "h.sqlite", FakeClock()):
        pass
    with contextlib.closing(
        sqlite3.connect(tmp_path / "h.sqlite", isolation_level=None, check_same_thread=False)
    ) as db:
        db.set_trace_callback(statements.append)
        store = SqliteStore(db, FakeClock())
        async with anyio.create_task_group() as tasks:
            for activity_id in range(100):
                tasks.start_soon(store.add, Kind.DETAIL, activity_id, {})
    assert statements.count("commit") <= 2
    assert sum(statement.startswith("insert") for statement in statements) == 100


@pytest.mark.anyio
async def test_a_caller_who_gives_up_takes_nobody_elses_answer_along(tmp_path):
    async with open_store(tmp_path / "h.sqlite", FakeClock()) as store:
        async with anyio.create_task_group() as tasks, anyio.create_task_group() as doomed:
            for activity_id in range(20):
                group = doomed if activity_id % 2 else tasks
                group.start_soon(store.add, Kind.DETAIL, activity_id, {})
            await anyio.lowlevel.checkpoint()
            doomed.cancel_scope.cancel()
        assert set(await store.lacking(Kind.DETAIL, [*range(20)])) <= {*range(1, 20, 2)}


@pytest.mark.anyio
async def test_a_summary_that_comes_again_replaces_the_old_one(tmp_path):
    activity = {"id": 1, "athlete": {"id": 7}, "start_date": "2026-01-01T00:00:00Z", "name": "Run"}
    async with open_store(tmp_path / "h.sqlite", FakeClock()) as store:
        assert await store.add_activities([activity]) == 1
        assert await store.add_activities([{**activity, "name": "Race"}]) == 0
        assert await store.newest(7, 5) == [1]
        assert await store.newest(8, 5) == []
    assert rows(tmp_path / "h.sqlite", "SELECT body ->> '$.name' FROM activities") == [("Race",)]


def not_sqlite(path):
    path.write_bytes(b"my thesis\n" * 200)


def somebody_elses(path):
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE recipes (id)")


def from_the_future(path):
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.executescript(f"CREATE TABLE a (id); PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 99")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("write", "told"),
    [(not_sqlite, "not a file of"), (somebody_elses, "not a file of"), (from_the_future, "another version")],
)
async def test_a_foreign_file_is_refused_and_left_as_it_is(write, told, tmp_path):
    path = tmp_path / "h.sqlite"
    write(path)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=rf"h\.sqlite .*{told}"):
        async with open_store(path, FakeClock()):
            raise AssertionError
    assert path.read_bytes() == before


@pytest.mark.anyio
async def test_a_place_without_a_file_is_refused(tmp_path):
    with pytest.raises(StoreError, match="cannot be opened"):
        async with open_store(tmp_path / "nowhere" / "h.sqlite", FakeClock()):
            raise AssertionError


def frame(*, waiting=None, renewals=0, details=97, listed=1_202, complete=True, usage=200):
    progress = Progress(listed=listed, new=listed, list_complete=complete)
    for part in progress.parts.values():
        part.wanted, part.added = 200, details
    spent, fresh = Meter(200, usage, 0, 1_780_315_200.0), Meter(None, None, 0, 1_780_358_400.0)
    quota = Quota(read_15min=spent, read_day=fresh, overall_15min=spent, overall_day=fresh)
    return Frame(1_780_314_948.0, 45.0, progress, quota, waiting, Traffic(208, 0, renewals), 12.0)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_the_panel_fits_its_width_and_tells_of_the_wait(width):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(panel(frame(waiting=Waiting("read_15min", 252.0, 50)), width))
    drawn = console.file.getvalue()
    assert max(map(len, drawn.splitlines())) == width
    for text in ("waiting for the next window: 4:12", "97 / 200", "200 / 200", "unknown", "resets 12:00"):
        assert text in drawn


def test_the_live_screen_draws_in_place_and_leaves_the_last_frame():
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    with LiveScreen(console) as screen:
        screen.say("something happened")
        screen.show(frame(details=1))
        screen.show(frame(details=2))
    drawn = console.file.getvalue()
    assert drawn.index("something happened") < drawn.index("1 / 200") < drawn.index("2 / 200")
    assert drawn.endswith("\x1b[?25h")  # the cursor is back


def test_plain_lines_are_written_when_something_changes():
    lines = []
    screen = PlainScreen(lines.append)
    wait = Waiting("read_15min", 252.0, 50)
    for shown in (
        frame(complete=False, details=0),
        frame(details=0),
        frame(details=0),
        frame(),
        frame(waiting=wait),
        frame(waiting=wait),
        frame(),
        frame(details=98),
        frame(details=200),
    ):
        screen.show(shown)
    assert lines == [
        "11:55:48 1,202 activities on the list, 1,202 new",
        "11:55:48 details 97/200, stream sets 97/200, 12 requests/s",
        "11:55:48 read_15min is spent: next window in 4:12, 50 calls waiting",
        "11:55:48 the next window has begun",
        "11:55:48 details 200/200, stream sets 200/200, 12 requests/s",
    ]


@pytest.mark.anyio
async def test_the_observer_sees_who_waits_and_for_how_many_windows(tmp_path):
    clock = FakeClock()
    strava = Emulator(clock=clock, years=0.1, limits=MeterLimits(read_15min=2))
    limiter, progress = RateLimiter(clock=clock), Progress(asking=5)
    observer = Observer(progress, limiter, lambda: Traffic(2, 0, 0), clock=clock, speed=1.0)
    assert observer.frame().waiting is None
    async with asgi_client(strava.app, "https://www.strava.com") as http_client:
        api = ApiV3(strava.grant()["access_token"], http_client, limiter)
        await api.get("/athlete")
        assert observer.frame().waiting is None
        permit = await limiter.acquire()
        assert limiter.blocked(QuotaClass.READ) is not None
        assert observer.frame().waiting is None  # one is under way; it may yet give its permit back
        permit.release()
        await api.get("/athlete")
    waiting = observer.frame().waiting
    assert (waiting.window, waiting.calls, observer.windows) == ("read_15min", 5, 1)
    assert 0 < waiting.seconds <= 900
    assert observer.frame().waiting == waiting
    assert observer.windows == 1


def test_an_observer_of_an_unlimited_harvest_sees_nobody_wait():
    observer = Observer(Progress(asking=5), Unlimited(), lambda: Traffic(0, 0, 0), clock=FakeClock(), speed=1.0)
    assert observer.frame().waiting is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (252.4, "4:12"), (3_599.6, "1:00:00"), (43_449, "12:04:09")]
)
def test_a_span_is_written_as_on_a_watch(seconds, text):
    assert span(seconds) == text


def test_a_noun_goes_with_its_count():
    assert [plural(1, "call"), plural(2_000, "call"), plural(2, "activity", "activities")] == [
        "1 call",
        "2,000 calls",
        "2 activities",
    ]


def test_the_demo_harvests_renews_and_finds_nothing_new_the_second_time(tmp_path):
    path, lines = tmp_path / "demo.sqlite", []
    settings = Settings(path, details=5, speed=10_000.0)  # at that speed the access token ends soon
    assert main(settings, PlainScreen(lines.append)) == 0
    assert any("access token renewed, once for" in line for line in lines)
    assert any(line.split()[:3] == ["stream", "sets", "5"] for line in lines)
    assert "  requests                  " in "\n".join(lines)
    assert all("429s: 0" in line for line in lines if line.startswith("  requests"))
    again = []
    assert main(settings, PlainScreen(again.append)) == 0
    assert [line.split(" new")[0].split()[-1] for line in again if " new" in line and line.startswith("  ")] == [
        "0"
    ] * 3


def test_a_demo_that_lacks_something_says_what_and_exits_with_1(tmp_path):
    bad = []

    def troubled(**options):
        strava = Emulator(**options)
        bad.append(strava.world().activities[-2]["id"])
        strava.faults.add(Fault.status(500, {"message": "error\x1b[2J"}), path=f"/activities/{bad[0]}", times=None)
        return strava

    lines = []
    settings = Settings(tmp_path / "demo.sqlite", details=5, speed=10_000.0)
    assert main(settings, PlainScreen(lines.append), troubled) == 1
    told = lines[next(n for n, line in enumerate(lines) if line.startswith("  missing")) :]
    assert told[0].split()[:2] == ["missing", "1"]
    assert told[1].strip() == f"detail of {bad[0]}: 500 for GET /activities/{bad[0]}: error\N{REPLACEMENT CHARACTER}[2J"
    assert not told[2:]
    assert main(settings, PlainScreen(lines.append)) == 0


def test_failures_beyond_those_listed_are_counted():
    progress = Progress(unreadable=7, failures=[Failure("summary", n, "why") for n in range(7)])
    outcome = Outcome(Path("h.sqlite"), dict.fromkeys(STORED, 0), 0, progress, Traffic(0, 0, 0), 0, 1.0, 1.0)
    shown = results(outcome)[-7:]
    assert shown[0][:2] == ("missing", "7")
    assert [row[2] for row in shown[1:]] == [*(f"summary of {n}: why" for n in range(5)), "and 2 more"]


@pytest.mark.parametrize(
    "name", ["strava-demo.sqlite", "/a-rather-long/name-of-a-folder/and/the-name-of-a-file-in-it.sqlite"]
)
def test_no_name_of_a_file_is_broken_in_two_or_cut_at_80_columns(name):
    outcome = Outcome(Path(name), dict.fromkeys(STORED, 1_200), 7_300_000, Progress(), Traffic(72, 0, 1), 1, 30.0, 1e3)
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    LiveScreen(console).finish(outcome)
    lines = []
    PlainScreen(lines.append).finish(outcome)
    for shown in (console.file.getvalue().splitlines(), lines):
        assert sum(name in line for line in shown) == 1
        assert max(map(len, shown)) <= 80
    farewell = f"Stopped. 1,200 activities, 30 details, 30 stream sets were added to {name}; the same command goes on."
    assert name in fitted(farewell, 80)
    assert max(map(len, fitted(farewell, 80).splitlines())) <= 80


def test_an_error_is_reported_in_a_sentence(tmp_path, capsys):
    path = tmp_path / "demo.sqlite"
    not_sqlite(path)
    assert main(Settings(path), PlainScreen(print)) == 1
    assert capsys.readouterr().err.startswith(f"strava-async demo: {path} is not a file of this program")


@contextlib.contextmanager
def running_demo(path, *options):
    """Start the demo in a process and let it get to work."""
    command = [sys.executable, "-m", "strava_async", "demo", "--file", str(path), "--speed", "10", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        for line in process.stdout:
            if " details " in line:
                break
        yield process


def test_a_demo_that_is_killed_goes_on_where_it_was(tmp_path):
    path = tmp_path / "demo.sqlite"
    with running_demo(path, "--details", "60") as process:
        process.kill()
    had = rows(path, "SELECT (SELECT count(*) FROM details), (SELECT count(*) FROM streams)")[0]
    assert sum(had) >= 25
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    fetched_at = rows(path, "SELECT activity_id, fetched_at FROM details")
    lines = []
    newest = max(had) + 2
    assert main(Settings(path, details=newest), PlainScreen(lines.append)) == 0
    new = [int(line.split(" new")[0].split()[-1]) for line in lines if " new" in line and line.startswith("  ")]
    assert new[0] == 0
    assert new[1] == newest - had[0]
    assert set(fetched_at) < set(rows(path, "SELECT activity_id, fetched_at FROM details"))


def test_ctrl_c_ends_the_demo_with_a_word(tmp_path):
    path = tmp_path / "demo.sqlite"
    with running_demo(path) as process:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.startswith("Stopped. ")
    assert errors.endswith(f"were added to {path}; the same command goes on from there.\n")
    assert errors.count("\n") == 1
    added = int(errors.split(" details")[0].split()[-1])
    assert rows(path, "SELECT count(*) >= ? FROM details".replace("?", str(added))) == [(1,)]
