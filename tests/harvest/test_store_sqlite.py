"""The harvest's file: the contract, what others see of it, and what it does when it cannot be used."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from strava_async.errors import InputError, StoreError
from strava_async.harvest import Changes, Kind, SqliteHarvestStore, State
from strava_async.harvest.sqlite_schema import SCHEMA
from tests.harvest.contract import HarvestStoreContract, listed, made_row, stored


class TestSqliteHarvestStore(HarvestStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> SqliteHarvestStore:
        return SqliteHarvestStore(tmp_path / "h.sqlite")

    @pytest.fixture
    def twin(self, tmp_path: Path) -> SqliteHarvestStore:
        return SqliteHarvestStore(tmp_path / "h.sqlite")


class TestSqliteHarvestStoreInADirectory(HarvestStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> SqliteHarvestStore:
        return SqliteHarvestStore(directory=tmp_path / "data" / "harvest")

    @pytest.fixture
    def twin(self, tmp_path: Path) -> SqliteHarvestStore:
        return SqliteHarvestStore(directory=tmp_path / "data" / "harvest")


pytestmark = pytest.mark.anyio


def found_in(directory: Path, *needles: bytes) -> list[bytes]:
    """Return those that are in one of a directory's files."""
    data = b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())
    return [needle for needle in needles if needle in data]


async def test_the_file_is_readable_by_others_while_it_is_written(tmp_path: Path) -> None:
    store = SqliteHarvestStore(tmp_path / "h.sqlite")
    await listed(store, made_row(1, name="früh", distance=12.5))
    async with store.hold(7):
        with contextlib.closing(sqlite3.connect(f"file:{store.path}?mode=ro", uri=True)) as db:
            assert db.execute("select name, distance, body ->> '$.name' from activities").fetchall() == [
                ("früh", 12.5, "früh")
            ]
            await store.write(Changes(7, resources=[stored(1)]))
            assert db.execute("select kind, id, activity_id, state from resources").fetchall() == [
                (Kind.DETAIL, "1", 1, State.STORED)
            ]
    assert os.stat(store.path).st_mode & 0o777 == 0o600


async def test_deleting_leaves_no_byte_of_an_athlete(tmp_path: Path) -> None:
    store = SqliteHarvestStore(tmp_path / "h.sqlite")
    other, mine = [9_100_000_000 + n for n in range(250)], [8_100_000_000 + n for n in range(250)]
    for athlete_id, numbers in ((99_000_001, other), (88_000_001, mine)):
        await listed(store, *(made_row(n, name=f"name {n}", gear_id=f"b{n}") for n in numbers), athlete_id=athlete_id)
        bodies = [stored(n, body=b'{"id":%d,"data":"%s"}' % (n, b"x" * 900)) for n in numbers]
        await store.write(Changes(athlete_id, resources=bodies, check=numbers[:50]))
    needles = [text for n in (88_000_001, *mine) for text in (b"%d" % n, n.to_bytes(6, "big"), n.to_bytes(5, "big"))]
    assert len(found_in(tmp_path, *needles)) > 250
    await store.delete_athlete(88_000_001)
    assert found_in(tmp_path, *needles) == []
    assert len(found_in(tmp_path, *(b"%d" % n for n in other))) == 250


async def test_what_is_purged_or_gone_leaves_no_byte(tmp_path: Path) -> None:
    store = SqliteHarvestStore(tmp_path / "h.sqlite")
    numbers = [8_100_000_000 + n for n in range(300)]
    await listed(store, *(made_row(n, name=f"name {n}") for n in numbers), at=5.0)
    await listed(store, made_row(77), at=9.0)
    await store.write(Changes(7, resources=[stored(n, body=b'{"id":%d}' % n, at=5.0) for n in numbers]))
    await store.write(Changes(7, gone=[numbers[0]]))
    assert await store.purge(6.0) == 2 * 299
    assert found_in(tmp_path, *(b"%d" % n for n in numbers)) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such file")
