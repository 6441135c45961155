"""Starts and ends the processes of ``sqlite_worker``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


class Workers:
    """The processes that a test has started."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[str]] = []

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.limiter.sqlite_worker", *map(str, arguments)]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._running.append(process)
        return process

    def end(self) -> None:
        """Kill those that run, stopped ones too."""
        while self._running:
            process = self._running.pop()
            process.kill()
            process.communicate()


def ask(process: subprocess.Popen[str], line: str = "") -> str:
    """Tell a process a line, if there is one, and return the line that it says; empty where it has ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    if line:
        process.stdin.write(line + "\n")
        process.stdin.flush()
    return process.stdout.readline().strip()
