"""A service whose file of events is locked, full, removed, replaced, damaged or forked: nothing accepted is lost."""

import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio
import pytest

from strava_async.errors import EventStoreError
from strava_async.testing import FakeClock
from strava_async.webhooks import Appended, SqliteEventStore
from strava_async.webhooks.counts import Offer
from strava_async.webhooks.event_schema import SCHEMA
from strava_async.webhooks.pending import AttemptResult, Outcome, PendingEvent
from strava_async.webhooks.queue import EventQueue
from tests.limiter import test_sqlite_faults as files
from tests.webhooks.contract import claimed, event, events_of
from tests.webhooks.test_event_store_sqlite import content_of, mode, put, quiet

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
Cure = Callable[[], None]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


def changed(path: Path, statement: str, back: str) -> Cure:
    def run(what: str) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(what)

    run(statement)
    return lambda: run(back)


# -- a file that comes back as it was ----------------------------------------------------------------------------------


def locked(path: Path) -> Cure:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("begin immediate")
    return connection.close


def read_only(path: Path) -> Cure:
    path.chmod(0o400)
    return lambda: path.chmod(0o600)


def of_a_newer_version(path: Path) -> Cure:
    return changed(path, f"pragma user_version = {SCHEMA.version + 1}", f"pragma user_version = {SCHEMA.version}")


def moved_away(path: Path) -> Cure:
    aside = path.with_name("aside")
    path.replace(aside)
    return lambda: moved_back(aside, path)


def moved_back(aside: Path, path: Path) -> None:
    aside.replace(path)


def moved_away_whole(path: Path) -> Cure:
    names = [each for each in path.parent.glob("events.db*") if each.is_file()]
    aside = path.parent / "aside"
    aside.mkdir()
    for each in names:
        each.replace(aside / each.name)
    path.mkdir()

    def cure() -> None:
        path.rmdir()
        for each in names:
            if (aside / each.name).exists():
                (aside / each.name).replace(each)

    return cure


class Service:
    """A queue over the file, whose handlers wait until they are let go."""

    def __init__(self, store: SqliteEventStore, clock: FakeClock) -> None:
        self.begun: list[int] = []
        self.handled: list[int] = []
        self.may_end = anyio.Event()
        self.queue = EventQueue(self.attempt, store, clock=clock, workers=3, drain_seconds=4)

    async def attempt(self, pending: PendingEvent, is_last: bool) -> AttemptResult:
        self.begun.append(pending.event.object_id)
        await self.may_end.wait()
        self.handled.append(pending.event.object_id)
        return Outcome.HANDLED


@asynccontextmanager
async def running(path: Path, clock: FakeClock) -> AsyncGenerator[Service]:
    service = Service(SqliteEventStore(path, clock=clock), clock)
    with anyio.CancelScope() as scope:
        async with service.queue.running():
            await quiet()
            try:
                yield service
            except BaseException:
                scope.cancel()  # what is left is drained by a clock that stands still
                raise


