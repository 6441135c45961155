"""Large bodies, one at a time: decompressed and decoded in steps, between which the event loop does other work.

A hundred that arrive together would stall the loop. A decoder holds the interpreter: a thread would stall it as well.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

import anyio
import anyio.lowlevel

from strava_async.request.reply import LARGE_BODY_BYTES, Reply, decompressing_reply

T = TypeVar("T")

_locks: anyio.lowlevel.RunVar[anyio.Lock] = anyio.lowlevel.RunVar("large bodies being decoded")


async def decode_in_turn(reply: Reply, decode: Callable[[Reply], T]) -> T:
    """Decompress a reply, then decode it; each step in a turn of the event loop where the body is large.

    Args:
        reply: as it came.
        decode: gets it decompressed, or with the reason why it cannot be.
    """
    steps = decompressing_reply(reply)
    plain = _step_on(steps) if len(reply.body) < LARGE_BODY_BYTES else None
    if plain is not None:
        return decode(plain)
    async with _lock():
        while plain is None:
            await anyio.lowlevel.checkpoint()
            plain = _step_on(steps)
        await anyio.lowlevel.checkpoint()
        return decode(plain)


def _lock() -> anyio.Lock:
    """Return the lock of the running event loop, for all exchanges in it."""
    lock = _locks.get(None)
    if lock is None:
        lock = anyio.Lock()
        _locks.set(lock)
    return lock


def _step_on(steps: Generator[None, None, Reply]) -> Reply | None:
    """Take the next step; return the reply if it was the last."""
    try:
        next(steps)
    except StopIteration as end:
        plain: Reply = end.value
        return plain
    return None
