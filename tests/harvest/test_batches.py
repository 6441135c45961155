"""Writes that come together are one transaction, and nobody who gives up takes another's along."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import pytest

from strava_async.harvest.sqlite_batches import Batches
from strava_async.harvest.sqlite_part import Part
from strava_async.harvest.sqlite_reads import athlete_ids
from strava_async.harvest.sqlite_schema import SCHEMA
from strava_async.stores.sqlite_file import SqliteFile
from strava_async.stores.sqlite_shared import SharedFile
from strava_async.testing import FakeClock

pytestmark = pytest.mark.anyio


class Numbers:
    """Writes numbers into a file, each in a call of its own."""

    def __init__(self, path: Path) -> None:
        self.part = Part(path, private=True, clock=FakeClock())
        self.statements: list[str] = []

    async def add(self, number: int) -> None:
        await self.part.run(lambda connection: connection.execute("insert into meta values (?, '')", (number,)))

    async def trace(self) -> None:
        await self.part.run(lambda connection: connection.set_trace_callback(self.statements.append))

    async def all(self) -> set[int]:
        rows = await self.part.run(lambda connection: connection.execute("select name from meta").fetchall())
        return {int(name) for (name,) in rows}


async def test_a_hundred_answers_at_once_take_few_commits(tmp_path: Path) -> None:
    numbers = Numbers(tmp_path / "h.sqlite")
    await numbers.trace()
    async with anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(numbers.add, number)
    assert await numbers.all() == set(range(100))
    assert [text.lower() for text in numbers.statements].count("commit") < 20  # how many is up to the threads
    assert sum(text.startswith("insert") for text in numbers.statements) == 100


async def test_a_caller_who_gives_up_takes_nobody_elses_answer_along(tmp_path: Path) -> None:
    numbers = Numbers(tmp_path / "h.sqlite")
    await numbers.all()
    async with anyio.create_task_group() as tasks, anyio.create_task_group() as doomed:
        for number in range(20):
            (doomed if number % 2 else tasks).start_soon(numbers.add, number)
        await anyio.lowlevel.checkpoint()
        doomed.cancel_scope.cancel()
    assert set(range(0, 20, 2)) <= await numbers.all() <= set(range(20))


class Removed(SharedFile):
    """A file that is removed as soon as it was found."""

    def found(self) -> SqliteFile | None:
        file = super().found()
        os.unlink(self.path)
        return file


async def test_a_file_that_is_removed_meanwhile_is_as_one_that_is_not_there(tmp_path: Path) -> None:
    # In a directory an athlete is deleted by removing the file: it must not end the run of all others.
    file = Removed(tmp_path / "7.sqlite", SCHEMA, busy_timeout=1.0, private=True)
    await file.made()
    batches = Batches(file, 1.0)
    assert batches.run_if_there(athlete_ids) is None
