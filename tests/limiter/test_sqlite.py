"""The limiter whose quota the processes of a machine share in a file."""

from __future__ import annotations

import gc
import logging
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest

from strava_async import InputError, SqliteRateLimiter
from strava_async.errors import LimiterError, QuotaExceededError, StoreError
from strava_async.limiter.base import ClosableLimiter, Limiter
from strava_async.limiter.sqlite_place import SqlitePlace, applications
from strava_async.quota.fleet.codec import dump_fleet, dump_row, load_fleet, load_row
from strava_async.quota.fleet.messages import Report
from strava_async.quota.fleet.state import Fleet
from strava_async.quota.values import Priority, QuotaClass
from strava_async.testing.clock import SOME_TUESDAY, FakeClock
from tests.limiter.contract import ClosableLimiterContract, answer
from tests.limiter.patient_clock import PatientClock
from tests.limiter.sharing import get_what_is_given_back
from tests.quota.fleet.simulation import Harvesters

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> PatientClock:
    return PatientClock(SOME_TUESDAY + 1.5)


def make(path: Path, clock: PatientClock, **options: Any) -> SqliteRateLimiter:
    limiter = SqliteRateLimiter(path, application="7", clock=clock, random=lambda: 0.5, **options)
    clock.limiters.append(limiter)
    return limiter


class TestSqliteRateLimiter(ClosableLimiterContract):
    @pytest.fixture
    def clock(self) -> FakeClock:
        return PatientClock(SOME_TUESDAY + 1.5)

    @pytest.fixture
    async def limiter(self, clock: PatientClock, tmp_path: Path) -> AsyncIterator[Limiter]:
        async with make(tmp_path / "quota.db", clock) as limiter:
            yield limiter

    @pytest.fixture
    def closable(self, limiter: ClosableLimiter) -> ClosableLimiter:
        return limiter


# -- shared ------------------------------------------------------------------------------------------------------------


async def test_what_one_spends_is_missing_in_the_other(clock: PatientClock, tmp_path: Path) -> None:
    path = tmp_path / "quota.db"
    async with make(path, clock) as one, make(path, clock) as other:
        (await one.acquire()).settle(200, answer(clock, 99, 99))
        await anyio.sleep(0.1)  # a thread tells it; nothing depends on when
        async with clock.autojump():
            await other.acquire()
            with pytest.raises(QuotaExceededError):
                await one.acquire(max_wait=20.0)
        assert other.quota.read_15min.limit == 100
        assert other.processes == 2
        assert (one.state, other.state) == ("shared", "shared")


async def test_a_waiter_gets_what_the_other_gives_back(clock: PatientClock, tmp_path: Path) -> None:
    path = tmp_path / "quota.db"
    async with make(path, clock) as one, make(path, clock) as other:
        await get_what_is_given_back(one, other, clock)


async def test_applications_in_one_file_have_nothing_to_do_with_each_other(clock: PatientClock, tmp_path: Path) -> None:
    path = tmp_path / "quota.db"
    other = SqliteRateLimiter(path, application="8", clock=clock)
    async with make(path, clock) as one, other:
        (await one.acquire()).settle(200, answer(clock, 100, 100))
        await other.acquire()
        assert other.processes == 1


async def test_a_limiter_that_is_closed_leaves_nothing_behind(clock: PatientClock, tmp_path: Path) -> None:
    path = tmp_path / "quota.db"
    async with make(path, clock) as one:
        (await one.acquire()).settle(200, answer(clock, 1, 1))
    async with make(path, clock) as other:
        await other.acquire()
    with sqlite3.connect(path) as connection:
        held = [load_row(state).held.overall for (state,) in connection.execute("select state from processes")]
    connection.close()
    assert sum(held) == 1  # the permit that has not ended


async def test_the_file_is_its_users_alone(clock: PatientClock, tmp_path: Path) -> None:
    path = tmp_path / "quota.db"
    async with make(path, clock) as limiter:
        await limiter.acquire()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# -- away --------------------------------------------------------------------------------------------------------------


def damaged(path: Path) -> None:
    path.write_bytes(b"no database" * 1_000)


