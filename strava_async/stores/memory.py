"""Tokens in memory, for tests and for programs that connect athletes anew each time."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from strava_async.oauth import TokenSet
from strava_async.stores._turns import Turns
from strava_async.stores._values import check_athlete_id


class MemoryTokenStore:
    """A ``TokenStore`` that forgets everything with the process. Nothing waits but ``lock``.

    Can be used in several event loops, one after another. All methods raise InputError for what is no athlete id.
    """

    def __init__(self) -> None:
        self._tokens: dict[int, TokenSet] = {}
        self._turns = Turns()

    def __repr__(self) -> str:
        return f"<MemoryTokenStore athletes={len(self._tokens)}>"

    async def load(self, athlete_id: int) -> TokenSet | None:
        """Return the athlete's tokens, or None if the athlete is not connected."""
        check_athlete_id(athlete_id)
        return self._tokens.get(athlete_id)

    async def save(self, athlete_id: int, token: TokenSet) -> None:
        """Keep the tokens, in place of those that were there."""
        check_athlete_id(athlete_id)
        self._tokens[athlete_id] = token

    async def delete(self, athlete_id: int) -> None:
        """Forget the athlete's tokens; nothing happens if there are none."""
        check_athlete_id(athlete_id)
        self._tokens.pop(athlete_id, None)

    async def athlete_ids(self) -> list[int]:
        """Return the connected athletes, in ascending order."""
        return sorted(self._tokens)

    def lock(self, athlete_id: int) -> AbstractAsyncContextManager[None]:
        """Return a context that one task at a time is in; others wait in the order in which they came."""
        check_athlete_id(athlete_id)
        return self._turns.turn(athlete_id)
