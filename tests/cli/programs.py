"""``strava-async`` in processes of its own, against a served emulator."""

import asyncio
import re
import sys
from pathlib import Path

from strava_async.testing import Emulator
from tests.environment import clean_environment

ROOT = Path(__file__).parent.parent.parent
TOKEN = re.compile(r"[0-9a-f]{40}")  # what the emulator's tokens, codes and secrets look like


class Program:
    """``strava-async`` in a process of its own, against a served emulator.

    Attributes:
        out: what it wrote to stdout so far.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.out = ""

    async def read_until(self, text: str) -> str:
        assert self.process.stdout is not None
        while text not in self.out:
            line = await self.process.stdout.readline()
            assert line, self.out
            self.out += line.decode()
        return self.out

    async def type(self, text: str | bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode() if isinstance(text, str) else text)
        await self.process.stdin.drain()

    async def end(self) -> tuple[int, str]:
        """End the input; return the exit status and what was written to stderr."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        out, err = await self.process.communicate()
        self.out += out.decode()
        assert not TOKEN.search(self.out + err.decode())
        return await self.process.wait(), err.decode()


class Shell:
    """Starts programs, all with the same home and emulator."""

    def __init__(self, home: Path, emulator: Emulator, url: str) -> None:
        self.emulator = emulator
        self.url = url
        self._processes: list[asyncio.subprocess.Process] = []
        self.environment = {
            **clean_environment(),
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "APPDATA": str(home / "config"),
            "BROWSER": "true",
            "STRAVA_CLIENT_ID": str(emulator.client_id),
            "STRAVA_CLIENT_SECRET": emulator.client_secret,
        }

    async def start(self, command: str, *options: str, **environment: str) -> Program:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "strava_async", command, "--emulator", self.url, *options),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=ROOT,
            env={**self.environment, **environment},
        )
        self._processes.append(process)
        return Program(process)

    async def close(self) -> None:
        """End what a test that failed has left running."""
        for process in self._processes:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def run(self, command: str, *options: str, **environment: str) -> tuple[int, str, str]:
        program = await self.start(command, *options, **environment)
        status, err = await program.end()
        return status, program.out, err
