"""Ctrl-C and SIGTERM of a command that writes: it ends within a second, and says how to go on."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable

import anyio

# What is being written is finished first, but for a second: a file that is rewritten may take longer, and survives.
GRACE_SECONDS = 0.8


class Stopper:
    """Ends what runs in a cancel scope when a signal comes.

    Args:
        say: writes the last words; called once.
        seconds: after which the process ends whatever it does.
        end: ends the process with a status.
        status: which.

    Attributes:
        is_stopped: whether a signal has come.
    """

    def __init__(
        self,
        say: Callable[[], None],
        status: int,
        *,
        seconds: float = GRACE_SECONDS,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        self.is_stopped = False
        self._say = say
        self._status = status
        self._seconds = seconds
        self._end = end
        self._timer: threading.Timer | None = None
        self._mutex = threading.Lock()
        self._has_said = False

    async def watch(self, scope: anyio.CancelScope) -> None:
        """Wait for a signal, and cancel the scope then."""
        if sys.platform == "win32":
            return  # Ctrl-C is an exception there
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                if not self.is_stopped:
                    self.is_stopped = True
                    self._timer = timer = threading.Timer(self._seconds, self._give_up)
                    timer.daemon = True
                    timer.start()
                    scope.cancel()

    def finish(self) -> int:
        """Say the last words after everything has ended, and return the exit status."""
        if self._timer is not None:
            self._timer.cancel()
        self._speak()
        return self._status

    def _give_up(self) -> None:
        self._speak()
        self._end(self._status)

    def _speak(self) -> None:
        with self._mutex:
            if not self._has_said:
                self._has_said = True
                self._say()
