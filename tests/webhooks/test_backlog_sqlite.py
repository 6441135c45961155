"""The file that keeps webhook events from one process to the next."""

import asyncio
import json
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import pytest

from strava_async import EventStoreError
from strava_async.fastapi import PersistedEvent, SqliteBacklog
from strava_async.testing import FakeClock
from strava_async.webhooks import WebhookEvent
from strava_async.webhooks.retry import KEPT_SECONDS

pytestmark = pytest.mark.anyio

REMOVED = WebhookEvent("athlete", 7, "update", 7, 9, 1, {"authorized": "false"})


def event(number: int = 1, at: int = 1) -> WebhookEvent:
    return WebhookEvent("activity", number, "create", 7, 9, at)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "webhooks.sqlite"


def at(accepted_at: float, number: int = 1) -> PersistedEvent:
    return PersistedEvent(event(number), accepted_at, claimed=True)


def rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as file:
        (count,) = file.execute("SELECT count(*) FROM events").fetchone()
    return int(count)


def backlog_of(path: Path) -> SqliteBacklog:
    return SqliteBacklog(path, clock=FakeClock(start=1_000.0))


async def test_what_was_kept_is_taken_once_in_its_old_order(path: Path) -> None:
    await backlog_of(path).keep([at(2.0, 1), at(3.0, 2)])
    await backlog_of(path).keep([at(1.0, 3), at(2.0, 4)])
    assert await backlog_of(path).take() == [at(1.0, 3), at(2.0, 1), at(2.0, 4), at(3.0, 2)]
    assert await backlog_of(path).take() == []


def test_the_file_is_its_users_alone(path: Path) -> None:
    assert anyio.run(backlog_of(path).take) == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(entry.name for entry in path.parent.iterdir()) == [path.name, f"{path.name}-locks"]
    assert list(path.parent.joinpath(f"{path.name}-locks").iterdir()) == []


async def test_what_is_older_than_seven_days_is_dropped_but_a_deauthorization(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    now = clock.time()
    await SqliteBacklog(path).keep([at(now, 1), at(now - 1, 2), PersistedEvent(REMOVED, now - 1)])
    clock.advance(KEPT_SECONDS)
    taken = await SqliteBacklog(path, clock=clock).take()
    assert [kept.event for kept in taken] == [REMOVED, event(1)]
    assert "event 'create' of 'activity' 2, of athlete 7: dropped" in caplog.text
    assert rows(path) == 2


async def test_a_row_that_cannot_be_read_is_dropped_and_costs_no_other(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await backlog_of(path).keep([at(1.0, 1), at(2.0, 2)])
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE events SET value = '{}' WHERE id = 1")
    assert await backlog_of(path).take() == [at(2.0, 2)]
    assert "row 1 of the kept webhook events was dropped" in caplog.text
    assert rows(path) == 1


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5_000])
def test_a_broken_file_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(EventStoreError, match="damaged or not a database"):
        anyio.run(backlog_of(path).keep, [at(1.0)])
    assert path.read_bytes() == content


def test_another_programs_database_is_refused_and_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("CREATE TABLE events (id, accepted_at, value)")
    content = path.read_bytes()
    with pytest.raises(EventStoreError, match="another program's database"):
        anyio.run(backlog_of(path).keep, [at(1.0)])
    assert path.read_bytes() == content


async def test_a_directory_that_is_missing_is_named(path: Path) -> None:
    with pytest.raises(EventStoreError, match="does not exist: make it"):
        await backlog_of(path.parent / "no" / path.name).take()


async def test_tasks_that_take_at_once_get_each_event_once(path: Path) -> None:
    await backlog_of(path).keep([at(float(number), number) for number in range(1, 301)])
    taken: list[PersistedEvent] = []

    async def take() -> None:
        taken.extend(await backlog_of(path).take())

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(take)
    assert sorted(kept.event.object_id for kept in taken) == list(range(1, 301))


