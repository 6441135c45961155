"""The other end of ``processes.Process``: a process that does what it is told while its servers and tasks go on."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

# Whatever goes wrong elsewhere, a process of the benchmark is gone after that.
MAX_SECONDS = 300

Job = Callable[..., Awaitable[Mapping[str, Any]]]


def end_in_time() -> None:
    """Let this process die when its time is over."""
    signal.alarm(MAX_SECONDS)


async def do_jobs(jobs: Mapping[str, Job]) -> None:
    """Do what the lines of standard input say, and answer each with a line; stop in the midst of it when they end."""
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
