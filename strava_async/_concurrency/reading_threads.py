"""Separate threads for reading files: a pipe without a writer blocks no other work."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

READING_THREADS = 16

Result = TypeVar("Result")
# Only an annotation names the class: to look it up loads a part of anyio, a sixth of what importing this package takes.
_reading: anyio.lowlevel.RunVar[anyio.CapacityLimiter] = anyio.lowlevel.RunVar("threads that read files")


async def in_reading_thread(work: Callable[[], Result]) -> Result:
    """Do work that may never end. A cancelled caller does not wait for it; its thread ends when the work does."""
    limiter = _reading.get(None)
    if limiter is None:
        limiter = anyio.CapacityLimiter(READING_THREADS)
        _reading.set(limiter)
    return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=limiter)
