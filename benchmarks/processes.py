"""The processes that measure, and their server."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from benchmarks.environments import CHECKOUT, CORE, STRAVALIB, Environment, clean_environ

ANSWER_SECONDS = 240.0
END_SECONDS = 10.0


class Process:
    """A Python module that runs in an environment, and answers a line with a line."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self._name = name
        self._process = process

    async def ask(self, job: str, **arguments: Any) -> dict[str, Any]:
        """Send a job and return its figures."""
        if self._process.stdin is None:
            raise RuntimeError(f"{self._name} has no standard input")
        self._process.stdin.write(json.dumps({"job": job, **arguments}).encode() + b"\n")
        return await self.answer()

    async def answer(self) -> dict[str, Any]:
        """Return the next line.

        Raises:
            RuntimeError: the process has ended; the reason is on standard error.
            TimeoutError: it takes too long.
        """
        if self._process.stdout is None:
            raise RuntimeError(f"{self._name} has no standard output")
        async with asyncio.timeout(ANSWER_SECONDS):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} gave up")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def end(self) -> None:
        """End it: its input ends; if that does not help it is killed."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(END_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def running(
    python: str, module: str, *arguments: str, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Process]:
    """Run a module of the checkout in an interpreter, until the block is left; None: in ``clean_environ``."""
    process = await asyncio.create_subprocess_exec(
        python,
        "-m",
        module,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=CHECKOUT,
        env=clean_environ() if environ is None else environ,
    )
    child = Process(" ".join((module, *arguments)), process)
    try:
        yield child
    finally:
        await child.end()


class Bench:
    """Starts clients against a running server.

    Args:
        prompt_url: the API that answers at once.
        distant_url: the API that answers with latency.
    """

    def __init__(self, prompt_url: str, distant_url: str) -> None:
        self._urls = (prompt_url, distant_url)

    def worker(self, environment: Environment, kind: str) -> AbstractAsyncContextManager[Process]:
        """Return the context of a process that measures a client; see ``worker``."""
        return running(environment.python, "benchmarks.worker", kind, *self._urls)

    def stravalib(self) -> AbstractAsyncContextManager[Process]:
        """Return the context of a process that harvests with stravalib; see ``sequence``."""
        return running(STRAVALIB.python, "benchmarks.sequence", self._urls[1])


@asynccontextmanager
async def serving(python: str = CORE.python) -> AsyncIterator[Bench]:
    """Run the server, until the block is left."""
    async with running(python, "benchmarks.server") as server:
        urls = await server.answer()
        yield Bench(urls["prompt"], urls["distant"])


async def run_python(python: str, code: str) -> str:
    """Run a line of Python in a fresh interpreter and return what it prints."""
    process = await asyncio.create_subprocess_exec(
        python, "-c", code, stdout=asyncio.subprocess.PIPE, cwd=CHECKOUT, env=clean_environ()
    )
    async with asyncio.timeout(ANSWER_SECONDS):
        output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{code!r} failed")
    return output.decode()


def say(text: str) -> None:
    """Report progress, on standard error: standard output has only the table."""
    print(text, file=sys.stderr, flush=True)
