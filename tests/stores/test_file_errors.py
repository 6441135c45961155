"""A full disk, a read-only file, a missing permission: found before a request to Strava, and reported in a sentence."""

import errno
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from strava_async._concurrency.threads import THREADS
from strava_async.errors import TokenStoreError
from strava_async.stores import SqliteTokenStore
from strava_async.stores.file_errors import explained
from strava_async.stores.file_lock import FileLock
from strava_async.stores.sqlite_shared import MAX_ROOMS, ROOM_BYTES
from tests.stores.contract import FULL, numbered

ROOT = Path(__file__).parent.parent.parent
unix = pytest.mark.skipif(os.name == "nt", reason="Windows has neither such limits nor such users")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.db"


def size_of(path: Path | str) -> int:
    return os.stat(path).st_size


def wal_of(path: Path) -> bytes:
    return Path(f"{path}-wal").read_bytes()


# The sentences


def fill(connection: sqlite3.Connection) -> None:
    connection.execute("pragma max_page_count = 2")
    connection.execute("create table t as select randomblob(100000)")


def write_read_only(connection: sqlite3.Connection) -> None:
    connection.execute("pragma query_only = on")
    connection.execute("create table t (x)")


def open_nothing(connection: sqlite3.Connection) -> None:
    sqlite3.connect("file:/none/none/none?mode=rw", uri=True)


@pytest.mark.parametrize(
    ("work", "sentence"),
    [
        (fill, "the disk has no room for"),
        (write_read_only, "cannot be opened for writing: check its permissions"),
        (open_nothing, "cannot be opened for writing: check its permissions"),
    ],
)
def test_an_error_of_sqlite_says_what_to_do(
    path: Path, work: Callable[[sqlite3.Connection], None], sentence: str
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        with pytest.raises(TokenStoreError, match=sentence) as caught, explained(str(path), 5.0, TokenStoreError):
            work(connection)
        assert str(path) in str(caught.value)
        assert isinstance(caught.value.__cause__, sqlite3.Error)


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "the disk has no room for"),
        (errno.EDQUOT, "the user's disk quota is used up"),
        (errno.EFBIG, "the disk has no room for"),
        (errno.EROFS, "is on a read-only file system: mount it for writing"),
        (errno.EMFILE, "too many files are open"),
        (errno.EACCES, "no permission for"),
        (errno.EPERM, "no permission for"),
        (errno.EIO, "check its disk"),
    ],
)
def test_an_error_of_the_system_says_what_to_do(path: Path, number: int, sentence: str) -> None:
    with pytest.raises(TokenStoreError, match=sentence) as caught, explained(str(path), 5.0, TokenStoreError):
        raise OSError(number, os.strerror(number))
    assert str(path) in str(caught.value)


# Written before Strava is asked


@pytest.mark.anyio
async def test_the_lock_lets_nobody_in_before_it_has_written(path: Path) -> None:
    store = SqliteTokenStore(path)
    await store.save(7, FULL)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("begin")
        reader.execute("select * from tokens").fetchall()
        await store.save(7, numbered(1))
        before = wal_of(path)
        async with store.lock(7):
            assert len(wal_of(path)) > len(before)


@pytest.mark.anyio
async def test_what_it_writes_changes_nothing(path: Path) -> None:
    store = SqliteTokenStore(path)
    await store.save(7, FULL)

    def content() -> list[str]:
        with closing(sqlite3.connect(path)) as connection:
            return list(connection.iterdump())

    before = content()
    async with store.lock(7):
        pass
    await store.check_writable()
    assert content() == before


@pytest.mark.anyio
async def test_the_room_for_a_save_is_kept_until_it_is_used(path: Path) -> None:
    store = SqliteTokenStore(path)
    lock = f"{path}-locks/7"
    async with store.lock(7):
        assert size_of(lock) == ROOM_BYTES
        await store.save(8, numbered(8))  # another's
        assert size_of(lock) == ROOM_BYTES
        await store.load(7)
        assert size_of(lock) == ROOM_BYTES
        await store.save(7, FULL)
        assert size_of(lock) == 0
        await store.save(7, numbered(1))
    assert os.listdir(f"{path}-locks") == []


@pytest.mark.anyio
async def test_hundreds_of_locks_at_once_keep_no_more_room_than_can_be_needed(path: Path) -> None:
    store = SqliteTokenStore(path, busy_timeout=60)
    all_in = anyio.Event()
    inside = 0
    sizes: list[int] = []

    async def enter(athlete_id: int) -> None:
        nonlocal inside
        async with store.lock(athlete_id):
            inside += 1
            if inside == 200:
                sizes.extend(size_of(f"{path}-locks/{each}") for each in range(200))
                all_in.set()
            await all_in.wait()

    async with anyio.create_task_group() as tasks:
        for athlete_id in range(200):
            tasks.start_soon(enter, athlete_id)
    # Those whose probe is in progress do not count yet: as many as there are threads.
    assert MAX_ROOMS * ROOM_BYTES <= sum(sizes) <= (MAX_ROOMS + THREADS) * ROOM_BYTES


