"""What a place in a file does on a disk without room, with what a stranger left in it, and when it is given up."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import anyio
import pytest

from strava_async.errors import StoreError
from strava_async.limiter.sqlite_place import SqlitePlace, applications
from strava_async.limiter.sqlite_state import MAX_APPLICATIONS, MAX_PROCESSES
from strava_async.quota.fleet.codec import dump_fleet
from strava_async.quota.fleet.messages import Report, Spent
from strava_async.quota.fleet.state import Fleet
from strava_async.testing.clock import SOME_TUESDAY, FakeClock
from tests.limiter.sqlite_processes import ROOT

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(SOME_TUESDAY)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "quota.db"


@contextmanager
def database(path: Path) -> Generator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


# -- a disk without room, and one that cannot be written ---------------------------------------------------------------

MOUNTED = """
import os, sys, anyio, logging
from strava_async.errors import StoreError
from strava_async.limiter.sqlite_place import SqlitePlace
from strava_async.quota.fleet.messages import Report, Spent

folder, count = sys.argv[1], 0
place = SqlitePlace(f"{folder}/quota.db", "7")

async def call():
    global count
    count += 1
    return await place.call(Report("p", count), 0)

def mount(*arguments):
    assert not os.spawnlp(os.P_WAIT, "mount", "mount", *arguments)