def test_loops_of_several_threads_share_an_object(path: Path, anyio_backend: str) -> None:
    backlog = backlog_of(path)
    taken: list[PersistedEvent] = []

    async def use(number: int) -> None:
        await backlog.keep([at(float(number), number)])
        taken.extend(await backlog.take())

    threads = [threading.Thread(target=partial(anyio.run, use, n, backend=anyio_backend)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(kept.event.object_id for kept in taken) == [1, 2, 3, 4]


# -- rows that are held -----------------------------------------------------------------------------------------------


def locks(path: Path) -> list[str]:
    return [entry.name for entry in path.parent.joinpath(f"{path.name}-locks").iterdir()]


async def test_a_taken_row_stays_in_the_file_until_its_event_is_settled(path: Path) -> None:
    backlog = backlog_of(path)
    await backlog.keep([at(1.0, 1), at(2.0, 2)])
    await backlog.take()
    assert (rows(path), len(locks(path))) == (2, 1)
    await backlog.settle([event(1).key, event(3).key])
    assert rows(path) == 1
    assert await backlog_of(path).take() == []
    await backlog.settle([event(2).key])
    assert (rows(path), locks(path)) == (0, [])


async def test_what_is_held_is_nobody_elses_until_it_is_kept(path: Path) -> None:
    backlog, other = backlog_of(path), backlog_of(path)
    await backlog.hold([at(1.0, 1), at(2.0, 2)])
    await backlog.hold([at(1.0, 1)])
    assert (rows(path), len(locks(path))) == (2, 2)
    assert await other.take() == []
    await other.settle([event(1).key])
    assert rows(path) == 2
    further = PersistedEvent(event(2), 2.0, claimed=True, failures={"trouble": 3})
    await backlog.keep([at(1.0, 1), further, at(3.0, 3)])
    assert (rows(path), locks(path)) == (3, [])
    assert await other.take() == [at(1.0, 1), further, at(3.0, 3)]


async def test_what_one_holds_is_not_changed_by_another_that_knows_it_too(path: Path) -> None:
    backlog, other = backlog_of(path), backlog_of(path)
    await backlog.hold([at(1.0)])
    await other.keep([at(5.0)])
    assert await backlog_of(path).take() == [at(5.0)]
    assert rows(path) == 2


async def test_an_event_that_two_processes_have_kept_is_taken_once(path: Path) -> None:
    await backlog_of(path).keep([PersistedEvent(event(), 2.0, failures={"trouble": 2, "not found": 1})])
    await backlog_of(path).keep([PersistedEvent(event(), 1.0, claimed=True, failures={"trouble": 1})])
    backlog = backlog_of(path)
    assert await backlog.take() == [PersistedEvent(event(), 1.0, True, failures={"trouble": 2, "not found": 1})]
    await backlog.settle([event().key])
    assert rows(path) == 0


async def test_the_lock_of_one_who_was_killed_before_it_held_anything_is_removed(path: Path) -> None:
    await backlog_of(path).take()
    path.parent.joinpath(f"{path.name}-locks", "holder-" + "0" * 32).touch()
    await backlog_of(path).take()
    assert locks(path) == []


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_take_that_is_cancelled_leaves_what_it_took_to_the_next(path: Path) -> None:
    await backlog_of(path).keep([at(1.0)])

    class Cancelling(FakeClock):
        def time(self) -> float:
            anyio.from_thread.run_sync(task.cancel)
            return 1_000.0

    task = asyncio.ensure_future(SqliteBacklog(path, clock=Cancelling()).take())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert locks(path) == []
    assert await backlog_of(path).take() == [at(1.0)]


async def test_events_that_cannot_be_put_there_are_not_held(path: Path) -> None:
    backlog = backlog_of(path)
    await backlog.take()
    nonsense: Any = "nonsense"
    with pytest.raises(AttributeError):
        await backlog.hold([at(1.0), nonsense])
    assert (rows(path), locks(path)) == (0, [])


async def test_a_file_of_before_there_were_holders_is_read_and_written(path: Path) -> None:
    await backlog_of(path).take()
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("DROP TABLE events")
        file.execute("CREATE TABLE events (id INTEGER PRIMARY KEY, accepted_at REAL NOT NULL, value TEXT NOT NULL)")
        value = json.loads(at(1.0, 1).to_json())
        del value["failures"]
        file.execute("INSERT INTO events (accepted_at, value) VALUES (1.0, ?)", (json.dumps(value),))
    backlog = backlog_of(path)
    assert await backlog.take() == [at(1.0, 1)]
    assert await backlog_of(path).take() == []
    await backlog.hold([at(2.0, 2)])
    await backlog.settle([event(1).key])
    assert rows(path) == 1


@pytest.mark.parametrize("name", ["", "new", "../../victim", b"\xff", 5, "0" * 32])
async def test_a_mark_that_is_no_holders_is_none(path: Path, name: object) -> None:
    victim = path.parent / "victim"
    victim.touch()
    await backlog_of(path).keep([at(1.0)])
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE events SET holder = ?", (name,))
    assert await backlog_of(path).take() == [at(1.0)]
    assert victim.exists()


PROCESS = """
import os, signal, sys, anyio
from strava_async.fastapi import PersistedEvent, SqliteBacklog
from strava_async.testing import FakeClock
from strava_async.webhooks import WebhookEvent

class Killer(FakeClock):
    def time(self):
        os.kill(os.getpid(), signal.SIGKILL)

def killed_after(method, *args):
    anyio.run(method, *args)
    os.kill(os.getpid(), signal.SIGKILL)

path, what = sys.argv[1:]
backlog = SqliteBacklog(path, clock=Killer() if what == "die while taking" else FakeClock(start=1000.0))
print("ready", flush=True)
sys.stdin.readline()
kept = PersistedEvent(WebhookEvent("activity", 1, "create", 7, 9, 1), 1.0)
if what == "keep and die":
    killed_after(backlog.keep, [kept])
if what == "hold and die":
    killed_after(backlog.hold, [kept])
print(*[kept.event.object_id for kept in anyio.run(backlog.take)], flush=True)
sys.stdin.read()  # what it has is free when it ends
"""


@contextmanager
def processes(path: Path, *whats: str) -> Generator[list[subprocess.Popen[str]]]:
    """Let processes do something with one file at the same time; those that live are killed when the block ends."""
    with ExitStack() as stack:
        made: list[subprocess.Popen[str]] = []
        for what in whats:
            command = [sys.executable, "-c", PROCESS, str(path), what]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            made.append(stack.enter_context(process))
            stack.callback(process.kill)
        for process in made:
            assert line_of(process) == "ready"
        for process in made:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        yield made


def line_of(process: subprocess.Popen[str]) -> str:
    """Wait for the next line that a process prints; return it."""
    assert process.stdout is not None
    return process.stdout.readline().removesuffix("\n")


def test_processes_that_start_at_once_get_each_event_once(path: Path) -> None:
    anyio.run(backlog_of(path).keep, [at(float(number), number) for number in range(1, 301)])
    with processes(path, "take", "take", "take") as made:
        taken = [int(number) for process in made for number in line_of(process).split()]
    assert sorted(taken) == list(range(1, 301))


@pytest.mark.skipif(sys.platform == "win32", reason="it has no SIGKILL")
@pytest.mark.parametrize(("what", "claimed"), [("keep and die", False), ("hold and die", True)])
def test_what_a_process_had_put_there_when_it_was_killed_is_free_at_once(path: Path, what: str, claimed: bool) -> None:
    with processes(path, what) as (process,):
        assert process.wait(30) == -9
    assert anyio.run(backlog_of(path).take) == [PersistedEvent(event(), 1.0, claimed)]
    assert len(locks(path)) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="it has no SIGSTOP")
def test_what_was_taken_is_free_when_its_process_is_killed_and_not_while_it_is_stopped(path: Path) -> None:
    anyio.run(backlog_of(path).keep, [at(1.0, 1), at(2.0, 2)])
    with processes(path, "take") as (process,):
        assert line_of(process) == "1 2"
        process.send_signal(signal.SIGSTOP)
        assert anyio.run(backlog_of(path).take) == []
    assert rows(path) == 2
    assert anyio.run(backlog_of(path).take) == [at(1.0, 1), at(2.0, 2)]


@pytest.mark.skipif(sys.platform == "win32", reason="it has no SIGKILL")
def test_a_process_that_is_killed_while_taking_has_taken_nothing(path: Path) -> None:
    anyio.run(backlog_of(path).keep, [at(1.0)])
    with processes(path, "die while taking") as (process,):
        assert process.wait(30) == -9
    assert anyio.run(backlog_of(path).take) == [at(1.0)]
