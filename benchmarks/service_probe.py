"""The figures that the processes of the service measure of themselves, and the files they are passed in."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import time
from collections.abc import Iterable
from pathlib import Path

PROBE_SECONDS = 0.005
MEMORY_SECONDS = 0.25

_PAGE_BYTES = resource.getpagesize()


class Probe:
    """Measures an event loop and the process that it runs in. Instants are ``time.monotonic()``.

    Attributes:
        lags: when a sleeper was woken, how many seconds late, and for how many of them the system ran other processes.
        sizes: when, how many bytes are resident, and how many seconds of processor time were used.
    """

    def __init__(
        self, lags: Iterable[tuple[float, float, float]] = (), sizes: Iterable[tuple[float, int, float]] = ()
    ) -> None:
        self.lags = list(lags)
        self.sizes = list(sizes)

    async def run(self) -> None:
        """Measure, until cancelled."""
        weigh_at = 0.0
        waited = _waited_seconds()
        while True:
            due, before = time.monotonic() + PROBE_SECONDS, waited
            await asyncio.sleep(PROBE_SECONDS)
            now, waited = time.monotonic(), _waited_seconds()
            self.lags.append((now, max(now - due, 0.0), waited - before))
            if now >= weigh_at:
                weigh_at = now + MEMORY_SECONDS
                self.sizes.append((now, _resident_bytes(), time.process_time()))

    def write(self, folder: Path) -> None:
        """Put it all into the file of this process, in place of what was there."""
        content = json.dumps({"lags": self.lags, "sizes": self.sizes})
        (folder / f"probe-{os.getpid()}.json").write_text(content, encoding="ascii")


def count_probes(folder: Path) -> int:
    """Return how many processes have written."""
    return len(list(folder.glob("probe-*.json")))


def read_probes(folder: Path) -> list[Probe]:
    """Return what the processes wrote."""
    return [Probe(**json.loads(file.read_text(encoding="ascii"))) for file in sorted(folder.glob("probe-*.json"))]


def _waited_seconds() -> float:
    """Return for how long this thread was runnable but not running."""
    return int(Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
