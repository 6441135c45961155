"""A limiter whose file is locked, full, removed, replaced or damaged goes on, carefully, and says so."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from strava_async.limiter.shared import SharedLimiter
from strava_async.limiter.sqlite_place import SqlitePlace
from strava_async.limiter.sqlite_state import QUOTA
from strava_async.testing.clock import SOME_TUESDAY
from tests.limiter.contract import answer
from tests.limiter.sqlite_processes import Workers, ask
from tests.limiter.test_sqlite import PatientClock

pytestmark = pytest.mark.anyio

Cure = Callable[[], None]
workers = Workers()


@pytest.fixture
def clock() -> PatientClock:
    clock = PatientClock(SOME_TUESDAY + 1.5)
    clock.limiters = []
    return clock


@pytest.fixture(autouse=True)
def end_workers() -> Iterator[None]:
    yield
    workers.end()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "quota.db"


def make(path: Path, clock: PatientClock) -> SharedLimiter:
    limiter = SharedLimiter(
        SqlitePlace(path, "7", clock, busy_seconds=0.02),
        "the shared quota",
        clock=clock,
        random=lambda: 0.5,
        reserve=0.2,
        away="share",
        lease_seconds=10.0,
    )
    clock.limiters.append(limiter)
    return limiter


@contextmanager
def database(path: Path) -> Generator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def new_foreign_file(path: Path) -> bytes:
    with database(path) as connection:
        connection.execute("create table theirs (x)")
        connection.execute("insert into theirs values (randomblob(9000))")
    return path.read_bytes()


# -- faults, and their ends --------------------------------------------------------------------------------------------


def locked(path: Path) -> Cure:
    process = workers.start("lock", path)
    assert ask(process) == "locked"

    def cure() -> None:
        assert ask(process, "end") == "unlocked"

    return cure


def replaced_by_a_directory(path: Path) -> Cure:
    path.unlink()
    path.mkdir()
    return path.rmdir


def replaced_by_a_foreign_file(path: Path) -> Cure:
    other = path.with_name("other.db")
    before = new_foreign_file(other)
    other.replace(path)

    def cure() -> None:
        assert path.read_bytes() == before
        with database(path) as connection:
            assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
            assert connection.execute("select count(*) from theirs").fetchone() == (1,)
        path.unlink()

    return cure


def overwritten_with_a_foreign_file(path: Path) -> Cure:
    other = path.with_name("other.db")
    before = new_foreign_file(other)
    shutil.copyfile(other, path)

    def cure() -> None:
        assert path.read_bytes() == before
        with database(path) as connection:
            assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
            assert connection.execute("select count(*) from theirs").fetchone() == (1,)
        path.unlink()

    return cure


def of_a_version(path: Path, version: int) -> Cure:
    with database(path) as connection:
        connection.execute(f"pragma user_version = {version}")

    def cure() -> None:
        with database(path) as connection:
            assert connection.execute("pragma user_version").fetchone() == (version,)
            connection.execute(f"pragma user_version = {QUOTA.version}")

    return cure


def of_a_newer_version(path: Path) -> Cure:
    return of_a_version(path, QUOTA.version + 1)


def of_an_earlier_version(path: Path) -> Cure:
    return of_a_version(path, QUOTA.version - 1)


def cut_off(path: Path) -> Cure:
    os.truncate(path, 0)

    def cure() -> None:
        assert not path.read_bytes()
        path.unlink()

    return cure


def overwritten_with_noise(path: Path) -> Cure:
    path.write_bytes(b"no database" * 1_000)

    def cure() -> None:
        assert path.read_bytes() == b"no database" * 1_000
        path.unlink()

    return cure


def damaged_in_the_middle(path: Path) -> Cure:
    copy = path.with_name("copy.db")
    with database(path) as source, database(copy) as target:
        source.backup(target)
    content = bytearray(copy.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    copy.write_bytes(content)
    copy.chmod(0o600)
    copy.replace(path)

    def cure() -> None:
        assert path.read_bytes() == content
        path.unlink()

    return cure


def with_damaged_text(path: Path) -> Cure:
    with database(path) as connection:
        (before,) = connection.execute("select state from fleets").fetchone()
        connection.execute("update fleets set state = '{'")

    def cure() -> None:
        with database(path) as connection:
            connection.execute("update fleets set state = ?", (before,))

    return cure


def read_only(path: Path) -> Cure:
    path.chmod(0o400)
    return lambda: path.chmod(0o600)


class Fault(NamedTuple):
    cause: Callable[[Path], Cure]
    sentence: str


FAULTS = [
    Fault(locked, "another process has locked"),
    Fault(replaced_by_a_directory, "is a directory"),
    Fault(replaced_by_a_foreign_file, "another program's database"),
    Fault(overwritten_with_a_foreign_file, "another program's database"),
    Fault(of_a_newer_version, "newer strava-async"),
    Fault(of_an_earlier_version, "earlier strava-async"),
    Fault(cut_off, "is empty"),
    Fault(overwritten_with_noise, "damaged or not a database"),
    Fault(damaged_in_the_middle, "damaged or not a database"),
    Fault(with_damaged_text, "holds is damaged"),
    Fault(read_only, "cannot be written"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.cause.__name__)
async def test_a_fault_is_one_warning_and_its_end_one_info(
    fault: Fault, clock: PatientClock, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "strava_async.limiter")
    async with make(path, clock) as limiter, clock.autojump():
        (await limiter.acquire()).settle(200, answer(clock, 10, 10))
        held = await limiter.acquire()
        await clock.sleep(3.0)
        cure = fault.cause(path)
        await clock.sleep(12.0)
        assert limiter.state == "away"
        held.settle(200, answer(clock, 11, 11))
        (await limiter.acquire()).settle(200, answer(clock, 12, 12))
        permits = [await limiter.acquire() for _ in range(3)]
        await clock.sleep(60.0)
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert fault.sentence in record.getMessage()
        assert "\n" not in record.getMessage()
        cure()
        await clock.sleep(4.0)
        assert limiter.state != "away"
        for permit in permits:
            permit.release()
        (await limiter.acquire()).settle(200, answer(clock, 13, 13))
        await clock.sleep(5.0)
        assert limiter.state == "shared"
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def removed(path: Path) -> None:
    path.unlink()


def removed_with_all_beside_it(path: Path) -> None:
    for each in path.parent.glob("quota.db*"):
        if each.is_file():
            each.unlink()


def replaced_by_an_older_state(path: Path) -> None:
    path.with_name("older.db").replace(path)


@pytest.mark.parametrize("lose", [removed, removed_with_all_beside_it, replaced_by_an_older_state])
async def test_a_file_that_lost_what_it_knew_heals_without_a_word(
    lose: Callable[[Path], None], clock: PatientClock, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "strava_async.limiter")
    async with make(path, clock) as one, make(path, clock) as other, clock.autojump():
        (await one.acquire()).settle(200, answer(clock, 10, 10))
        with database(path) as source, database(path.with_name("older.db")) as target:
            source.backup(target)
        (await other.acquire()).settle(200, answer(clock, 60, 60))
        held = [await one.acquire(), await other.acquire()]
        await clock.sleep(4.0)
        lose(path)
        await clock.sleep(10.0)
        assert (one.state, other.state) == ("shared", "shared")
        assert (await SqlitePlace(path, "7").read()).usage[0] == 60
        for permit in held:
            permit.release()
        assert len([await each.acquire() for each in (one, other)]) == 2
    assert not caplog.records
    with database(path) as connection:
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
