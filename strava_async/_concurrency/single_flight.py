"""One piece of work at a time, shared by all callers that wait for it, and never left half done.

Rules:

- The first caller leads; those that come meanwhile wait, and share its result or its error.
- The work is not cancelled with its caller; see ``shield``.
- Work that waits for itself, directly or through another single flight, raises InputError instead of waiting forever.
- It belongs to one event loop at a time; see ``LoopBinding``. Work that an event loop left unfinished when it ended is
  forgotten.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from typing import TypeVar

import anyio

from strava_async._concurrency.loop_binding import LoopBinding
from strava_async._concurrency.shield import run_shielded
from strava_async.errors import InputError, StravaError, TransportError

E = TypeVar("E", bound=Exception)
T = TypeVar("T")

Work = Callable[[], Awaitable[None]]


class Flight:
    """One piece of work in progress: the callers that wait for it, and how it ended."""

    __slots__ = ("done", "ended", "error", "is_conclusive", "private")

    def __init__(self, private: bool) -> None:
        self.done = anyio.Event()
        self.private = private  # its error is for its leader alone
        self.is_conclusive = False
        self.ended = False  # False when done: it was cancelled before it began anything, or with its event loop
        self.error: Exception | None = None


# Work may lead to other work, as when tokens are saved by a request that renews others: all of it is in one context.
_inside: ContextVar[tuple[Flight, ...]] = ContextVar("single flights", default=())


class SingleFlight:
    """Runs one piece of work at a time.

    Attributes:
        current: the work in progress; None if there is none. Valid after ``enter``.

    Args:
        owner: the object that uses it, as an error names it; such as ``this TokenSource``.
        work: what it runs, as an error names it; such as ``a renewal of tokens``.
    """

    def __init__(self, owner: str, work: str) -> None:
        self._binding = LoopBinding(owner)
        self._work = work
        self.current: Flight | None = None

    def enter(self) -> None:
        """Use it in the running event loop.

        Raises:
            InputError: it belongs to another event loop, which has not ended.
        """
        if self._binding.enter():
            self.current = None

    def mark_conclusive(self) -> None:
        """Note that the work in progress does all that any caller of ``share`` needs."""
        if self.current is not None:
            self.current.is_conclusive = True

    async def share(self, work: Work) -> bool:
        """Do the work, or wait for the work in progress.

        Returns:
            whether the work is done. False if what was in progress may have been something else.
        """
        self.enter()
        flight = self.current
        if flight is None:
            await self._lead(work, private=False)
            return True
        await self._join(flight)
        if flight.error is not None and not flight.private:
            raise own_copy(flight.error)
        return flight.is_conclusive and flight.ended and flight.error is None

    async def alone(self, work: Callable[[], Awaitable[T]]) -> T:
        """Wait until nothing is in progress, then do the work; return what it returns.

        Callers that come meanwhile wait for it too, but do not get its error.
        """
        await self.wait_idle()
        results: list[T] = []

        async def noted() -> None:
            results.append(await work())

        await self._lead(noted, private=True)
        return results[0]

    async def wait_idle(self) -> None:
        """Wait until nothing is in progress."""
        self.enter()
        while self.current is not None:
            await self._join(self.current)

    async def _lead(self, work: Work, *, private: bool) -> None:
        flight = self.current = Flight(private)
        await run_shielded(partial(_run, flight, work), partial(self._end, flight))
        if flight.error is not None:
            raise own_copy(flight.error)
        if not flight.ended:
            raise TransportError(f"the event loop ended during {self._work}", sent="maybe")

    def _end(self, flight: Flight) -> None:
        if self.current is flight:
            self.current = None
        flight.done.set()

    async def _join(self, flight: Flight) -> None:
        if flight in _inside.get():
            raise InputError(f"{self._work} would wait for itself: what it calls cannot use the same tokens")
        await flight.done.wait()


async def _run(flight: Flight, work: Work) -> None:
    _inside.set((*_inside.get(), flight))  # the context is that of the task that runs it
    try:
        await work()
    except Exception as error:
        flight.error = error
    flight.ended = True


def own_copy(error: E) -> E:
    """Return the error for one of several callers; one that all of them raised would collect all their tracebacks."""
    if not isinstance(error, StravaError):
        return error
    own = copy.copy(error)
    own.__cause__ = error.__cause__
    return own
