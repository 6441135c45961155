"""What a token store is: ``TokenStore``, and ``BasicTokenStore`` for one that does not compare and set."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from enum import Enum
from typing import Final, Literal, Protocol

from strava_async.oauth.token_set import TokenSet


class AnyTokens(Enum):
    """The type of ``ANY``."""

    ANY = "any"


ANY: Final[Literal[AnyTokens.ANY]] = AnyTokens.ANY
"""Whatever is in the store, tokens or none; None means that there are no tokens."""


class Lease(Protocol):
    """What the holder of a lock gets: it holds until it is released, or until it expires."""

    def held(self) -> bool:
        """Return whether the lock is still held: no other holder can have entered so far.

        Makes no requests and does not wait. A lease with an expiry counts its seconds on a monotonic clock, from before
        it was requested.
        """
        ...


class BasicTokenStore(Protocol):
    """The least that works as a token store: it writes whatever it is given.

    ``Strava`` loads and compares under the lock before it writes. That is as good as ``TokenStore`` while the lock is
    held, but not after a lease has expired.
    """

    async def load(self, athlete_id: int) -> TokenSet | None:
        """Return the athlete's tokens, or None if the athlete is not connected."""
        ...

    async def save(self, athlete_id: int, token: TokenSet) -> object:
        """Save the tokens, in place of those that were there."""
        ...

    async def delete(self, athlete_id: int) -> object:
        """Delete the athlete's tokens; nothing happens if there are none."""
        ...

    async def athlete_ids(self) -> list[int]:
        """Return the connected athletes, in ascending order."""
        ...

    def lock(self, athlete_id: int) -> AbstractAsyncContextManager[object]:
        """Return a context that one holder at a time is in, among all that share the store; others wait."""
        ...


class TokenStore(BasicTokenStore, Protocol):
    """Keeps the tokens of one application's athletes. Write your own over any database.

    Rules:

    - When ``save`` has returned True, the tokens survive the process: Strava has invalidated the previous ones.
    - ``save`` and ``delete`` compare and write in one atomic step. They are called under the lock, but a lock that is a
      lease may have expired: what another process has saved or deleted since must not be undone.
    - ``lock`` lets several processes renew a token once. The end of a holder's process releases it, however it ends.
      A lease lasts longer than a renewal, which ends within 25 seconds, and then one ``save``.
    - All fields of a ``TokenSet`` are kept. Without ``generation``, sessions can only end with the grant.
    - What a store raises reaches the caller as it is; tokens that could not be saved are saved at the next opportunity.
    """

    async def save(self, athlete_id: int, token: TokenSet, *, replacing: TokenSet | AnyTokens | None = ANY) -> bool:
        """Save the tokens, if those in the store are the ones that they are to replace.

        Args:
            athlete_id: whose.
            token: what to save.
            replacing: what ``load`` returned; None if that was None. ``ANY`` saves whatever is there.

        Returns:
            whether they were saved.
        """
        ...

    async def delete(self, athlete_id: int, *, if_unchanged: TokenSet | AnyTokens = ANY) -> bool:
        """Delete the athlete's tokens, if they are these.

        Args:
            athlete_id: whose.
            if_unchanged: what ``load`` returned. ``ANY`` deletes whatever is there.

        Returns:
            whether there were tokens that were deleted.
        """
        ...

    def iter_athlete_ids(self, *, after: int = 0) -> AsyncIterator[int]:
        """Iterate over the connected athletes in ascending order, each once; what changes meanwhile may be seen or not.

        Args:
            after: athletes with a larger id only.
        """
        ...

    def lock(self, athlete_id: int) -> AbstractAsyncContextManager[Lease]:
        """Return a context that one holder at a time is in, among all that share the store; others wait."""
        ...
