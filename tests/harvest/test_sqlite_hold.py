"""A file that is held: how it is checked, and how many are open at a time."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from strava_async.errors import StoreError
from strava_async.harvest import Changes, SqliteHarvestStore
from strava_async.harvest.sqlite_hold import check
from strava_async.harvest.sqlite_part import Part
from strava_async.harvest.sqlite_parts import Directory
from strava_async.testing import FakeClock
from tests.harvest.contract import listed, made_row, stored

pytestmark = pytest.mark.anyio

HELD = 100


async def damaged(path: Path, table: str) -> None:
    """Make a file with a page of a table overwritten."""
    store = SqliteHarvestStore(path)
    await listed(store, *(made_row(number, name=f"name {number} " + "x" * 900) for number in range(1, 100)))
    await store.write(Changes(7, resources=[stored(number, body=b"x" * 6000) for number in range(1, 100)]))
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("pragma wal_checkpoint(truncate)")
        (page_size,) = db.execute("pragma page_size").fetchone()
        (root,) = db.execute("select rootpage from sqlite_master where name = ?", (table,)).fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * page_size)
        file.write(b"\xff" * page_size)


@contextlib.contextmanager
def files_allowed(count: int) -> Generator[None]:
    """Let this process open so many files, for a moment."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("most_bytes", [0, 1 << 30])
async def test_a_damaged_table_of_rows_is_found_in_a_file_of_any_size(tmp_path: Path, most_bytes: int) -> None:
    await damaged(tmp_path / "h.sqlite", "activities")
    with contextlib.closing(sqlite3.connect(tmp_path / "h.sqlite")) as db, pytest.raises(sqlite3.DatabaseError):
        check(db, most_bytes)


async def test_who_opens_a_damaged_file_is_told_that_it_is_damaged(tmp_path: Path) -> None:
    await damaged(tmp_path / "h.sqlite", "activities")
    with pytest.raises(StoreError, match="is damaged"):
        async with SqliteHarvestStore(tmp_path / "h.sqlite").hold(7):
            pass


async def test_the_bodies_of_a_large_file_are_not_read_to_open_it(tmp_path: Path) -> None:
    await damaged(tmp_path / "h.sqlite", "resources")
    with contextlib.closing(sqlite3.connect(tmp_path / "h.sqlite")) as db:
        check(db, 0)
        with pytest.raises(sqlite3.DatabaseError):
            check(db)


async def test_of_a_directorys_files_little_is_kept_in_memory(tmp_path: Path) -> None:
    def cache(connection: sqlite3.Connection) -> int:
        (size,) = connection.execute("pragma cache_size").fetchone()
        return int(size)

    directory = Directory(str(tmp_path / "d"), private=True, clock=FakeClock())
    await directory.prepare()
    assert await (await directory.of(7)).run(cache) == -128  # KiB; hundreds are open
    assert await Part(tmp_path / "h.sqlite", private=True, clock=FakeClock()).run(cache) == -2_000


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
async def test_of_many_athletes_that_are_held_few_files_are_open(tmp_path: Path) -> None:
    with files_allowed(256):  # macOS' default
        store = SqliteHarvestStore(directory=tmp_path / "d")
    before = len(os.listdir("/proc/self/fd"))
    async with contextlib.AsyncExitStack() as stack:
        for athlete_id in range(1, HELD + 1):
            await stack.enter_async_context(store.hold(athlete_id))
            await listed(store, made_row(athlete_id), athlete_id=athlete_id)
        for athlete_id in range(1, HELD + 1):
            await store.write(Changes(athlete_id, resources=[stored(athlete_id)]))
        assert len(os.listdir("/proc/self/fd")) - before < 160
        with pytest.raises(StoreError, match="in use"):
            async with SqliteHarvestStore(directory=tmp_path / "d").hold(1):
                pass
    assert (await store.counts()).activities == HELD
    assert len(await store.athlete_ids()) == HELD
    assert await store.purge(0.0) == 0
    assert len(os.listdir("/proc/self/fd")) - before < 160
