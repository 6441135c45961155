"""A Redis server for a benchmark: on a free port of 127.0.0.1, with nothing on a disk."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory

READY = b"Ready to accept connections"
START_SECONDS = 20.0


def redis_binary() -> str | None:
    """Return the server's program: REDIS_SERVER, or what is installed; None where there is none."""
    return os.environ.get("REDIS_SERVER") or shutil.which("redis-server") or shutil.which("valkey-server")


@asynccontextmanager
async def running_redis() -> AsyncIterator[int]:
    """Run a server, until the block is left; yield its port."""
    binary = redis_binary()
    if binary is None:
        raise RuntimeError("redis-server is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    with TemporaryDirectory() as folder:
        options = ("--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no")
        process = await asyncio.create_subprocess_exec(binary, *options, stdout=asyncio.subprocess.PIPE)
        try:
            await _until_ready(process)
            yield port
        finally:
            process.kill()
            await process.communicate()


async def _until_ready(process: asyncio.subprocess.Process) -> None:
    if process.stdout is None:
        raise RuntimeError("the server has no standard output")
    async with asyncio.timeout(START_SECONDS):
        async for line in process.stdout:
            if READY in line:
                return
    raise RuntimeError("the server does not start: its port may have been taken")
