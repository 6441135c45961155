"""The permit that a caller gets of the gate."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

from strava_async.quota.meter import Reservation


class Issuer(Protocol):
    """Who gave a permit, and books its end."""

    def settle(self, permit: Reservation, status_code: int, headers: Mapping[str, str]) -> None:
        """Book an answer."""
        ...

    def release(self, permit: Reservation) -> None:
        """Book that nothing was sent."""
        ...

    def abandon(self, permit: Reservation) -> None:
        """Book that nothing is known."""
        ...

    def abandon_later(self, permit: Reservation) -> None:
        """Leave a note to do so: this may be called in the middle of anything."""
        ...


class GatePermit(Reservation):
    """A permit; ``limiter.Permit`` says what its methods do. It can be ended once it is open.

    Attributes:
        place: that of its call in the line.
    """

    __slots__ = ("_issuer", "_open", "place")

    def __init__(self, issuer: Issuer, place: int) -> None:
        self._issuer = issuer
        self._open = False
        self.place = place

    def open(self) -> Self:
        """Hand the permit, which is booked, to its caller."""
        self._open = True
        return self

    def settle(self, status_code: int, headers: Mapping[str, str]) -> None:
        """End with an answer."""
        if self._open:
            self._open = False
            self._issuer.settle(self, status_code, headers)

    def release(self) -> None:
        """End without a request."""
        if self._open:
            self._open = False
            self._issuer.release(self)

    def abandon(self) -> None:
        """End without an answer."""
        if self._open:
            self._open = False
            self._issuer.abandon(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.abandon()

    def __del__(self) -> None:
        # A permit that its caller lost.
        if self._open:
            self._issuer.abandon_later(self)