async def test_nobody_is_told_to_remove_a_device_or_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreError, match="pipe is a device or a pipe: name another file"):
        await SqliteHarvestStore(tmp_path / "pipe").counts()


async def test_a_foreign_a_newer_and_a_damaged_file_are_refused_and_left_alone(tmp_path: Path) -> None:
    foreign, newer, damaged, text = (tmp_path / name for name in ("foreign", "newer", "damaged", "text"))
    with contextlib.closing(sqlite3.connect(foreign)) as db:
        db.execute("create table t (a)")
    for path in (newer, damaged):
        await listed(SqliteHarvestStore(path), *(made_row(n, name="x" * 500) for n in range(1, 200)))
    with contextlib.closing(sqlite3.connect(newer)) as db:
        db.execute(f"pragma user_version = {SCHEMA.version + 1}")
    with contextlib.closing(sqlite3.connect(damaged)) as db:
        db.execute("pragma wal_checkpoint(truncate)")
    with damaged.open("r+b") as file:
        file.seek(4096 * 8)
        file.write(b"\xff" * 4096 * 6)
    text.write_text("no database, but something else")
    for path, sentence in (
        (foreign, "another program's"),
        (newer, "newer"),
        (damaged, "damaged"),
        (text, "damaged or not a database"),
    ):
        before = path.read_bytes()
        with pytest.raises(StoreError, match=sentence):
            async with SqliteHarvestStore(path).hold(7):
                pass
        assert path.read_bytes() == before


async def test_a_path_that_names_no_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        SqliteHarvestStore(":memory:")
    with pytest.raises(InputError, match="either a path or a directory"):
        SqliteHarvestStore()
    with pytest.raises(InputError, match="either a path or a directory"):
        SqliteHarvestStore(tmp_path / "h.sqlite", directory=tmp_path)


async def test_asking_makes_no_file(tmp_path: Path) -> None:
    for store in (SqliteHarvestStore(tmp_path / "h.sqlite"), SqliteHarvestStore(directory=tmp_path / "d")):
        await store.write(Changes(7, check=[1]))
        await store.delete_athlete(7)
        await store.set_setting("keep", None)
        assert await store.settings() == {}
        assert (await store.state(7), await store.athlete_ids(), await store.purge(9.0)) == (None, [], 0)
        assert (await store.counts()).athletes == (await store.counts(7)).athletes == 0
    assert os.listdir(tmp_path) == []


async def test_in_a_directory_each_athlete_has_a_file_that_goes_with_the_athlete(tmp_path: Path) -> None:
    store, other = (SqliteHarvestStore(directory=tmp_path / "d") for _ in range(2))
    for athlete_id in range(1, 71):  # more than are open at a time
        await listed(store, made_row(athlete_id), athlete_id=athlete_id)
    assert await store.athlete_ids() == list(range(1, 71))
    async with store.hold(7), other.hold(8):
        with pytest.raises(StoreError, match=r"7\.sqlite is in use"):
            async with other.hold(7):
                pass
        await other.delete_athlete(7)
        await store.write(Changes(7, resources=[stored(7)]))
    assert [name for name in os.listdir(tmp_path / "d") if name.startswith("7.")] == []
    assert (await store.counts()).athletes == 69
    assert os.stat(tmp_path / "d").st_mode & 0o777 == 0o700


async def test_one_write_that_fails_fails_alone(tmp_path: Path) -> None:
    store = SqliteHarvestStore(tmp_path / "h.sqlite")
    await listed(store, *(made_row(number) for number in range(1, 11)))
    failed: list[int] = []

    async def write(number: int) -> None:
        body: Any = b"{}" if number != 5 else object()
        try:
            await store.write(Changes(7, resources=[stored(number, body=body)]))
        except StoreError:
            failed.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(1, 11):
            tasks.start_soon(write, number)
    assert failed == [5]
    assert (await store.counts()).of(Kind.DETAIL) == 9
