"""The file in which processes share a quota is gone, locked, deleted, replaced while they send."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.fleet_processes import Fleet, QuotaFile, Setup
from tests.limiter.fleet_faults import OVER_A_TURN_AND_WHILE_SENDING, Disturb, run, run_without_place
from tests.limiter.fleet_faults import anyio_backend as anyio_backend
from tests.limiter.fleet_faults import redis_server as redis_server
from tests.limiter.fleet_faults import setup as setup

pytestmark = [pytest.mark.anyio, pytest.mark.one_python]


@pytest.fixture
def quota_file(tmp_path: Path) -> QuotaFile:
    folder = tmp_path / "folder"
    folder.mkdir()
    return QuotaFile(folder / "quota.db")


@OVER_A_TURN_AND_WHILE_SENDING
async def test_a_file_that_is_gone_for_some_time(setup: Setup, quota_file: QuotaFile, begin: Disturb) -> None:
    folder = quota_file.path.parent
    elsewhere = folder.with_name("elsewhere")

    def take_away() -> None:
        folder.rename(elsewhere)

    def bring_back() -> None:
        elsewhere.rename(folder)

    await run_without_place(setup, quota_file, begin, take_away, bring_back)


async def test_a_file_that_is_locked_for_a_minute(setup: Setup, quota_file: QuotaFile) -> None:
    async def lock(fleet: Fleet) -> None:
        await fleet.until(1, 2.0)
        with closing(sqlite3.connect(quota_file.path, isolation_level=None)) as connection:
            connection.execute("begin immediate")
            await fleet.until(1, 62.0)
            connection.execute("rollback")

    outcome = await run(setup, quota_file, lock)
    assert outcome.sent.refusals <= setup.processes


async def test_a_file_that_is_deleted(setup: Setup, quota_file: QuotaFile) -> None:
    async def delete(fleet: Fleet) -> None:
        for after in (-10.0, 2.0, 20.0):
            await fleet.until(1, after)
            for file in sorted(quota_file.path.parent.glob("quota.db*"), reverse=True):
                if file.is_file():
                    file.unlink()

    outcome = await run(setup, quota_file, delete)
    assert outcome.sent.refusals == 0


async def test_a_file_that_is_replaced_by_an_older_copy(setup: Setup, quota_file: QuotaFile) -> None:
    copy = quota_file.path.with_name("copy.db")

    async def put_back(fleet: Fleet) -> None:
        for after in (-10.0, 2.0):
            await fleet.until(1, after)
            with closing(sqlite3.connect(quota_file.path)) as source, closing(sqlite3.connect(copy)) as target:
                source.backup(target)
            copy.chmod(0o600)
            await fleet.until(1, after + 1.5)
            for companion in ("-wal", "-shm"):
                quota_file.path.with_name(f"quota.db{companion}").unlink(missing_ok=True)
            copy.replace(quota_file.path)

    outcome = await run(setup, quota_file, put_back)
    assert outcome.sent.refusals == 0