@pytest.mark.anyio
async def test_a_deletion_uses_it_too(path: Path) -> None:
    store = SqliteTokenStore(path)
    await store.save(7, FULL)
    async with store.lock(7):
        await store.delete(7)
        assert size_of(f"{path}-locks/7") == 0


def test_what_a_killed_holder_left_in_the_file_is_no_room_of_the_next(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "7"
    path.parent.mkdir()
    path.write_bytes(b"x" * 100_000)
    lock = FileLock(str(path))
    assert lock.try_acquire()
    lock.reserve_room(10)
    lock.free_room()
    assert size_of(path) == 0
    lock.release()


HEAD = """
import os, resource, sqlite3, sys
import anyio, httpx
import strava_async.stores.sqlite, anyio._backends._asyncio
from strava_async import Strava, TokenSet, Unlimited, RetryPolicy
from strava_async.stores import SqliteTokenStore
from strava_async.fastapi import SqliteBacklog
path = sys.argv[1]
"""


def child(script: str, path: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", HEAD + script, str(path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


@unix
@pytest.mark.parametrize("limit", ["the size of the -wal", "less than the room for a save"])
def test_a_full_disk_is_found_before_strava_is_asked(path: Path, limit: str) -> None:
    # No file may grow beyond the limit: what a full disk does, for one process, without a disk.
    told = child(
        """
asked = []

def answer(request):
    asked.append(request.url.path)
    return httpx.Response(200, json={"access_token": "a2", "refresh_token": "r2", "expires_at": 9999999999})

async def main():
    store = SqliteTokenStore(path)
    await store.save(7, TokenSet("a", "r", 1))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin")
    other.execute("select * from tokens").fetchall()
    while os.stat(path + "-wal").st_size < 40_000:
        await store.save(8, TokenSet("a", "r", 1))
    limit = @
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    strava = Strava(1, "s", token_store=store, rate_limiter=Unlimited(), http_client=client)
    try:
        await strava.api(7).get("/athlete")
    except Exception as error:
        print(type(error).__name__, error)
    print(asked, (await store.load(7)).refresh_token, os.listdir(path + "-locks"))

anyio.run(main)
""".replace("@", 'os.stat(path + "-wal").st_size' if "wal" in limit else "32000"),
        path,
    )
    assert told[0].startswith("TokenStoreError")
    assert "no room" in told[0] or "the room on it" in told[0]
    assert told[1:] == ["[] r []"]


@unix
def test_a_backlog_that_cannot_be_written_is_found_at_the_start(path: Path) -> None:
    told = child(
        """
async def main():
    backlog = SqliteBacklog(path)
    await backlog.take()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin")
    other.execute("select * from events").fetchall()
    limit = os.stat(path + "-wal").st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        print(await backlog.take())
    except Exception as error:
        print(type(error).__name__, error)

anyio.run(main)
""",
        path,
    )
    assert told[0].startswith("EventStoreError")
    assert str(path) in told[0]


# Permissions

SOMEBODY = """
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)

async def main():
    store = SqliteTokenStore(path)
    for work in (store.lock(7).__aenter__, lambda: store.save(7, TokenSet("a")), store.check_writable):
        try:
            await work()
        except Exception as error:
            print(type(error).__name__, error)

anyio.run(main)
"""


@unix
@pytest.mark.parametrize(
    ("name", "set_up", "sentence"),
    [
        # Its lock cannot be made: what file_lock says.
        ("tokens.db", "locks", "no permission for"),
        # It cannot be made.
        ("none.db", "directory", "no permission for"),
    ],
)
def test_a_missing_permission_is_reported_in_a_sentence(name: str, set_up: str, sentence: str) -> None:
    # Not in tmp_path, which other users cannot enter. Root becomes somebody else; others lose their own permission.
    with tempfile.TemporaryDirectory() as directory:
        path, is_root = Path(directory) / name, os.getuid() == 0
        if set_up == "locks":
            anyio.run(SqliteTokenStore(path).save, 7, FULL)
            Path(f"{path}-locks").chmod(0o700 if is_root else 0o500)
            if is_root:
                os.chown(directory, 65534, -1)
                os.chown(path, 65534, -1)
        os.chmod(directory, 0o755 if is_root else 0o500 if set_up == "directory" else 0o700)
        told = child(SOMEBODY, path)
        os.chmod(directory, 0o700)
    assert told[0].startswith("TokenStoreError")
    assert sentence in told[0]
    assert str(path) in told[0]


@unix
@pytest.mark.anyio
async def test_a_read_only_file_is_reported_in_a_sentence(path: Path) -> None:
    store = SqliteTokenStore(path)
    await store.save(7, FULL)
    os.chmod(path, 0o400)
    for work in (store.check_writable, lambda: store.load(7)):
        with pytest.raises(TokenStoreError, match="cannot be written: make it writable"):
            await work()
