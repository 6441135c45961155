"""The event loop that an object belongs to: one at a time.

A task that waits in one loop cannot be woken from another, and the objects here are not thread-safe: used in a second
loop, an object would wait forever. So that is an error at once. When a loop has ended, the tasks that waited in it are
forgotten, and the object belongs to the next loop that uses it. In a child process, all loops of the parent have ended.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from threading import RLock, get_ident
from typing import Any
from weakref import WeakSet, ref

import sniffio

from strava_async.errors import InputError

_NO_THREAD = 0
_names = sniffio.thread_local
# Of two threads that come first at the same time, one gets the object. One lock for all objects: it is taken where one
# goes into another loop, and held for some microseconds. A signal handler may come in between, and enter too.
_entering = RLock()


class LoopBinding:
    """Remembers the event loop that an object belongs to.

    Attributes:
        thread: the identity of the loop's thread; 0 while it belongs to no loop.

    Args:
        what: the object, as an error names it; such as ``this rate limiter``.
    """

    __slots__ = ("__weakref__", "_is_asyncio", "_loop", "_what", "thread")

    def __init__(self, what: str) -> None:
        self._what = what
        self._loop: Callable[[], Any] | None = None  # a weak reference
        self._is_asyncio = False
        self.thread = _NO_THREAD

    def enter(self) -> bool:
        """Bind the object to the running event loop, if it is not yet.

        Returns:
            whether it belonged to another loop, which has ended: what waits there is to be forgotten.

        Raises:
            InputError: it belongs to another event loop, which has not ended; or no event loop is running.
        """
        if self.is_here():
            return False
        with _entering:
            return self._bind()

    def is_here(self) -> bool:
        """Return whether the running event loop is the one that the object belongs to."""
        loop = None if self._loop is None else self._loop()
        if loop is None:
            return False
        if self._is_asyncio and self.thread == get_ident() and _names.name is None:
            # A thread runs one loop at a time. To ask asyncio for it takes a system call before Python 3.12.
            return bool(loop.is_running())
        is_here = loop is _running_loop()
        if is_here:
            self.thread = get_ident()  # a loop that was stopped may go on in another
        return is_here

    def has_ended(self) -> bool:
        """Return whether the object belongs to no loop, or to one that has ended."""
        loop = None if self._loop is None else self._loop()
        return loop is None or _has_ended(loop)

    def call_soon(self, function: Callable[[], object]) -> None:
        """Let the object's loop call ``function``, from any thread; does nothing if the loop has ended."""
        loop = None if self._loop is None else self._loop()
        if loop is not None:
            _call_soon(loop, function)

    def _bind(self) -> bool:
        running, bound = _running_loop(), self._loop
        if running is None:
            raise InputError(f"{self._what} needs a running event loop: use it inside of asyncio.run or trio.run")
        if not self.has_ended():
            raise InputError(
                f"{self._what} belongs to another event loop, which has not ended: make one for each loop and thread"
            )
        self._loop = ref(running)
        self._is_asyncio = _names.name != "trio"
        self.thread = get_ident()
        _bound.add(self)
        return bound is not None

    def forget_parent(self) -> None:
        """Take the loop for one that has ended: it runs in the parent of this process, and only looks alive here."""
        self._loop, self.thread = _nothing, _NO_THREAD


def _running_loop() -> Any:
    """Return the running asyncio loop, or the token of the running ``trio.run``; None where there is neither."""
    # What sniffio would find out in the end. Trio names itself there, also where it runs as a guest of asyncio.
    if _names.name == "trio":
        import trio

        return trio.lowlevel.current_trio_token()
    asyncio = sys.modules.get("asyncio")  # to import it is a third of what importing this package takes
    try:
        return None if asyncio is None else asyncio.get_running_loop()
    except RuntimeError:
        return None


def _has_ended(loop: Any) -> bool:
    """Return whether an asyncio loop is closed, or the ``trio.run`` of a token is over."""
    is_closed = getattr(loop, "is_closed", None)
    return bool(not _call_soon(loop, _nothing) if is_closed is None else is_closed())


def _call_soon(loop: Any, function: Callable[[], object]) -> bool:
    """Return False where the loop has ended."""
    call_soon = getattr(loop, "call_soon_threadsafe", None)
    if call_soon is not None:
        try:
            call_soon(function)
        except RuntimeError:
            return False
        return True
    import trio

    try:
        loop.run_sync_soon(function, idempotent=True)
    except trio.RunFinishedError:
        return False
    return True


def _nothing() -> None:
    pass


_bound: WeakSet[LoopBinding] = WeakSet()


def _after_fork_in_child() -> None:
    global _entering
    _entering = RLock()  # a thread that is not here may have held it
    for binding in list(_bound):
        binding.forget_parent()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_after_fork_in_child)
