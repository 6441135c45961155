"""The limiter whose quota the processes of a machine share in a file."""

from __future__ import annotations

import logging
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from strava_async import InputError, SqliteRateLimiter
from strava_async.errors import LimiterError, QuotaExceededError
from strava_async.limiter.base import ClosableLimiter, Limiter
from strava_async.quota.fleet_codec import dump_fleet, dump_row, load_fleet, load_row
from strava_async.quota.values import Priority, QuotaClass
from strava_async.testing.clock import SOME_TUESDAY, FakeClock
from tests.limiter.contract import ClosableLimiterContract, answer
from tests.quota.fleet_simulation import Harvesters

pytestmark = pytest.mark.anyio


class PatientClock(FakeClock):
    """A clock that does not jump while a thread is looking at the file: that takes no time here."""

    limiters: list[SqliteRateLimiter]

    async def _jump(self) -> None:
        while True:
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
            if self._sleepers and not any(limiter.is_calling for limiter in self.limiters):
                self.advance(self._sleepers[0][0] - self._now)
            else:
                await anyio.sleep(0.001)


@pytest.fixture
def clock() -> PatientClock:
    clock = PatientClock(SOME_TUESDAY + 1.5)
    clock.limiters = []
    return clock


def make(path: Path, clock: PatientClock, **options: Any) -> SqliteRateLimiter:
    limiter = SqliteRateLimiter(path, application="7", clock=clock, random=lambda: 0.5, **options)
    clock.limiters.append(limiter)
    return limiter


class TestSqliteRateLimiter(ClosableLimiterContract):
    @pytest.fixture
    def clock(self) -> FakeClock:
        clock = PatientClock(SOME_TUESDAY + 1.5)
        clock.limiters = []
        return clock

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
        (await one.acquire()).settle(200, answer(clock, 98, 98))
        async with clock.autojump() as tasks:
            held = [await one.acquire() for _ in range(2)]
            got: list[float] = []

            async def wait() -> None:
                await other.acquire()
                got.append(clock.monotonic())

            tasks.start_soon(wait)
            await clock.sleep(5.0)
            assert not got
            held[0].release()
            released_at = clock.monotonic()
            while not got:
                await clock.sleep(0.1)
        assert got[0] - released_at <= 3.0


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
        ({"application": "7", "away": "open"}, "away"),
        ({"application": "7", "lease_seconds": 2.9}, "lease_seconds"),
        ({"application": "7", "lease_seconds": float("nan")}, "lease_seconds"),
        ({"application": "7", "reserve": 1.1}, "reserve"),
    ],
)
async def test_bad_arguments_are_refused_at_once(tmp_path: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        SqliteRateLimiter(tmp_path / "quota.db", **options)


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
    with pytest.raises(ValueError, match=r"state|Expecting|unpack"):
        load_fleet(text, {})
    with pytest.raises(ValueError, match=r"row|Expecting|unpack"):
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
