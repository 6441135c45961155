"""A full disk, and one that has room again: what was stored stays, and the next run goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SCRIPT = """
import os, resource, sys
from pathlib import Path

import anyio

from strava_async.errors import StoreError
from tests.harvest.world import LIST, World


async def main():
    world = World(Path(sys.argv[1]))
    async with world.harvest() as harvest:
        await harvest.run(max_requests=12)
        before = await world.store.counts()
        # No file may grow beyond the limit: what a full disk does, for one process, without a disk.
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (os.stat(sys.argv[1] + "-wal").st_size + 20_000, hard))
        try:
            await harvest.run()
        except StoreError as error:
            print("refused:", error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        after = await world.store.counts()
        assert after.activities == before.activities and sum(after.resources.values()) >= sum(before.resources.values())
        world.asked()
        outcome = await harvest.run()
        print("complete:", outcome.complete, len([path for path in world.asked() if path != LIST]))
    await world.assert_complete()
    print("kept:", sum(after.resources.values()))


anyio.run(main)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits of files")
def test_a_full_disk_ends_the_run_with_a_sentence_and_the_next_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "h.sqlite")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    assert "no room" in lines["refused"] or "the room on it" in lines["refused"]
    assert lines["complete"].startswith("True")
