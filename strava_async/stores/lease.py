"""The lease of a lock that does not expire."""

from __future__ import annotations


class UntilReleased:
    """A ``Lease`` that is held until its holder releases it."""

    def __init__(self) -> None:
        self._is_held = True

    def held(self) -> bool:
        """Return whether it has not been released yet."""
        return self._is_held

    def release(self) -> None:
        """Note that the lock is released."""
        self._is_held = False