def full():
    with open(f"{folder}/filler", "wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            pass
    return lambda: os.unlink(f"{folder}/filler")

def full_before_the_first_call():
    return full()

def read_only():
    anyio.run(place.close)
    mount("-o", "remount,ro", folder)
    return lambda: mount("-o", "remount,rw", folder)

async def main():
    mount("-t", "tmpfs", "-o", "size=160k", "none", folder)
    fault = globals()[sys.argv[2]]
    if fault is not full_before_the_first_call:
        await call()
    cure = fault() if fault is not read_only else await anyio.to_thread.run_sync(read_only)
    failures = []
    for _ in range(60):  # what is left of pages and of the WAL may do for some
        try:
            await call()
        except StoreError as error:
            failures.append(str(error))
    print(len(failures) > 1 and failures[-1])
    cure()
    print((await call()).sequence > 0)
    await place.close()

anyio.run(main)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mounts are Linux'")
@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("full", "no room for"),
        ("full_before_the_first_call", "no room for"),
        ("read_only", "on a read-only file system"),
    ],
)
def test_a_disk_without_room_is_a_sentence_until_there_is_some(fault: str, sentence: str, tmp_path: Path) -> None:
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode:
        pytest.skip("mounts are not permitted here")
    done = subprocess.run(
        [*unshare, sys.executable, "-c", MOUNTED, str(tmp_path), fault],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = done.stdout.splitlines()
    assert len(said) == 2, done.stderr
    assert sentence in said[0]
    assert said[1] == "True"


# -- what a stranger left ----------------------------------------------------------------------------------------------


async def used(path: Path) -> SqlitePlace:
    place = SqlitePlace(path, "7")
    await place.call(Report("p", 1), 0)
    await place.close()
    return place


@pytest.mark.parametrize(
    "statement",
    [
        "update fleets set state = ''",
        "update fleets set state = 'null'",
        "update fleets set state = x'7b7d'",
        "update fleets set state = 7",
        "update fleets set state = zeroblob(2000000)",
        "update fleets set state = replace(state, '\"sequence\":1', '\"sequence\":1.5')",
        "update fleets set state = replace(state, '\"sequence\":1', '\"sequence\":-5')",
        "update fleets set state = replace(state, '\"sequence\":1', '\"sequence\":99999999999999999999')",
        "update fleets set state = replace(state, '\"sequence\":1', '\"sequence\":true')",
        "update fleets set state = replace(state, '\"heals_until\":0', '\"heals_until\":9007199254740991')",
        "update fleets set state = printf('%.*c', 100000, '[')",
        "update processes set state = '[]'",
        "update processes set state = x'ff'",
        "update processes set process = x'ff'",
        "update processes set state = printf('%.*c', 2000000, '[')",
        "insert into processes select '7', value, '[1,1,1,1,1,1,[0,0],[0,0],[0,0,0,0],[],0]' from numbers",
        "insert into processes select '7', value, printf('%.*c', 999000, '[') from numbers limit 20",
    ],
)
async def test_what_is_no_state_is_one_sentence_and_is_left_alone(path: Path, statement: str) -> None:
    place = await used(path)
    with database(path) as connection:
        numbers = f"select 1 as value union all select value + 1 from numbers where value < {2 * MAX_PROCESSES}"
        connection.execute(f"with recursive numbers as ({numbers}) {statement}")
        before = list(connection.iterdump())
    with pytest.raises(StoreError, match="remove it, or name another file") as caught:
        await place.call(Report("p", 2), 0)
    assert "\n" not in str(caught.value)
    with pytest.raises(StoreError, match="remove it, or name another file"):
        await place.read()
    await place.close()
    with database(path) as connection:
        assert list(connection.iterdump()) == before


@pytest.mark.parametrize(
    "report",
    [
        Report("p", 2, quarter=-7, sure=True),
        Report("p", 2, held=Spent(-1, -1)),
        Report("p", 2, held=Spent(10**20, 10**20)),
        Report("p", 2, lease_ms=10**20),
    ],
)
async def test_what_all_would_refuse_is_not_written(path: Path, report: Report) -> None:
    place = await used(path)
    before = await place.read()
    with pytest.raises(StoreError, match="start it anew"):
        await place.call(report, 0)
    assert await place.read() == before
    assert (await place.call(Report("q", 1), 0)).sequence == 2
    await place.close()


async def test_what_applications_left_is_removed_when_another_comes(path: Path, clock: FakeClock) -> None:
    place = await used(path)
    with database(path) as connection:
        now = int(clock.time() * 1_000)
        for name, wall in (("old", now - 4 * 86_400_000), ("recent", now - 86_400_000)):
            state = dump_fleet(Fleet(sequence=1, wall=wall))
            connection.execute("insert into fleets values (?, ?)", (name, state))
            connection.execute("insert into processes values (?, 'p', '[]')", (name,))
        connection.execute("insert into fleets values ('damaged', '{')")
        connection.execute("delete from fleets where application = '7'")
    newcomer = SqlitePlace(path, "8", clock)
    await newcomer.call(Report("p", 1), 0)
    await newcomer.close()
    assert await applications(path) == ["8", "recent"]
    with database(path) as connection:
        left = connection.execute("select application from processes order by 1").fetchall()
    assert left == [("7",), ("8",), ("recent",)]
    assert place.path == str(path)


async def test_there_is_an_end_to_how_many_applications_a_file_holds(path: Path, clock: FakeClock) -> None:
    await used(path)
    state = dump_fleet(Fleet(sequence=1, wall=int(clock.time() * 1_000)))
    with database(path) as connection:
        connection.execute("begin")
        connection.executemany(
            "insert into fleets values (?, ?)", [(f"application {number}", state) for number in range(2_000)]
        )
        connection.execute("commit")
    newcomer = SqlitePlace(path, "8", clock)
    with pytest.raises(StoreError, match="name another file"):
        await newcomer.call(Report("p", 1), 0)
    await newcomer.close()
    assert len(await applications(path)) == MAX_APPLICATIONS


# -- time --------------------------------------------------------------------------------------------------------------


async def test_a_call_that_is_given_up_while_the_file_is_locked_ends_at_once(path: Path) -> None:
    place = SqlitePlace(path, "7", busy_seconds=2.0)
    await place.call(Report("p", 1), 0)
    with database(path) as other:
        other.execute("begin immediate")
        with anyio.move_on_after(0.05) as scope:
            await place.call(Report("p", 2), 0)
        assert scope.cancelled_caught
        # It is a thread that still waits; the next call comes after it, and not before.
        other.execute("rollback")
    assert (await place.call(Report("p", 3), 0)).sequence in (2, 3)
    await place.close()


async def test_the_clock_is_read_when_no_other_can_write(path: Path, clock: FakeClock) -> None:
    place = SqlitePlace(path, "7", clock)
    before = (await place.call(Report("p", 1), 0)).at
    clock.advance(5.0)
    assert (await place.call(Report("q", 1), 1)).at == before + 5_000
    await place.close()
