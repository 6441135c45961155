"""A shared limiter that was used before a fork: a process of its own in the child, whatever the parent has and does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.environment import clean_environment

if sys.platform == "win32":
    pytest.skip("forks", allow_module_level=True)

ROOT = Path(__file__).parent.parent.parent
# Parent and child run in one script, on a place of which the child has a copy.
PREPARED = """
import asyncio, os, sys
from tests.limiter.contract import answer
from tests.limiter.meeting_double import MemoryPlace, make, new_clock

clock, place = new_clock(), MemoryPlace()
limiter = make(place, clock)

async def warm(used):
    for number in range(used, used + 5):
        (await limiter.acquire()).settle(200, answer(clock, number, number))
    while limiter.is_calling:
        await asyncio.sleep(0)

async def use():
    async with clock.autojump():
        await limiter.acquire()
    assert len({report.process for report in place.reports}) == 2
    assert (place.reports[-1].held.overall, place.reports[-1].done.overall) == (0, 0)  # the parent's is told by itself
    await limiter.aclose()

async def close():
    calls = len(place.reports)
    await limiter.aclose()
    assert len(place.reports) == calls  # else it gives back what the parent has

def in_child(function):
    child = os.fork()
    if child == 0:
        try:
            asyncio.run(asyncio.wait_for(function(), 30))
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
"""
PRELOADED = """
asyncio.run(warm(1))
in_child(close)
in_child(use)
asyncio.run(warm(6))
"""
RUNNING = """
async def main():
    await warm(1)
    held = await limiter.acquire()
    in_child(close)
    in_child(use)
    held.release()
    await warm(6)
    await limiter.aclose()
    assert len({report.process for report in place.reports}) == 1

asyncio.run(main())
"""


@pytest.mark.parametrize("parent", [PRELOADED, RUNNING], ids=["preloaded", "in a running loop"])
def test_the_child_has_nothing_of_the_parent_and_takes_nothing_from_it(parent: str) -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PREPARED + parent]
    done = subprocess.run(
        command, cwd=ROOT, env=clean_environment(), timeout=60, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
