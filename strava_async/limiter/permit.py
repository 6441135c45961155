"""The permit that a caller gets from the dispatcher."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

from strava_async.quota.entry import LedgerEntry


class Issuer(Protocol):
    """Gave a permit, and books its end."""

    def settle(self, entry: LedgerEntry, status_code: int, headers: Mapping[str, str]) -> None:
        """Book an answer."""
        ...

    def release(self, entry: LedgerEntry) -> None:
        """Book that nothing was sent."""
        ...

    def abandon(self, entry: LedgerEntry) -> None:
        """Book that nothing is known."""
        ...

    def abandon_leaked(self, entry: LedgerEntry) -> None:
        """Book, at the next occasion, that nothing is known: this may be called in the middle of anything."""
        ...


class LedgerPermit:
    """A permit that is booked; ``limiter.base.Permit`` says what its methods do.

    Attributes:
        issuer: gave it.
        ticket: that of its call in the queue.
    """

    __slots__ = ("_entry", "issuer", "ticket")

    def __init__(self, issuer: Issuer, entry: LedgerEntry, ticket: int) -> None:
        self.issuer = issuer
        self._entry: LedgerEntry | None = entry  # None once it has ended
        self.ticket = ticket

    def settle(self, status_code: int, headers: Mapping[str, str]) -> None:
        """End with an answer."""
        entry = self._entry
        if entry is not None:
            self._entry = None
            self.issuer.settle(entry, status_code, headers)

    def release(self) -> None:
        """End without a request."""
        entry = self._entry
        if entry is not None:
            self._entry = None
            self.issuer.release(entry)

    def abandon(self) -> None:
        """End without an answer."""
        entry = self._entry
        if entry is not None:
            self._entry = None
            self.issuer.abandon(entry)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.abandon()

    def __del__(self) -> None:
        # Its caller dropped it without ending it.
        if self._entry is not None:
            self.issuer.abandon_leaked(self._entry)
