"""A harvest that is killed at any instant: the next one goes on, and little is asked for twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from strava_async import SystemClock
from strava_async.harvest.callers import CALLERS
from strava_async.testing import Emulator, serve
from tests.harvest.world import LIST, ROOM, World, needed

WORKER = Path(__file__).parent / "kill_worker.py"


@contextmanager
def served(emulator: Emulator) -> Generator[str]:
    """Serve it from a thread, as long as the block lasts."""
    ready, stop, where = threading.Event(), threading.Event(), list[str]()

    async def main() -> None:
        async with serve(emulator) as url:
            where.append(url)
            ready.set()
            await anyio.to_thread.run_sync(stop.wait)

    thread = threading.Thread(target=lambda: anyio.run(main))
    thread.start()
    assert ready.wait(30)
    try:
        yield where[0]
    finally:
        stop.set()
        thread.join()


def wait_for(emulator: Emulator, requests: int, process: subprocess.Popen[bytes]) -> None:
    give_up_at = time.monotonic() + 60
    while len(emulator.requests) < requests and process.poll() is None:
        assert time.monotonic() < give_up_at
        time.sleep(0.001)


def kill_and_finish(world: World, kills: int, seed: int) -> None:
    """Start harvests, kill all but the last, and look at what was asked for and what is there."""
    rng = random.Random(seed)
    emulator = world.emulator
    share = len(list(needed(world))) // (kills + 1)
    with served(emulator) as url:
        tokens = {one: token.access_token for one, token in world.tokens.items()}
        given = {"api": f"{url}/api/v3", "oauth": f"{url}/oauth", "tokens": tokens}
        environment = {**os.environ, "HARVEST_TEST": json.dumps(given)}
        command = [sys.executable, str(WORKER), str(world.path)]
        for _ in range(kills):
            process = subprocess.Popen(command, env=environment)
            wait_for(emulator, len(emulator.requests) + rng.randint(1, max(2, share)), process)
            time.sleep(rng.random() * 0.02)  # at no particular instant of it
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert subprocess.run(command, env=environment, timeout=90).returncode == 0
    asked = Counter(world.asked())
    asked.pop(LIST)
    again = asked - Counter(needed(world))
    assert asked.keys() == set(needed(world))
    assert again.total() <= kills * CALLERS


@pytest.mark.one_python
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=[pytest.mark.long, pytest.mark.timeout(600)])])
def test_killed_at_any_instant(tmp_path: Path, kills: int) -> None:
    world = World(tmp_path / "h.sqlite", athletes=2, years=0.2 if kills == 5 else 0.8, limits=ROOM, clock=SystemClock())
    kill_and_finish(world, kills, seed=kills)
    anyio.run(world.assert_complete)
