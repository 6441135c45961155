"""A worker process of a test, which is told what to do in lines and answers in lines."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


@asynccontextmanager
async def worker(command: Sequence[str], **orders: Any) -> AsyncGenerator[Process]:
    """Start a process, tell it its orders as JSON, and kill it in the end."""
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, cwd=ROOT)
    try:
        tell(process, json.dumps(orders))
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


def tell(process: Process, line: str) -> None:
    """Write a line to a process."""
    assert process.stdin is not None
    process.stdin.write(f"{line}\n".encode())


async def line(process: Process) -> str:
    """Return the next line of a process; empty at its end."""
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()
