"""One piece of work on an athlete's tokens at a time, shared by all who wait for it, and carried to its end."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from typing import TypeVar

import anyio

from strava_async._concurrency.loop_binding import LoopBinding
from strava_async._concurrency.shield import run_to_end
from strava_async.errors import InputError, StravaError, TransportError

E = TypeVar("E", bound=Exception)

Work = Callable[[], Awaitable[None]]


class _Renewal:
    """One piece of work under way: those who wait for it, and how it ended."""

    __slots__ = ("asked", "done", "ended", "error", "private")

    def __init__(self, private: bool) -> None:
        self.done = anyio.Event()
        self.private = private  # its error concerns nobody but whoever leads it
        self.asked = False  # Strava was asked for tokens; otherwise it may not be what those who wait need
        self.ended = False  # False when done: it was cancelled before it began anything, or with its event loop
        self.error: Exception | None = None


# A renewal may save tokens by a request that renews others: all of them are in one another.
_inside: ContextVar[tuple[_Renewal, ...]] = ContextVar("renewals of tokens", default=())


class Renewals:
    """Whoever comes first leads, those who come meanwhile wait and share the result, be it good or an error.

    All belongs to one event loop at a time; see ``LoopBinding``.
    """

    def __init__(self) -> None:
        self._binding = LoopBinding("this TokenSource, and with it the object that uses it,")
        self._renewal: _Renewal | None = None

    @property
    def under_way(self) -> bool:
        """Whether something is under way; after ``enter``."""
        return self._renewal is not None

    def enter(self) -> None:
        """Use it in the running event loop. What an event loop that has ended left behind is forgotten.

        Raises:
            InputError: it belongs to another event loop, which has not ended.
        """
        if self._binding.enter():
            self._renewal = None

    def asked(self) -> None:
        """Note that what is under way asks Strava for tokens."""
        if self._renewal is not None:
            self._renewal.asked = True

    async def share(self, work: Work) -> bool:
        """Do the work, or wait for what is under way.

        Returns:
            whether that was all there is to do. False if what was under way may have been something else.
        """
        self.enter()
        renewal = self._renewal
        if renewal is None:
            await self.lead(work)
            return True
        await _join(renewal)
        if renewal.error is not None and not renewal.private:
            raise own_copy(renewal.error)
        return renewal.asked and renewal.ended and renewal.error is None

    async def settled(self) -> None:
        """Wait until nothing is under way."""
        self.enter()
        while self._renewal is not None:
            await _join(self._renewal)

    async def lead(self, work: Work, *, private: bool = False) -> None:
        """Do the work, when nothing else is under way; ``private`` keeps its error from those who wait for it."""
        renewal = self._renewal = _Renewal(private)
        await run_to_end(partial(_carry_out, renewal, work), partial(self._end, renewal))
        if renewal.error is not None:
            raise own_copy(renewal.error)
        if not renewal.ended:
            raise TransportError("the event loop stopped a renewal of tokens", sent="maybe")

    def _end(self, renewal: _Renewal) -> None:
        if self._renewal is renewal:
            self._renewal = None
        renewal.done.set()


async def _join(renewal: _Renewal) -> None:
    if renewal in _inside.get():
        raise InputError("what is to save the tokens cannot use them: it would wait for itself")
    await renewal.done.wait()


async def _carry_out(renewal: _Renewal, work: Work) -> None:
    _inside.set((*_inside.get(), renewal))  # the context is that of the task that carries it
    try:
        await work()
    except Exception as error:
        renewal.error = error
    renewal.ended = True


def own_copy(error: E) -> E:
    """Return the error for one of several callers; one that all of them raised would collect all their tracebacks."""
    if not isinstance(error, StravaError):
        return error
    own = copy.copy(error)
    own.__cause__ = error.__cause__
    return own
