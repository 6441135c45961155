"""How an export treats its folder: what it replaces, removes and leaves, and what a reader sees meanwhile."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from strava_async.errors import InputError, StoreError
from strava_async.harvest import Activity, Changes, Held, Kind, SqliteHarvestStore
from strava_async.harvest.export import Format, export
from strava_async.harvest.export.base import KINDS
from strava_async.harvest.export.registry import checked_folder, locked
from strava_async.harvest.reading import BATCH
from tests.harvest.contract import NOW
from tests.harvest.export.stored import DAYS, add, bytes_in, files_in, filled

pytestmark = pytest.mark.anyio


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files_in(folder)}


class Interrupted(SqliteHarvestStore):
    """A store that calls something when bodies are read for the second time."""

    def __init__(self, path: Path, interrupt: Callable[[], Awaitable[None]]) -> None:
        super().__init__(path)
        self.reads = 0
        self._interrupt = interrupt

    async def scan(
        self, athlete_id: int, after: Activity | None, limit: int, *, bodies: Collection[Kind] | None = None
    ) -> list[Held]:
        if bodies == KINDS:
            self.reads += 1
            if self.reads == 2:
                await self._interrupt()
        return await super().scan(athlete_id, after, limit, bodies=bodies)


async def test_only_what_has_changed_is_written_again(tmp_path: Path) -> None:
    store = await filled(tmp_path / "h.sqlite", 7, 8)
    folder = tmp_path / "j"
    await export(store, folder, to="jsonl")
    before = {name: (folder / name).stat().st_ino for name in files_in(folder)}
    await add(store, 7, 75, DAYS[1], name="new")
    exported = await export(store, folder, to="jsonl")
    assert (exported.files_written, exported.files_kept, exported.files_removed) == (2, 6, 0)
    changed = [name for name in files_in(folder) if before.get(name) != (folder / name).stat().st_ino]
    assert changed == [f"{top}/athlete_id=7/year=2026/{top}.jsonl" for top in ("activities", "streams")]
    assert (await export(store, folder, to="jsonl", athlete_ids=[8])).content.activities == 3
    assert len(files_in(folder)) == 8


async def test_a_file_that_was_touched_or_removed_is_written_again(tmp_path: Path) -> None:
    store = await filled(tmp_path / "h.sqlite", 7)
    await export(store, tmp_path / "c", to="csv")
    before = contents(tmp_path / "c")
    first, second = (tmp_path / "c" / name for name in before)
    first.write_bytes(b"x")
    second.unlink()
    assert (await export(store, tmp_path / "c", to="csv")).files_written == 2
    assert contents(tmp_path / "c") == before
    (tmp_path / "c/.strava-async/athletes/7.json").write_text("[")
    assert (await export(store, tmp_path / "c", to="csv")).files_written == 2


@pytest.mark.parametrize("kind", Format)
async def test_what_is_not_held_any_more_is_removed(tmp_path: Path, kind: Format) -> None:
    store = await filled(tmp_path / "h.sqlite", 7, 8, 9)
    await export(store, tmp_path / "e", to=kind)
    await store.write(Changes(7, gone=[70, 72]))
    await store.write(Changes(8, gone=[80, 81, 82]))
    await store.delete_athlete(9)
    exported = await export(store, tmp_path / "e", to=kind, athlete_ids=[7, 8])
    assert exported.content.activities == 1
    assert exported.files_removed > 0
    assert not any(name.encode() in bytes_in(tmp_path / "e") for name in ("athlete_id=8", "athlete_id=9", "year=2025"))
    assert not any(b"%d" % number in bytes_in(tmp_path / "e") for number in (70_000, 72_000) if kind != Format.PARQUET)


async def test_what_is_not_the_exports_stays(tmp_path: Path) -> None:
    store = await filled(tmp_path / "h.sqlite", 7)
    folder = tmp_path / "e"
    (folder / "mine").mkdir(parents=True)
    await export(store, folder, to="csv")
    mine = [
        folder / name
        for name in (
            "a.txt",
            "mine/b",
            "activities/athlete_id=7/year=2026/c.csv",
            "activities/athlete_id=x/activities.csv",
        )
    ]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    await store.delete_athlete(7)
    await export(store, folder, to="csv")
    assert files_in(folder) == sorted(str(path.relative_to(folder)) for path in mine)


async def test_a_folder_with_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    store, other = await filled(tmp_path / "h.sqlite", 7), await filled(tmp_path / "o.sqlite", 8)
    (tmp_path / "a/activities").mkdir(parents=True)
    (tmp_path / "file").write_text("x")
    await export(store, tmp_path / "csv", to="csv")
    before = [bytes_in(tmp_path / name) for name in ("a", "csv")]
    for folder, to, sentence in (
        ("a", "csv", "has activities in it, which no export wrote"),
        ("file", "csv", "is a file: name a folder"),
        ("csv", "gpx", "holds an export to csv"),
        ("b", "fit", "one of parquet, csv, jsonl, geojson, gpx"),
    ):
        with pytest.raises(InputError, match=sentence):
            await export(store, tmp_path / folder, to=to)
    with pytest.raises(InputError, match="another store"):
        await export(other, tmp_path / "csv", to="csv")
    with pytest.raises(InputError, match="nothing is held of athlete 8"):
        await export(store, tmp_path / "b", to="csv", athlete_ids=[7, 8])
    paths: tuple[Any, ...] = ("", "a\0b", 5)
    for path in paths:
        with pytest.raises(InputError, match="the folder of an export"):
            await export(store, path, to="csv")
    assert [bytes_in(tmp_path / name) for name in ("a", "csv")] == before
    assert not (tmp_path / "b").exists()
    (tmp_path / "csv/.strava-async/export.json").write_text('{"export": "x", "version": 2}')
    with pytest.raises(StoreError, match="newer version"):
        await export(store, tmp_path / "csv", to="csv")


async def test_no_link_is_followed_below_the_folder(tmp_path: Path) -> None:
    store = await filled(tmp_path / "h.sqlite", 7, 8)
    (tmp_path / "else/year=2025").mkdir(parents=True)
    (tmp_path / "else/year=2025/activities.csv").write_text("mine")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    await export(store, tmp_path / "link", to="csv", athlete_ids=[8])
    (tmp_path / "real/activities/athlete_id=7").symlink_to(tmp_path / "else")
    with pytest.raises(StoreError, match="symbolic link"):
        await export(store, tmp_path / "link", to="csv")
    await store.delete_athlete(7)
    await export(store, tmp_path / "link", to="csv")
    assert (tmp_path / "else/year=2025/activities.csv").read_text() == "mine"
    assert len(files_in(tmp_path / "real")) == 2


async def test_two_exports_into_one_folder_do_not_mix(tmp_path: Path) -> None:
    store = await filled(tmp_path / "h.sqlite", 7)
    async with locked(checked_folder(tmp_path / "c", "csv")):
        with pytest.raises(StoreError, match=rf"in use: process {os.getpid()} \(.*\) exports into it"):
            await export(store, tmp_path / "c", to="csv")
    await export(store, tmp_path / "c", to="csv")


async def test_an_export_that_is_cancelled_leaves_the_old_files_or_the_new(tmp_path: Path) -> None:
    store = await filled(tmp_path / "h.sqlite", 7)
    folder = tmp_path / "j"
    await export(store, folder, to="jsonl")
    before = contents(folder)
    for day in DAYS:
        await add(store, 7, 75 + DAYS.index(day), day)
    with anyio.CancelScope() as scope:

        async def cancel() -> None:
            scope.cancel()
            await anyio.lowlevel.checkpoint()

        await export(Interrupted(tmp_path / "h.sqlite", cancel), folder, to="jsonl")
    assert scope.cancelled_caught
    after = contents(folder)
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} == {name for name in after if "2026" in name}
    assert not (folder / ".strava-async/new").exists()
    assert (await export(store, folder, to="jsonl")).files_written == 2
    assert all(contents(folder)[name] == after[name] for name in after if "2026" in name)


async def test_an_athlete_who_is_deleted_while_being_exported_is_not_in_it(tmp_path: Path) -> None:
    store = await filled(tmp_path / "h.sqlite", 7, 8)

    async def delete() -> None:
        await store.delete_athlete(7)

    await export(Interrupted(tmp_path / "h.sqlite", delete), tmp_path / "j", to="jsonl")
    assert {name.split("/")[1] for name in files_in(tmp_path / "j")} == {"athlete_id=8"}
    assert b"athlete_id=7" not in bytes_in(tmp_path / "j")


KILLED = """
import sys, anyio
from strava_async.harvest import SqliteHarvestStore
from strava_async.harvest.export import export
class Slow(SqliteHarvestStore):
    reads = 0
    async def scan(self, *args, bodies=None):
        if bodies:
            self.reads += 1
        if self.reads == int(sys.argv[3]):
            print("reading", flush=True)
            await anyio.sleep_forever()
        return await super().scan(*args, bodies=bodies)