async def until(clock: FakeClock, is_so: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not is_so():
            await quiet()
            clock.advance(0.5)


@pytest.mark.parametrize("cause", [locked, read_only, of_a_newer_version, moved_away, moved_away_whole])
async def test_what_is_handled_while_the_file_is_away_is_settled_later(
    cause: Callable[[Path], Cure], path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "strava_async.webhooks")
    async with running(path, clock) as service:
        for at, number in enumerate((1, 2, 1), 1):
            assert await service.queue.offer(event(number, at)) is Offer.ACCEPTED
            await quiet()
        assert sorted(service.begun) == [1, 2]
        cure = cause(path)
        assert await service.queue.offer(event(3)) is Offer.REJECTED
        service.may_end.set()
        await until(clock, lambda: len(service.handled) == 2)
        for _ in range(2):
            assert await service.queue.offer(event(3)) is Offer.REJECTED
            clock.advance(1)
        assert service.queue.counts.handled == 0
        cure()
        await until(clock, lambda: service.queue.counts.handled == 3)
        assert await service.queue.offer(event(3)) is Offer.ACCEPTED
        await until(clock, lambda: service.queue.counts.handled == 4)
    assert sorted(service.handled[:2]) == [1, 2]
    assert service.handled[2:] == [1, 3]
    assert service.queue.counts.taken_over == 0
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert (await SqliteEventStore(path, clock=clock).stats()).unfinished == 0


# -- a file that is another --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cause", "sentence"),
    [
        (files.replaced_by_a_foreign_file, "another program's database"),
        (files.overwritten_with_a_foreign_file, "another program's database"),
        (files.cut_off, "is empty"),
        (files.overwritten_with_noise, "damaged or not a database"),
        (files.damaged_in_the_middle, "damaged or not a database"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
async def test_what_a_stranger_put_in_its_place_is_left_alone(
    cause: Callable[[Path], Cure], sentence: str, path: Path, clock: FakeClock
) -> None:
    store = SqliteEventStore(path, clock=clock)
    async with store.running():
        await store.append(event(1))
        cure = cause(path)
        for _ in range(2):
            with pytest.raises(EventStoreError, match=sentence):
                await store.append(event(2))
            clock.advance(0.3)
            await quiet()
        cure()  # looks whether the stranger's is as it was, and removes it
        for beside in path.parent.glob("events.db-*"):
            if beside.is_file():
                beside.unlink()
        assert await store.append(event(2)) is Appended.STORED
        assert events_of(await claimed(store, quiet=quiet)) == [event(2)]


async def test_a_file_that_is_removed_under_its_log_is_not_begun_anew(path: Path, clock: FakeClock) -> None:
    store = SqliteEventStore(path, clock=clock)
    async with store.running():
        await quiet()
        await store.append(event(1))
        cure = moved_away(path)
        with pytest.raises(EventStoreError, match="-wal may hold what was kept"):
            await store.append(event(2))
        cure()
        assert await store.append(event(1)) is Appended.DUPLICATE


async def test_the_log_of_a_damaged_file_is_kept_beside_it(path: Path, clock: FakeClock) -> None:
    store = SqliteEventStore(path, clock=clock)
    async with store.running():
        await quiet()
        await store.append(event(12345678901))
        log = content_of(Path(f"{path}-wal"))
        assert event(12345678901).key.encode() in log
        put(path, b"no database" * 1_000)
        with pytest.raises(EventStoreError, match="damaged or not a database"):
            await store.append(event(2))
    [kept] = path.parent.glob("events.db-wal-*")
    assert content_of(kept) == log
    assert mode(kept) == 0o600


# -- a disk without room -----------------------------------------------------------------------------------------------

FULL = """
import logging, os, sqlite3, sys, anyio
from strava_async._concurrency import threads
from strava_async.testing import FakeClock
from strava_async.webhooks import SqliteEventStore, WebhookEvent
from strava_async.webhooks.counts import Offer
from strava_async.webhooks.pending import Outcome
from strava_async.webhooks.queue import EventQueue

folder = sys.argv[1]
assert not os.spawnlp(os.P_WAIT, "mount", "mount", "-t", "tmpfs", "-o", "size=400k", "none", folder)
levels = []

class Levels(logging.Handler):
    def emit(self, record):
        levels.append(record.levelname)
        print(record.getMessage(), file=sys.stderr)

logging.getLogger("strava_async.webhooks").addHandler(Levels())
logging.getLogger("strava_async.webhooks").setLevel(logging.INFO)
filler = f"{folder}/filler"

def fill():
    with open(filler, "ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass

async def main():
    clock = FakeClock(is_busy=lambda: threads.busy() > 0)
    store = SqliteEventStore(f"{folder}/events.db", clock=clock, max_unfinished_of_owner=10_000)
    may_end, handled, accepted, rejected = anyio.Event(), [], [], 0

    async def attempt(pending, is_last):
        await may_end.wait()
        handled.append(pending.event.object_id)
        return Outcome.HANDLED

    queue = EventQueue(attempt, store, clock=clock, workers=4, drain_seconds=60)

    async def offer(number):
        nonlocal rejected
        offer = await queue.offer(WebhookEvent("activity", number, "create", 7, 9, 1))
        if offer is Offer.ACCEPTED:
            accepted.append(number)
        rejected += offer is Offer.REJECTED

    async with clock.autojump(), queue.running():
        for number in range(1, 9):
            await offer(number)
        other = sqlite3.connect(f"{folder}/events.db")  # a process that keeps what SQLite has beside the file
        other.execute("select count(*) from events").fetchone()
        fill()
        for number in range(9, 80):
            await offer(number)
            if rejected > 8:
                break
        assert rejected > 8, "the disk is not full"
        await offer(1)  # what is known is no proof that there is room
        may_end.set()
        await clock.sleep(15)
        for number in range(80, 83):
            await offer(number)
        assert levels == ["WARNING"], levels
        other.close()
        os.unlink(filler)
        await clock.sleep(60)
        assert queue.counts.handled == len(accepted), (handled, accepted)
        assert levels == ["WARNING", "INFO"], levels
        await offer(99)
        await clock.sleep(1)
    assert accepted[-1] == 99
    assert sorted(set(handled)) == sorted(accepted), (handled, accepted)
    assert len(handled) == len(accepted) and queue.counts.taken_over == 0, (handled, accepted)
    assert levels == ["WARNING", "INFO"], levels
    assert (await store.stats()).unfinished == 0

anyio.run(main)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mounts are Linux'")
def test_a_full_disk_takes_no_event_and_what_is_handled_meanwhile_is_settled_later(tmp_path: Path) -> None:
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode:
        pytest.skip("mounts are not permitted here")
    command = [*unshare, sys.executable, "-c", FULL, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


# -- a fork ------------------------------------------------------------------------------------------------------------

IN_USE = """
import anyio, os, sys
from strava_async.webhooks import Appended, SqliteEventStore, WebhookEvent

store = SqliteEventStore(sys.argv[1])

def event(number):
    return WebhookEvent("activity", number, "create", 7, 9, 1)

def is_open():
    paths = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    return any("events.db" in os.readlink(path) for path in paths if os.path.lexists(path))

async def use(first):
    async with store.running():
        for number in range(first, first + 20):
            assert await store.append(event(number)) is Appended.STORED

async def main():
    async with store.running():
        await store.append(event(1))
        assert is_open()
        child = os.fork()
        if not child:
            os._exit(is_open())
        await store.append(event(2))
        assert not os.waitpid(child, 0)[1]
    assert not is_open()

anyio.run(main)
child = os.fork()  # as a server that loads its app before it forks workers
anyio.run(use, 100 if child else 200)
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="the test looks into /proc")
def test_a_fork_inherits_nothing_of_the_file_and_both_go_on(path: Path) -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", IN_USE, str(path)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert anyio.run(SqliteEventStore(path).stats).unfinished == 42
