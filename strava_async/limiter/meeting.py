"""The calls of one process to the place where all meet: one at a time, each bounded, and what is logged of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

import anyio

from strava_async.clock import Clock
from strava_async.errors import StoreError, StravaError
from strava_async.limiter.meeting_place import MeetingPlace
from strava_async.quota.fleet.ledger import FleetLedger
from strava_async.quota.fleet.messages import NO_WANTS, Reply, Report, Wants

CALL_SECONDS = 3.0
_LAST_CALL_SECONDS = 1.0
_HURRY_SECONDS = 0.4
_CLOSE_SECONDS = 0.4

_logger = logging.getLogger("strava_async.limiter")


class Meeting:
    """What a process tells the others and hears from them; it outlives event loops.

    I/O takes real time, whatever the clock says: so do its bounds.

    Args:
        place: where all meet.
        what: the place, as a message names it.
        ledger: of this process.
        clock: for the time that a report has.
        rule: what holds while the place is away, as a message says it.
        call_seconds: how long an operation of the place may take.

    Attributes:
        what: the place, as passed in.
        is_calling: whether an operation of the place is under way.
        failure: why the last call failed; None if it did not.
    """

    def __init__(
        self,
        place: MeetingPlace,
        what: str,
        ledger: FleetLedger,
        clock: Clock,
        *,
        rule: str,
        call_seconds: float = CALL_SECONDS,
    ) -> None:
        self.what = what
        self.is_calling = False
        self.failure: Exception | None = None
        self._place = place
        self._ledger = ledger
        self._clock = clock
        self._rule = rule
        self._call_seconds = call_seconds
        self._patience: anyio.CancelScope | None = None
        self._is_known = False  # to the others, as far as this process knows
        self._is_away = self._is_fault_logged = self._is_closed = False

    async def check(self) -> None:
        """Find out whether the place can be used the way it is set up; one that is away is for ``call`` to find.

        Raises:
            StravaError: it cannot; see ``MeetingPlace.check``.
        """
        try:
            with self._bounded(self._call_seconds):
                await self._place.check()
        except StoreError as error:
            _logger.debug("%s could not be checked: %s", self.what, error)
        except StravaError:
            raise
        except Exception as error:
            self._note_unexpected(error)

    async def call(self, wants: Wants, now: Callable[[], float]) -> bool:
        """Tell what this process knows and wants, and take in the reply; or that there was none.

        Args:
            wants: what waits.
            now: returns the monotonic instant.

        Returns:
            whether there was a reply.

        Raises:
            Exception: any but StoreError is a fault, for ``note_fault``.
        """
        ledger = self._ledger
        report = ledger.report(wants, now())
        self._is_known = True
        try:
            reply = await self._call(report, self._call_seconds)
        except StoreError as error:
            self.failure = error
            ledger.fail(now())
            return False
        ledger.take(reply, now())
        return True

    def note_fault(self, error: Exception, now: float) -> None:
        """Take in that something failed which never should: it counts as a call without a reply."""
        self._note_unexpected(error)
        with suppress(Exception):  # it may be what failed
            self._ledger.fail(now)

    def note_away(self) -> None:
        """Log that the place is away, once."""
        if not self._is_away:
            self._is_away = True
            _logger.warning("%s is away, %s: %s", self.what, self._rule, self.reason)

    def note_back(self) -> None:
        """Take in that all is well; log it where the place was away."""
        self.failure, self._is_fault_logged = None, False
        if self._is_away:
            self._is_away = False
            _logger.info("%s is back", self.what)

    @property
    def reason(self) -> str:
        """Why the place is away, for a message: the sentence of an error of ours, and nothing of another's."""
        failure = self.failure
        return str(failure) if isinstance(failure, StravaError) else "an unexpected error, which was logged"

    def hurry(self) -> None:
        """Leave the operation under way little time."""
        if self._patience is not None:
            self._patience.deadline = min(self._patience.deadline, anyio.current_time() + _HURRY_SECONDS)

    async def leave(self, now: Callable[[], float]) -> None:
        """Return unused units, and report that this process leaves, if it ever reported; never raises.

        Args:
            now: returns the monotonic instant.
        """
        if not self._is_known:
            return
        self._is_known = False
        try:
            report = self._ledger.report(NO_WANTS, now(), leaves=True)
            self._ledger.take(await self._call(report, _LAST_CALL_SECONDS), now())
        except StoreError as error:
            _logger.debug("%s was not told that a process leaves: %s", self.what, error)
        except Exception as error:
            self._note_unexpected(error)

    async def close(self) -> None:
        """Close the place, once; never raises."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            with self._bounded(_CLOSE_SECONDS):
                await self._place.close()
        except Exception as error:
            self._note_unexpected(error)

    async def _call(self, report: Report, seconds: float) -> Reply:
        with self._bounded(seconds):
            return await self._place.call(report, int(self._clock.time() * 1_000))

    @contextmanager
    def _bounded(self, seconds: float) -> Generator[None]:
        self.is_calling = True
        try:
            with anyio.move_on_after(seconds) as scope:
                self._patience = scope
                yield
        finally:
            self.is_calling, self._patience = False, None
        if scope.cancelled_caught:
            raise StoreError(f"it did not reply within {seconds:g} s: see that it runs and can be reached")

    def _note_unexpected(self, error: Exception) -> None:
        # Once for each outage: the next call may fail in the same way.
        if not self._is_fault_logged:
            self._is_fault_logged = True
            _logger.error("%s failed in a way that it should not", self.what, exc_info=error)
        self.failure = error
