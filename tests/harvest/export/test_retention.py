"""What is deleted in a store is deleted in its exports: the ids are searched for in the files."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from strava_async import WebhookEvent
from strava_async.errors import StoreError
from strava_async.harvest import Changes, Followed, Plan, SqliteHarvestStore
from strava_async.harvest.export import Format, export
from strava_async.harvest.export.registry import checked_folder, locked
from strava_async.harvest.export.retention import remove_athlete, withdraw
from tests.harvest.contract import NOW
from tests.harvest.export.stored import DAYS, add, bytes_in, files_in, filled
from tests.harvest.world import World

pytestmark = pytest.mark.anyio
A_DAY = 86_400.0


async def exported(store: SqliteHarvestStore, folder: Path) -> list[Path]:
    """Write an export to each format, and return their folders."""
    folders = [folder / kind for kind in Format]
    for kind, each in zip(Format, folders, strict=True):
        await export(store, each, to=kind)
    return folders


def shows(folder: Path, number: int) -> bool:
    """Say whether an id is in an export: as text, or as Parquet has it."""
    found = bytes_in(folder)
    return b"%d" % number in found or number.to_bytes(8, "little") in found


async def test_a_deleted_athlete_leaves_every_export_at_once(tmp_path: Path) -> None:
    store = await filled(tmp_path / "h.sqlite", 88_000_001, 99_000_001)
    folders = await exported(store, tmp_path)
    assert all(shows(folder, 880_000_010) and shows(folder, 88_000_001) for folder in folders)
    (folders[1] / ".strava-async/new").mkdir()
    (folders[1] / ".strava-async/new/1").write_text("88000001, of an export that was killed")
    async with locked(checked_folder(folders[0], "parquet")):  # an export that is being written stops nothing
        await store.delete_athlete(88_000_001)
        await remove_athlete(store, 88_000_001)
    for folder in folders:
        assert not any(shows(folder, number) for number in (88_000_001, 880_000_010, 880_000_012))
        assert shows(folder, 990_000_010)


async def test_what_is_too_old_or_gone_leaves_the_exports_and_the_rest_stays(tmp_path: Path) -> None:
    store = SqliteHarvestStore(tmp_path / "h.sqlite")
    for number, (day, at) in enumerate(((DAYS[0], NOW), (DAYS[1], NOW), (DAYS[1], NOW - A_DAY), (DAYS[0], NOW))):
        await add(store, 7, 77_000_000 + number, day, at=at)
    await add(store, 8, 88_000_000, at=NOW - A_DAY)
    folders = await exported(store, tmp_path)
    before = [{name: (folder / name).stat().st_ino for name in files_in(folder)} for folder in folders]
    await withdraw(store, NOW - 2 * A_DAY)
    assert before == [{name: (folder / name).stat().st_ino for name in files_in(folder)} for folder in folders]
    await store.purge(NOW - 5)
    await store.write(Changes(7, gone=[77_000_003]))
    await withdraw(store, NOW - 5)
    for folder in folders:
        assert [shows(folder, 77_000_000 + number) for number in range(4)] == [True, True, False, False]
        assert not shows(folder, 88_000_000)


async def test_what_is_held_newer_than_in_the_export_is_written_again(tmp_path: Path) -> None:
    store = SqliteHarvestStore(tmp_path / "h.sqlite")
    await add(store, 7, 1, at=NOW - A_DAY, name="old name")
    await add(store, 7, 2, DAYS[0], at=NOW, name="other")
    await export(store, tmp_path / "c", to="csv")
    await add(store, 7, 1, at=NOW, name="new name")
    await add(store, 7, 3, "2024-01-01T00:00:00Z", at=NOW)
    await withdraw(store, NOW - 5)
    found = bytes_in(tmp_path / "c")
    assert (b"old name" in found, b"new name" in found, b"other" in found) == (False, True, True)
    assert len(files_in(tmp_path / "c")) == 2  # it brings nothing new


async def test_streams_that_are_none_now_leave_the_exports(tmp_path: Path) -> None:
    store = SqliteHarvestStore(tmp_path / "h.sqlite")
    await add(store, 7, 1)
    await export(store, tmp_path / "g", to="gpx")
    await store.delete_athlete(7)
    await add(store, 7, 1, samples={})
    await withdraw(store, 0.0)
    assert files_in(tmp_path / "g") == []


async def test_an_export_that_is_not_there_or_is_being_written_is_left_out(tmp_path: Path) -> None:
    store = await filled(tmp_path / "h.sqlite", 7)
    for name in ("a", "b"):
        await export(store, tmp_path / name, to="csv")
    (tmp_path / "a").rename(tmp_path / "away")
    await store.delete_athlete(7)
    async with locked(checked_folder(tmp_path / "b", "csv")):
        await withdraw(store, 0.0)
        assert len(files_in(tmp_path / "b")) == 2
    await withdraw(store, 0.0)
    assert files_in(tmp_path / "b") == []
    (tmp_path / "away").rename(tmp_path / "a")
    await remove_athlete(store, 7)
    assert files_in(tmp_path / "a") == []


async def test_one_export_that_cannot_be_written_does_not_keep_the_others(tmp_path: Path) -> None:
    store = await filled(tmp_path / "h.sqlite", 7)
    for name in "abc":
        await export(store, tmp_path / name, to="csv")
    for name in ("a/activities/athlete_id=7/year=2025", "b/activities/athlete_id=7/year=2025"):
        (tmp_path / name / "activities.csv").unlink()
        (tmp_path / name / "activities.csv").mkdir()
    (tmp_path / "a/.strava-async/athletes/7.json").unlink()
    (tmp_path / "a/.strava-async/athletes/7.json").mkdir()
    await store.delete_athlete(7)
    with pytest.raises(StoreError, match="/a"):
        await remove_athlete(store, 7)
    assert files_in(tmp_path / "c") == files_in(tmp_path / "b") == []


async def test_purge_and_follow_and_run_reach_the_exports(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", athletes=3, years=0.02)
    first, second, third = world.ids
    async with world.harvest(Plan(streams=False)) as harvest:
        await harvest.run()
    await export(world.store, tmp_path / "j", to="jsonl")
    gone = world.activities(third)[0]["id"]
    world.emulator.delete_activity(gone)
    async with world.harvest(Plan(streams=False), keep=timedelta(days=7)) as harvest:
        await harvest.purge(athlete_id=first)
        assert not shows(tmp_path / "j", first)
        assert shows(tmp_path / "j", second)
        world.emulator.disconnect(second)
        event = WebhookEvent("athlete", second, "update", second, 1, 1, {"authorized": "false"})
        assert await harvest.follow(event) is Followed.DELETED
        assert not shows(tmp_path / "j", second)
        assert shows(tmp_path / "j", gone)
        await harvest.follow(WebhookEvent("activity", gone, "delete", third, 1, 1, {}))
        await harvest.run([third])
        await harvest.run([third])
        assert not shows(tmp_path / "j", gone)
        assert shows(tmp_path / "j", third)
        world.clock.advance(1)
        await harvest.purge(older_than=timedelta())
    assert files_in(tmp_path / "j") == []
