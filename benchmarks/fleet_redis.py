"""A Redis server for a benchmark: on a free port of 127.0.0.1, with nothing on a disk."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory

from benchmarks.real_clock import on_the_real_clock

READY = b"Ready to accept connections"
START_SECONDS = 20.0
STARTS = 3  # somebody else may take a free port before it is used


def redis_binary() -> str | None:
    """Return the server's program: REDIS_SERVER, or what is installed; None where there is none."""
    return os.environ.get("REDIS_SERVER") or shutil.which("redis-server") or shutil.which("valkey-server")


@asynccontextmanager
async def running_redis() -> AsyncIterator[int]:
    """Run a server, until the block is left; yield its port.

    Raises:
        RuntimeError: there is none, or it does not start; with what it has said.
    """
    binary = redis_binary()
    if binary is None:
        raise RuntimeError("redis-server is not installed")
    with TemporaryDirectory() as folder:
        process, port = await _started(binary, folder)
        try:
            yield port
        finally:
            await _end(process)


async def _started(binary: str, folder: str) -> tuple[Process, int]:
    options = ("--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no")
    said: list[bytes] = []
    for _ in range(STARTS):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port: int = free.getsockname()[1]
        command = (binary, "--port", str(port), *options)
        environment = on_the_real_clock(os.environ)
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=PIPE, stderr=STDOUT)
        ready = False
        try:
            ready = await _gets_ready(process, said)
        finally:
            if not ready:
                await _end(process)
        if ready:
            return process, port
    raise RuntimeError(f"{binary} does not start:\n{b''.join(said).decode(errors='replace')}")


async def _gets_ready(process: Process, said: list[bytes]) -> bool:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            async for line in process.stdout:
                said.append(line)
                if READY in line:
                    return True
    except TimeoutError:
        said.append(b"(not ready in %d s)\n" % START_SECONDS)
    return False


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.communicate()
