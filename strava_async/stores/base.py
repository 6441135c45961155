"""What a token store is."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from strava_async.oauth.grants import TokenSet


class TokenStore(Protocol):
    """Keeps the tokens of one application's athletes. Write your own over any database: these five methods.

    Rules:

    - When ``save`` has returned, the tokens survive the process: Strava has forgotten the ones before.
    - ``lock`` is what makes several processes renew a token once. Whoever holds it loads again before asking Strava.
      A holder that dies has to lose it by itself. ``load`` and ``save`` are called while it is held, by the holder.
    - All fields of a ``TokenSet`` are kept. One that does not keep ``generation`` can end no sessions before the grant.
    - What a store raises reaches the caller as it is; tokens that could not be saved are offered again later.
    """

    async def load(self, athlete_id: int) -> TokenSet | None:
        """Return the athlete's tokens, or None if the athlete is not connected."""
        ...

    async def save(self, athlete_id: int, token: TokenSet) -> None:
        """Keep the tokens, in place of those that were there."""
        ...

    async def delete(self, athlete_id: int) -> None:
        """Forget the athlete's tokens; nothing happens if there are none."""
        ...

    async def athlete_ids(self) -> list[int]:
        """Return the connected athletes, in ascending order."""
        ...

    def lock(self, athlete_id: int) -> AbstractAsyncContextManager[object]:
        """Return a context that one holder at a time is in, among all that share the store; others wait."""
        ...
