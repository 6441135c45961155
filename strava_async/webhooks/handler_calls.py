"""Calls of the application's functions for an event, each bounded in time.

Rules:

- An ``async`` function whose time is over is cancelled. A thread cannot be cancelled: its worker takes the next event,
  and the thread is **left behind** until its function returns.
- No more threads are left behind than there are workers. Beyond that a worker waits until its own thread,
  or one of those left behind, ends.
- Each thread that is left behind is logged, and so is its end; also one that is left because the service ends.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from inspect import isawaitable
from threading import Lock
from typing import Any, TypeVar

import anyio

from strava_async._concurrency.callbacks import call_back, is_async
from strava_async._concurrency.loop_binding import LoopBinding
from strava_async.clock import Clock
from strava_async.errors import InputError
from strava_async.webhooks.handler_errors import HandlerTimeoutError, ThreadLeftBehindError, must_propagate

T = TypeVar("T")

HANDLER_SECONDS = 60.0

_logger = logging.getLogger("strava_async.webhooks")


class HandlerCalls:
    """Calls functions of the application.

    Args:
        clock: times them.
        seconds: how long each may take; None means as long as it takes.
        most_left_behind: how many threads may be left behind.

    Raises:
        InputError: the seconds are not above zero.
    """

    def __init__(self, clock: Clock, seconds: float | None, most_left_behind: int) -> None:
        if seconds is not None and not seconds > 0:
            raise InputError(f"handler_seconds has to be a number of seconds above zero or None, not {seconds}")
        self._clock = clock
        self._seconds = seconds
        self._most = most_left_behind
        self._lock = Lock()
        self._left: set[_Thread] = set()
        self._binding = LoopBinding("this router of webhooks")
        self._ended = anyio.Event()

    @property
    def left_behind(self) -> int:
        """How many threads are left behind."""
        return len(self._left)

    async def __call__(self, label: str, function: Callable[[T], object], argument: T) -> Any:
        """Return what the function returns.

        Args:
            label: names the call in the log.
            function: async, or sync and then called in a thread.
            argument: of the function.

        Raises:
            HandlerTimeoutError: its time is over.
            Exception: what it raises; a BaseException that need not propagate becomes a RuntimeError.
        """
        thread = None if is_async(function) else _Thread(self, label)
        called = function if thread is None else partial(thread.run, function)
        results: list[Any] = []
        failure: BaseException | None = None
        over: HandlerTimeoutError | None = None

        async def end(seconds: float, scope: anyio.CancelScope) -> None:
            nonlocal over
            await self._clock.sleep(seconds)
            is_left = thread is not None and await self._leave_when_allowed(thread, seconds)
            if thread is not None and not is_left and not thread.is_to_be_awaited:
                return  # it has just ended
            over = (ThreadLeftBehindError if is_left else HandlerTimeoutError)(f"it took longer than {seconds:g} s")
            scope.cancel()

        async with anyio.create_task_group() as tasks:
            if self._seconds is not None:
                tasks.start_soon(end, self._seconds, tasks.cancel_scope)
            try:
                results.append(await _call(called, argument))
            except anyio.get_cancelled_exc_class():
                if thread is not None:
                    self._leave(thread, "because the service ends")
                raise
            except BaseException as error:  # raised below: the task group would wrap it
                failure = error
            tasks.cancel_scope.cancel()
        if over is not None and not results and not isinstance(failure, Exception | KeyboardInterrupt | SystemExit):
            failure = over  # the failure is the cancellation, perhaps wrapped
        if failure is not None:
            raise failure
        return results[0]

    async def _leave_when_allowed(self, thread: _Thread, seconds: float) -> bool:
        """Leave a thread behind, as soon as one more may be; return False if it ends before that."""
        if len(self._left) >= self._most and not thread.has_ended:
            text = "%s: took longer than %g s; %d threads are left behind already, so its worker waits for it"
            _logger.warning(text, thread.label, seconds, len(self._left))
        if self._binding.enter():  # before checking: a thread that ends from now on wakes this loop
            self._ended = anyio.Event()  # the other was of a loop that has ended
        while len(self._left) >= self._most and not thread.has_ended:
            await self._ended.wait()
        return self._leave(thread, f"after {seconds:g} s")

    def _leave(self, thread: _Thread, why: str) -> bool:
        with self._lock:
            if thread.has_ended or thread in self._left:
                return thread in self._left
            self._left.add(thread)
        text = "%s: its thread was left behind %s; %d of at most %d are"
        _logger.warning(text, thread.label, why, len(self._left), self._most)
        return True

    def note_end(self, thread: _Thread) -> None:
        """Note that a thread has ended; called in it."""
        with self._lock:
            thread.has_ended = True
            was_left = thread in self._left
            self._left.discard(thread)
        if was_left:
            _logger.info("%s: the thread that was left behind has ended", thread.label)
        self._binding.call_soon(self._wake)

    def _wake(self) -> None:
        ended, self._ended = self._ended, anyio.Event()
        ended.set()


class _Thread:
    """A call in a thread.

    Attributes:
        label: names the call in the log.
        has_ended: whether it has.
        is_to_be_awaited: whether it has returned an awaitable.
    """

    def __init__(self, calls: HandlerCalls, label: str) -> None:
        self._calls = calls
        self.label = label
        self.has_ended = False
        self.is_to_be_awaited = False

    def run(self, function: Callable[[T], object], argument: T) -> object:
        """Call the function, in the thread."""
        try:
            result = function(argument)
            self.is_to_be_awaited = isawaitable(result)
            return result
        finally:
            self._calls.note_end(self)


async def _call(function: Callable[[T], object], argument: T) -> Any:
    exits = (SystemExit,) if is_async(function) else ()  # in a thread it ends only the thread
    try:
        # A limiter of its own: the workers are the bound, and the service's own threads stay free.
        return await call_back(function, argument, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1))
    except Exception:
        raise
    except BaseException as error:
        if (passed_on := must_propagate(error, *exits)) is not None:
            raise passed_on from None
        raise RuntimeError(f"{type(error).__name__} is not an Exception, and is treated as one") from error
