"""A harvest that is stopped in the middle of something, by quota, a grant or a cancellation: what was paid is kept."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from strava_async.errors import StoreError
from strava_async.harvest import Changes, Harvest, Kind, Plan, Progress, SqliteHarvestStore, State
from strava_async.testing import Fault, MeterLimits
from tests.harvest.world import LIST, World, needed

pytestmark = pytest.mark.anyio
DAY = 86_400.0
FEW = {"years": 0.03}


# Quota


async def test_a_day_that_ends_in_the_middle_of_a_list_goes_on_there(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", years=0.4, limits=MeterLimits(10**4, 10**4, 10**4, 3))
    world.emulator.faults.add(Fault.short_pages(180), path=LIST, times=None)
    async with world.harvest(Plan.of([])) as harvest:
        outcome = await harvest.run()
    assert outcome.complete
    count = len(world.activities())
    assert len(world.rows("select id from activities")) == count > 60
    assert len(world.asked()) <= count // 20 + 3  # no page twice
    assert all(served.status_code != 429 for served in world.emulator.requests)


async def test_a_run_that_was_stopped_in_a_list_finds_what_came_since(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", years=0.4)
    world.emulator.faults.add(Fault.short_pages(180), path=LIST, times=None)
    async with world.harvest() as harvest:
        await harvest.run(max_requests=2)
        world.clock.advance(5 * DAY)
        world.emulator.record_activity()
        edited = world.activities()[2]["id"]
        world.emulator.edit_activity(edited, name="Edited since")
        assert (await harvest.run()).complete
    await world.assert_complete()


# Grants


async def test_a_token_that_expires_in_the_middle_is_renewed(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", **FEW)

    async def expire() -> None:
        world.emulator.expire_access_tokens()

    world.before(8, expire)
    async with world.harvest() as harvest:
        assert (await harvest.run()).complete
    assert world.emulator.count("POST", "/oauth/token") == 1
    await world.assert_complete()


async def test_a_grant_that_ends_in_the_middle_ends_that_athlete_alone_and_stays_to_be_followed(
    tmp_path: Path,
) -> None:
    world = World(tmp_path / "h.sqlite", athletes=2, years=0.1, latency_seconds=1.0)
    lost, other = world.ids
    done: list[int] = []

    def disconnect(progress: Progress) -> None:
        if progress.counts.requests >= 12 and not done:
            world.emulator.disconnect(lost)
            done.append(1)

    async with world.harvest() as harvest:
        outcome = await harvest.run(on_progress=disconnect)
    assert {failure.athlete_id for failure in outcome.failures} == {lost}
    assert len(outcome.failures) == 1
    assert len(await world.bodies(Kind.DETAIL, other)) == len(world.activities(other))
    assert world.rows("select count(*) from activities where athlete_id = ?", lost) != [(0,)]


async def test_a_renewed_token_that_is_lost_on_its_way_ends_that_athlete_alone(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", athletes=2, **FEW)
    lost, other = world.ids
    # The next one was issued, and never arrived: this one is invalid since.
    expired = int(world.clock.time()) - 5
    world.tokens[lost] = dataclasses.replace(world.tokens[lost], refresh_token="replaced", expires_at=expired)
    async with world.harvest() as harvest:
        outcome = await harvest.run()
    assert {failure.athlete_id for failure in outcome.failures} == {lost}
    assert len(await world.bodies(Kind.DETAIL, other)) == len(world.activities(other))


async def test_an_athlete_who_is_deleted_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", athletes=2, latency_seconds=1.0, years=0.2)
    gone, other = world.ids
    async with world.harvest() as harvest:
        world.before(12, lambda: world.store.delete_athlete(gone))
        outcome = await harvest.run()
    assert [(failure.athlete_id, failure.kind) for failure in outcome.failures] == [(gone, None)]
    assert not outcome.complete
    assert await world.store.athlete_ids() == [other]
    assert world.rows("select 1 from activities where athlete_id = ?", gone) == []
    assert world.rows("select 1 from resources where athlete_id = ?", gone) == []
    assert len(await world.bodies(Kind.DETAIL, other)) == len(world.activities(other))


@pytest.mark.parametrize("in_directory", [False, True])
async def test_a_file_that_is_removed_in_the_middle_is_said_and_costs_little_more(
    tmp_path: Path, in_directory: bool
) -> None:
    world = World(tmp_path / "h.sqlite", latency_seconds=1.0, years=0.3)
    directory, path = tmp_path / "d", world.path
    if in_directory:
        world.store, path = SqliteHarvestStore(directory=directory), directory / f"{world.ids[0]}.sqlite"
    asked = 0
    async with world.harvest() as harvest:

        def remove(progress: Progress) -> None:
            nonlocal asked
            if progress.counts.requests >= 30 and path.exists() and not asked:
                asked = progress.counts.requests
                path.unlink()

        outcome = await harvest.run(on_progress=remove)
    assert len(list(needed(world))) > 100
    assert outcome.counts.requests - asked <= 60
    assert not outcome.complete
    assert "file was removed" in outcome.failures[-1].reason


# Two at once


async def test_of_two_that_are_started_on_one_file_one_runs_and_one_leaves(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", **FEW)
    left: list[str] = []
    async with world.strava() as strava, anyio.create_task_group() as tasks:

        async def run() -> None:
            store = SqliteHarvestStore(world.path)
            try:
                assert (await Harvest(strava, store, keep=None).run()).complete
            except StoreError as error:
                left.append(str(error))

        tasks.start_soon(run)
        tasks.start_soon(run)
    assert len(left) == 1
    assert "in use: " in left[0]
    assert max(Counter(path for path in world.asked() if path != LIST).values()) == 1
    await world.assert_complete()


async def test_runs_are_noted_with_their_ends(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", **FEW)
    async with world.harvest() as harvest:
        await harvest.run(max_requests=3)
        world.clock.advance(60)
        requests = (await harvest.run()).counts.requests
        with anyio.CancelScope() as scope:
            await harvest.run(on_progress=lambda _: scope.cancel())
        world.emulator.faults.add(Fault.inactive(), path=LIST, times=1)
        with pytest.raises(Exception, match="nactive"):
            await harvest.run()
    runs = (await world.store.runs())[::-1]
    assert [run.outcome for run in runs] == ["partial", "complete", "cancelled", "ApplicationInactiveError"]
    assert [run.requests for run in runs[:2]] == [3, requests]
    assert all(run.ended_at is not None and run.began_at <= run.ended_at for run in runs)


# Cancellation


class Cancelling:
    """Cancels at one of the instants at which a run waits for something: a request or the store, before or after it.

    Attributes:
        instants: how many there were.
        written: what the store was given, and has to keep whatever is cancelled.
    """

    def __init__(self, at: int) -> None:
        self.instants = 0
        self.scope = anyio.CancelScope()
        self.written: list[Changes] = []
        self._at = at

    def pass_by(self) -> None:
        self.instants += 1
        if self.instants == self._at:
            self.scope.cancel()

    def app(self, app: ASGIApp) -> ASGIApp:
        async def called(scope: Scope, receive: Receive, send: Send) -> None:
            self.pass_by()
            await app(scope, receive, send)
            self.pass_by()

        return called


class Watched(SqliteHarvestStore):
    """A store of which each operation is an instant."""

    def __init__(self, path: Path, cancelling: Cancelling) -> None:
        super().__init__(path)
        self._cancelling = cancelling

    @asynccontextmanager
    async def _watched(self) -> AsyncGenerator[None]:
        self._cancelling.pass_by()
        yield
        self._cancelling.pass_by()

    def hold(self, athlete_id: int) -> AbstractAsyncContextManager[None]:
        self._cancelling.pass_by()
        return super().hold(athlete_id)

    async def write(self, *changes: Changes) -> None:
        self._cancelling.written.extend(changes)
        async with self._watched():
            await super().write(*changes)

    async def scan(self, *arguments: Any) -> Any:
        async with self._watched():
            return await super().scan(*arguments)

    async def state(self, athlete_id: int) -> Any:
        async with self._watched():
            return await super().state(athlete_id)

    async def purge(self, older_than: float) -> int:
        async with self._watched():
            return await super().purge(older_than)


async def cancelled_at(at: int, world: World) -> bool:
    """Cancel a run at that instant, and let another go on; return whether it had not ended before."""
    cancelling = Cancelling(at)
    store = Watched(world.path, cancelling)
    async with world.strava(app=cancelling.app) as strava:
        with cancelling.scope:
            await Harvest(strava, store, keep=timedelta(days=7)).run()
    for changes in cancelling.written:
        for resource in changes.resources:
            kept = await world.store.read(changes.athlete_id, resource.kind, resource.key)
            assert kept is not None
            assert kept.state == State.STORED
        for row in changes.rows:
            assert world.rows("select 1 from activities where id = ?", row.activity.id)
    paid = len({r.key for changes in cancelling.written for r in changes.resources if r.kind == Kind.DETAIL})
    async with world.harvest(keep=timedelta(days=7)) as harvest:
        assert (await harvest.run()).complete
    await world.assert_complete()
    asked = Counter(path for path in world.asked() if path != LIST)
    assert asked.keys() == set(needed(world))
    assert sum(asked.values()) - len(asked) <= 2 * len(world.activities()) - paid
    return cancelling.scope.cancelled_caught


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=[pytest.mark.long, pytest.mark.timeout(600)])])
async def test_cancelled_anywhere_what_was_paid_for_is_kept(tmp_path: Path, every: int) -> None:
    at = 1
    while await cancelled_at(at, World(tmp_path / f"{at}.sqlite", years=0.015)):
        at += every
    assert at > 30
