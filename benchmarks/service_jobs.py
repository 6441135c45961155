"""The other end of ``processes.Process``: a process that executes jobs while its servers and tasks keep running."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

# Whatever goes wrong elsewhere, a process of the benchmark ends after that time.
MAX_SECONDS = 300

Job = Callable[..., Awaitable[Mapping[str, Any]]]


def end_in_time() -> None:
    """Kill this process when its time is over."""
    signal.alarm(MAX_SECONDS)


async def do_jobs(jobs: Mapping[str, Job]) -> None:
    """Execute the jobs on standard input, and answer each with a line; stop at once when the input ends."""
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    async with asyncio.TaskGroup() as tasks:
        begun: list[asyncio.Task[None]] = []
        while line := await commands.readline():
            begun.append(tasks.create_task(_do(jobs, json.loads(line))))
        for job in begun:
            job.cancel()


async def _do(jobs: Mapping[str, Job], arguments: dict[str, Any]) -> None:
    job = jobs[arguments.pop("job")]
    print(json.dumps(await job(**arguments)), flush=True)