def empty(path: Path) -> None:
    path.touch()


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("create table theirs (x)")
    connection.close()


def directory(path: Path) -> None:
    path.mkdir()


FAULTS: list[tuple[Callable[[Path], None], str]] = [
    (damaged, "damaged or not a database"),
    (empty, "is empty"),
    (foreign, "another program's database"),
    (directory, "is a directory"),
]


@pytest.mark.parametrize(("spoil", "sentence"), FAULTS, ids=lambda each: getattr(each, "__name__", ""))
async def test_a_file_that_cannot_be_used_is_one_warning_and_one_request_at_a_time(
    clock: PatientClock,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Path], None],
    sentence: str,
) -> None:
    path = tmp_path / "quota.db"
    spoil(path)
    before = path.read_bytes() if path.is_file() else b""
    caplog.set_level(logging.INFO, "strava_async.limiter")
    async with make(path, clock) as limiter, clock.autojump():
        permit = await limiter.acquire()
        assert limiter.state == "away"
        with pytest.raises(QuotaExceededError):
            await limiter.acquire(max_wait=0.5)
        await clock.sleep(30.0)
        permit.release()
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert sentence in record.getMessage()
    assert (path.read_bytes() if path.is_file() else b"") == before


async def test_a_file_that_is_back_is_one_info(
    clock: PatientClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "quota.db"
    damaged(path)
    caplog.set_level(logging.INFO, "strava_async.limiter")
    async with make(path, clock) as limiter, clock.autojump():
        (await limiter.acquire()).release()
        path.unlink()
        await clock.sleep(10.0)
        (await limiter.acquire()).release()
        assert limiter.state in ("shared", "healing")
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_away_may_mean_to_wait_and_then_to_fail(clock: PatientClock, tmp_path: Path) -> None:
    path = tmp_path / "quota.db"
    damaged(path)
    async with make(path, clock, away="wait") as limiter, clock.autojump():
        with pytest.raises(LimiterError, match="is away"):
            await limiter.acquire(max_wait=20.0)


async def test_a_file_that_was_removed_is_made_again_and_heals(clock: PatientClock, tmp_path: Path) -> None:
    path = tmp_path / "quota.db"
    async with make(path, clock) as limiter, clock.autojump():
        (await limiter.acquire()).settle(200, answer(clock, 60, 60))
        await clock.sleep(1.0)
        for name in path.parent.glob("quota.db*"):
            if name.is_file():
                name.unlink()
        permit = await limiter.acquire()
        await clock.sleep(5.0)
        assert limiter.quota.read_15min.usage == 60
        permit.release()


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"application": ""}, "application"),
        ({"application": "a{b}"}, "braces"),
        ({"application": 7}, "application"),
        ({"application": b"7"}, "application"),
        ({"application": "7\n"}, "application"),
        ({"application": "\ud800"}, "application"),
        ({"application": "7" * 201}, "application"),
        ({"application": "7", "away": "open"}, "away"),
        ({"application": "7", "lease_seconds": 2.9}, "lease_seconds"),
        ({"application": "7", "lease_seconds": float("nan")}, "lease_seconds"),
        ({"application": "7", "reserve": 1.1}, "reserve"),
    ],
)
async def test_bad_arguments_are_refused_at_once(tmp_path: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        SqliteRateLimiter(tmp_path / "quota.db", **options)


@pytest.mark.parametrize("path", ["", b"quota.db", "a\0b", "~/quota.db", ":memory:", None, 7])
async def test_a_path_that_names_no_file_is_refused_at_once(path: Any) -> None:
    with pytest.raises(InputError, match=r"file|expanduser|path"):
        SqliteRateLimiter(path, application="7")


async def test_all_names_of_a_file_lead_to_one_quota(
    clock: PatientClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.db").symlink_to("quota.db")
    (tmp_path / "folder").symlink_to(tmp_path)
    names = [Path("quota.db"), Path("link.db"), tmp_path / "folder" / "link.db", Path("folder/../quota.db")]
    limiters = [make(name, clock) for name in names]
    monkeypatch.chdir("/")
    async with AsyncExitStack() as stack:
        permits = [await (await stack.enter_async_context(limiter)).acquire() for limiter in limiters[:1]]
        for limiter in limiters[1:]:
            await stack.enter_async_context(limiter)
            async with clock.autojump():
                permits[-1].settle(200, answer(clock, len(permits), len(permits)))
                permits.append(await limiter.acquire())
        assert limiters[-1].processes == 4
        permits[-1].release()
    assert stat.S_IMODE((tmp_path / "quota.db").stat().st_mode) == 0o600


async def test_a_link_that_leads_elsewhere_is_followed(clock: PatientClock, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to("one.db")
    place = SqlitePlace(link, "7", clock)
    await place.call(Report("p", 1), 0)
    link.unlink()
    link.symlink_to("two.db")
    await place.call(Report("p", 2), 0)
    await place.close()
    counts = [(await SqlitePlace(tmp_path / name, "7").read()).sequence for name in ("one.db", "two.db")]
    assert counts == [1, 1]


# -- what it costs -----------------------------------------------------------------------------------------------------


async def test_calls_do_not_wait_for_the_disk(clock: PatientClock, tmp_path: Path) -> None:
    path = tmp_path / "quota.db"
    places = [SqlitePlace(path, "7", clock) for _ in range(2)]
    for place in places:
        await place.call(Report(str(id(place)), 1), 0)
    wal = path.with_name("quota.db-wal").stat().st_ino
    before = path.stat().st_mtime_ns
    for count in range(2, 30):
        for place in places:
            await place.call(Report(str(id(place)), count), 0)
    # Nothing is synchronized but where the WAL is merged into the file, or another begins.
    assert path.stat().st_mtime_ns == before
    assert path.with_name("quota.db-wal").stat().st_ino == wal
    await places[0].close()
    await places[1].call(Report(str(id(places[1])), 30), 0)
    await places[1].close()
    await places[1].close()
    assert contents(tmp_path).keys() == {"quota.db"}


async def test_a_place_that_nobody_closes_is_closed(clock: PatientClock, tmp_path: Path) -> None:
    place = SqlitePlace(tmp_path / "quota.db", "7", clock)
    await place.call(Report("p", 1), 0)
    assert (tmp_path / "quota.db-wal").stat().st_size
    del place
    with anyio.fail_after(30.0):
        while "quota.db-wal" in contents(tmp_path):  # the thread has to let go of it too
            await anyio.sleep(0.001)
            gc.collect()


def test_a_place_outlives_event_loops_and_serves_both_libraries(tmp_path: Path) -> None:
    place = SqlitePlace(tmp_path / "quota.db", "7")
    for count, backend in enumerate(("asyncio", "asyncio", "trio", "asyncio"), 1):
        assert anyio.run(place.call, Report("p", count), 0, backend=backend).sequence == count
    anyio.run(place.close)


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_on_trio_it_has_to_be_entered(clock: PatientClock, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="async with"):
        await make(tmp_path / "quota.db", clock).acquire()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_on_asyncio_the_first_call_starts_its_task(clock: PatientClock, tmp_path: Path) -> None:
    limiter = make(tmp_path / "quota.db", clock)
    (await limiter.acquire(QuotaClass.UPLOAD, priority=Priority.BACKGROUND)).release()
    await limiter.aclose()
    await limiter.aclose()
    with pytest.raises(InputError, match="closed"):
        await limiter.acquire()


def test_a_limiter_made_before_a_fork_is_another_process_after_it(tmp_path: Path) -> None:
    script = """
import asyncio, os
from strava_async import SqliteRateLimiter

limiter = SqliteRateLimiter("quota.db", application="7")
child = os.fork()

async def main():
    async with limiter:
        (await limiter.acquire()).release()
        await asyncio.sleep(0.5)

asyncio.run(main())
if child:
    os.waitpid(child, 0)
"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, timeout=30)
    with sqlite3.connect(tmp_path / "quota.db") as connection:
        (state,) = connection.execute("select state from fleets").fetchone()
    connection.close()
    assert load_fleet(state, {}).most == 2


# -- the file ----------------------------------------------------------------------------------------------------------


def test_what_is_written_is_what_is_read() -> None:
    fleet = Harvesters(100, processes=3)
    fleet.world.spoil = lambda rng, fields: None if rng.random() < 0.1 else fields
    fleet.world.at(fleet.world.now + 600.55, fleet.desks[0].kill)
    fleet.place.keeps_history = True
    fleet.run(1.2)
    assert any(row.unconfirmed for state in fleet.place.history for row in state.rows.values())
    for state in fleet.place.history:
        rows = {process: load_row(dump_row(row)) for process, row in state.rows.items()}
        assert load_fleet(dump_fleet(state), rows) == state


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sequence": 1}', "null"])
def test_what_is_no_state_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"state|Expecting"):
        load_fleet(text, {})
    with pytest.raises(ValueError, match=r"state|row|Expecting"):
        load_row(text)


PROGRAM = """
import asyncio, sys
from email.utils import formatdate
from strava_async import SqliteRateLimiter

async def main(path, counter, count):
    limiter = SqliteRateLimiter(path, application="7")
    async with limiter:
        refused = 0
        for _ in range(count):
            with await limiter.acquire() as permit:
                with open(counter, "a") as file:
                    file.write(".")
                    file.flush()
                    used = file.tell()
                used = len(open(counter).read())
                refused += used > 100
                fields = {"date": formatdate(limiter.clock.time(), usegmt=True), "x-ratelimit-limit": "200,2000",
                    "x-readratelimit-limit": "100,1000", "x-ratelimit-usage": f"{used},{used}",
                    "x-readratelimit-usage": f"{used},{used}"}
                permit.settle(200, fields)
        print(refused)

asyncio.run(main(sys.argv[1], sys.argv[2], 20))
"""


def test_processes_of_a_machine_share_it(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    arguments = [sys.executable, "-c", PROGRAM, str(tmp_path / "quota.db"), str(counter)]
    running = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    output = [process.communicate(timeout=60)[0].strip() for process in running]
    assert output == ["0"] * 3
    assert len(counter.read_text()) == 60


# -- a look ------------------------------------------------------------------------------------------------------------


def contents(directory: Path) -> dict[str, tuple[int, bytes]]:
    return {
        path.name: (path.stat().st_mode, path.read_bytes())
        for path in directory.iterdir()
        if path.is_file() and not path.name.endswith("-shm")
    }


async def test_a_look_sees_the_state_and_changes_nothing(clock: PatientClock, tmp_path: Path) -> None:
    path = tmp_path / "quota.db"
    async with make(path, clock) as limiter:
        (await limiter.acquire()).settle(200, answer(clock, 60, 60))
        await clock.sleep(0.0)
    path.chmod(0o644)
    before = contents(tmp_path)
    assert await applications(path) == ["7"]
    fleet = await SqlitePlace(path, "7").read()
    assert fleet.quarter
    assert await SqlitePlace(path, "8").read() == Fleet()
    assert contents(tmp_path) == before


async def test_a_look_while_a_process_uses_the_file(clock: PatientClock, tmp_path: Path) -> None:
    path = tmp_path / "quota.db"
    async with make(path, clock) as limiter:
        permit = await limiter.acquire()
        fleet = await SqlitePlace(path, "7").read()
        assert fleet.held().overall == 1
        permit.release()


async def test_a_look_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no file"):
        await SqlitePlace(tmp_path / "quota.db", "7").read()
    with pytest.raises(StoreError, match="does not exist"):
        await applications(tmp_path / "none" / "quota.db")
    assert not contents(tmp_path)


@pytest.mark.parametrize(("spoil", "sentence"), FAULTS, ids=lambda each: getattr(each, "__name__", ""))
async def test_a_look_at_what_is_no_such_file(tmp_path: Path, spoil: Callable[[Path], None], sentence: str) -> None:
    path = tmp_path / "quota.db"
    spoil(path)
    before = contents(tmp_path)
    with pytest.raises(StoreError, match=sentence):
        await SqlitePlace(path, "7").read()
    assert contents(tmp_path) == before
