"""What the queue and the dispatcher need of a ledger. ``quota.ledger.Ledger`` implements it for one process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from strava_async.quota.entry import LedgerEntry
from strava_async.quota.values import Blocked, Priority, QuotaClass

if TYPE_CHECKING:
    from strava_async.quota.readings import Quota


class QuotaLedger(Protocol):
    """Knows what may start now, and what an answer changes.

    Every ``now`` is a reading of the monotonic clock, never smaller than the one before. Nothing here waits.
    """

    @property
    def answers(self) -> int:
        """How many answers have been taken in."""
        ...

    def roll_windows(self, now: float) -> None:
        """Begin the windows that are due; the queries below are about the window that this finds."""
        ...

    def next_change(self) -> float:
        """Return the monotonic instant, after that of ``roll_windows``, at which time alone may let a call start."""
        ...

    def note_sleep(self, seconds: float, now: float) -> None:
        """Allow for so many seconds that the monotonic clock has missed: this machine slept."""
        ...

    def admits(self, quota_class: QuotaClass, priority: Priority, now: float) -> bool:
        """Return whether a permit may be given now."""
        ...

    def book(self, quota_class: QuotaClass, priority: Priority, now: float) -> LedgerEntry:
        """Count a permit as out; only if ``admits`` has just returned True."""
        ...

    def settle(self, entry: LedgerEntry, status_code: int, headers: Mapping[str, str], now: float) -> None:
        """End a permit with its answer. Never raises."""
        ...

    def release(self, entry: LedgerEntry, now: float) -> None:
        """End a permit whose request never left this machine."""
        ...

    def abandon(self, entry: LedgerEntry, now: float) -> None:
        """End a permit whose request was sent, with unknown outcome."""
        ...

    def abandon_all(self, now: float) -> None:
        """End every permit that is out: nothing else will."""
        ...

    def quota(self) -> Quota:
        """Return the four meters."""
        ...

    def blocked(
        self, quota_class: QuotaClass, now: float, reads_ahead: int = 0, uploads_ahead: int = 0
    ) -> Blocked | None:
        """Return what, at least, keeps a call from starting if those ahead start first; None if nothing is known to."""
        ...

    def reserve_wait(self, quota_class: QuotaClass, now: float, *, after_answers: bool = False) -> Blocked | None:
        """Return how long the reserve alone keeps a background call from starting; None if it does not.

        Args:
            quota_class: what the call spends.
            now: monotonic.
            after_answers: whether to look at the meters as they will be after the answers to requests in flight.
        """
        ...

    def default_wait(self, quota_class: QuotaClass, now: float) -> Blocked:
        """Return the wait for the next answer, with a guess of when: for a call that nothing known keeps."""
        ...
