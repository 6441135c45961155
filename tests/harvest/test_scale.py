"""Many athletes, and one with very many activities: turns stay fair, and no file is left open."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from strava_async.errors import StoreError
from strava_async.harvest import Changes, Harvest, Outcome, Plan, SqliteHarvestStore
from strava_async.harvest.callers import CALLERS
from strava_async.harvest.sqlite_parts import most_open
from strava_async.limiter import SqliteRateLimiter
from strava_async.testing import MeterLimits
from strava_async.testing.clock import SOME_TUESDAY
from tests.harvest.contract import made_row
from tests.harvest.world import LIST, World, needed

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.anyio
@pytest.mark.one_python
@pytest.mark.parametrize(
    ("anyio_backend", "count"), [("asyncio", 3_000), pytest.param("trio", 100_000, marks=pytest.mark.long)]
)
async def test_one_athlete_with_very_many_activities_takes_no_turn_of_another(tmp_path: Path, count: int) -> None:
    world = World(tmp_path / "h.sqlite", athletes=3, years=0.15)
    many, *others = world.ids
    rows = [made_row(number, "2020-01-01T00:00:00Z") for number in range(1, count + 1)]
    async with world.harvest(Plan.of([])) as harvest:
        await harvest.run()
    for start in range(0, count, 10_000):
        some = rows[start : start + 10_000]
        await world.store.write(Changes(many, rows=some, listed_at=world.clock.time(), seen_in=1))
    world.asked()
    fewest = min(len(world.activities(one)) for one in others)
    async with world.harvest(Plan(list=False, streams=False)) as harvest:
        await harvest.run(max_requests=3 * fewest - 6)
    owner = {str(a["id"]): one for one in world.ids for a in world.activities(one)}
    turns = Counter(owner.get(path.split("/")[2], many) for path in world.asked() if path != LIST)
    assert turns.keys() == set(world.ids)
    # Who is ready first gets all callers once; the others catch up.
    assert max(turns.values()) - min(turns.values()) <= CALLERS
    assert fewest > 20


@pytest.mark.anyio
@pytest.mark.parametrize(("anyio_backend", "offset"), [("asyncio", 0.0), ("trio", 365 * 86_400.0)])
async def test_two_that_share_a_quota_and_a_directory_harvest_different_athletes(tmp_path: Path, offset: float) -> None:
    world = World(tmp_path / "unused.sqlite", athletes=4, years=0.05, limits=MeterLimits(200, 10**4, 60, 10**4))
    world.machine.offset = offset
    outcomes: list[Outcome] = []

    async def run(ids: tuple[int, ...]) -> None:
        limiter = SqliteRateLimiter(tmp_path / "quota", application="1", clock=world.machine)
        async with limiter, world.strava(limiter=limiter) as strava:
            store = SqliteHarvestStore(directory=tmp_path / "d")
            outcomes.append(await Harvest(strava, store, keep=timedelta(days=7)).run(ids))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, world.ids[:2])
        tasks.start_soon(run, world.ids[2:])
    assert [outcome.complete for outcome in outcomes] == [True, True]
    assert all(served.status_code != 429 for served in world.emulator.requests)
    assert Counter(path for path in world.asked() if path != LIST) == Counter(needed(world))
    counts = await SqliteHarvestStore(directory=tmp_path / "d").counts()
    assert counts.activities == sum(len(world.activities(one)) for one in world.ids)
    assert counts.oldest is not None
    # By a clock that is wrong it is known within the quarter hour that Strava is in, and a minute.
    assert SOME_TUESDAY - 1_000 <= counts.oldest <= world.clock.time() + 960


SCRIPT = """
import resource, sys
from pathlib import Path

import anyio

from strava_async.harvest import Harvest, Plan, SqliteHarvestStore
from tests.harvest.world import World


async def main():
    folder, athletes, files = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    world = World(folder / "unused.sqlite", athletes=athletes, years=0.002)
    async with world.strava() as strava:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
        store = SqliteHarvestStore(directory=folder / "d")
        outcome = await Harvest(strava, store, keep=None, plan=Plan(list=True, streams=False)).run()
    counts = await store.counts()
    assert counts.athletes == athletes, counts
    print("complete:", outcome.complete, outcome.failures[:1])


anyio.run(main)
"""


@pytest.mark.parametrize(("files", "athletes"), [(1, 8), (256, 32), (1_024, 128), (sys.maxsize, 256)])
def test_half_of_the_files_that_may_be_open_are_for_athletes(files: int, athletes: int) -> None:
    assert most_open(files) == athletes


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits of files")
@pytest.mark.parametrize(
    ("athletes", "files"), [pytest.param(1_000, 512, marks=[pytest.mark.long, pytest.mark.timeout(600)])]
)
def test_more_athletes_than_files_may_be_open(tmp_path: Path, athletes: int, files: int) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(athletes), str(files)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("complete: True"), done.stderr


# Who holds which athlete of a directory

HOLDER = """
import sys

import anyio

from strava_async.harvest import SqliteHarvestStore


async def main():
    async with SqliteHarvestStore(directory=sys.argv[1]).hold(7):
        print("held", flush=True)
        sys.stdin.read()


anyio.run(main)
"""


def hold(directory: Path, athlete_id: int) -> None:
    """Hold an athlete for a moment."""

    async def main() -> None:
        async with SqliteHarvestStore(directory=directory).hold(athlete_id):
            pass

    anyio.run(main)


def test_an_athlete_is_free_when_the_process_that_had_it_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    holder = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin is not None
    assert holder.stdout is not None
    with holder.stdin, holder.stdout:
        assert holder.stdout.readline() == b"held\n"
        hold(tmp_path, 8)
        for _ in range(2):  # what was closed after 8 took nothing from anybody
            with pytest.raises(StoreError, match=f"in use: process {holder.pid}"):
                hold(tmp_path, 7)
        holder.kill()
        holder.wait()
        hold(tmp_path, 7)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_leaves_its_parents_athletes_held(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]

    def holder() -> bytes:
        return subprocess.run(command, cwd=ROOT, input=b"", capture_output=True, check=False).stderr

    async def main() -> bytes:
        store = SqliteHarvestStore(directory=tmp_path)
        async with store.hold(7):
            child = os.fork()
            if child == 0:
                os._exit(0)
            await anyio.to_thread.run_sync(os.waitpid, child, 0)
            with pytest.raises(StoreError, match="in use"):
                async with SqliteHarvestStore(directory=tmp_path).hold(7):
                    pass
            return await anyio.to_thread.run_sync(holder)

    assert b"in use: process" in anyio.run(main)
