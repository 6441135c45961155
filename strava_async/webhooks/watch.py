"""Warns when webhook events wait long for a worker, as when all handlers hang."""

from __future__ import annotations

import logging
from collections.abc import Callable

import anyio

from strava_async.clock import Clock

LONG_SECONDS = 60.0

_logger = logging.getLogger("strava_async.webhooks")


class Watch:
    """Checks for how long the oldest event has waited, while any may be waiting.

    Args:
        clock: times the checks.
        oldest: returns for how many seconds the oldest has waited; None if none waits.
        describe: returns why, for the log.
    """

    def __init__(self, clock: Clock, oldest: Callable[[], float | None], describe: Callable[[], str]) -> None:
        self._clock = clock
        self._oldest = oldest
        self._describe = describe
        self._wanted = anyio.Event()

    def wake(self) -> None:
        """Start checking: events may have to wait from now on."""
        self._wanted.set()

    async def run(self) -> None:
        """Log a WARNING for an event that has waited for a minute, and each minute after that; never returns."""
        while True:
            await self._wanted.wait()
            self._wanted = anyio.Event()
            while (waited := self._oldest()) is not None:
                if waited >= LONG_SECONDS:
                    text = "the oldest webhook event that could be handled has waited for %.0f s: %s"
                    _logger.warning(text, waited, self._describe())
                    waited = 0.0
                await self._clock.sleep(LONG_SECONDS - waited)