anyio.run(lambda: export(Slow(sys.argv[1]), sys.argv[2], to="jsonl"))
"""


async def test_an_export_that_is_killed_leaves_whole_files(tmp_path: Path) -> None:
    store = await filled(tmp_path / "h.sqlite", 7)
    folder = tmp_path / "j"
    await export(store, folder, to="jsonl")
    before = contents(folder)
    for number in range(200):  # enough to be noted
        await add(store, 7, 7000 + number, DAYS[1])
    for number in range(2 * BATCH):
        await add(store, 7, 700 + number, DAYS[0])
    # The first year is written, and a batch of the second.
    arguments = [sys.executable, "-c", KILLED, str(tmp_path / "h.sqlite"), str(folder), str(-(-202 // BATCH) + 2)]
    async with await anyio.open_process(arguments, stderr=None) as process:
        assert process.stdout is not None
        assert await process.stdout.receive() == b"reading\n"
        process.kill()
    after = contents(folder)
    assert after.keys() == before.keys()
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {name for name in after if "2026" in name}
    assert (folder / ".strava-async/new").exists()
    assert (await export(store, folder, to="jsonl")).files_kept == 2
    assert not (folder / ".strava-async/new").exists()
    assert all(contents(folder)[name] == after[name] for name in changed)


async def test_an_export_without_anything_is_one(tmp_path: Path) -> None:
    store = SqliteHarvestStore(tmp_path / "h.sqlite")
    exported = await export(store, tmp_path / "e", to="parquet")
    assert (exported.athletes, exported.content.activities, files_in(tmp_path / "e")) == (0, 0, [])
    await store.add_athlete(7)
    assert (await export(store, tmp_path / "e", to="parquet")).athletes == 1


async def test_a_folder_that_cannot_be_written_is_one_sentence_and_the_old_files_stay(tmp_path: Path) -> None:
    store = await filled(tmp_path / "h.sqlite", 7)
    await export(store, tmp_path / "c", to="csv")
    before = contents(tmp_path / "c")
    notes = tmp_path / "c/.strava-async/athletes"
    notes.rename(tmp_path / "moved")
    notes.write_text("no folder")
    with pytest.raises(StoreError, match="is not a directory"):
        await export(store, tmp_path / "c", to="csv")
    assert contents(tmp_path / "c") == before


WITHOUT_PYARROW = """
import sys, anyio
sys.modules["pyarrow"] = None
from strava_async.harvest import SqliteHarvestStore
from strava_async.harvest.export import export
from strava_async.harvest.export.retention import withdraw
store = SqliteHarvestStore(sys.argv[1])
try:
    anyio.run(lambda: export(store, sys.argv[2], to="parquet"))
except ValueError as error:
    print(error)
anyio.run(lambda: withdraw(store, float(sys.argv[3])))
"""


async def test_without_pyarrow_nothing_is_written_and_what_is_too_old_is_removed(tmp_path: Path) -> None:
    store = SqliteHarvestStore(tmp_path / "h.sqlite")
    await add(store, 7, 70, DAYS[0], at=NOW - 9)
    await add(store, 7, 71, DAYS[1])
    await export(store, tmp_path / "old", to="parquet")
    arguments = [sys.executable, "-c", WITHOUT_PYARROW, str(tmp_path / "h.sqlite"), str(tmp_path / "new"), str(NOW - 5)]
    ended = await anyio.run_process(arguments, stderr=None)
    assert ended.stdout.decode() == 'an export to parquet needs more packages: pip install "strava-async[parquet]"\n'
    assert not (tmp_path / "new").exists()
    assert files_in(tmp_path / "old") == [
        f"{top}/athlete_id=7/year=2026/part-0.parquet" for top in ("activities", "streams")
    ]
