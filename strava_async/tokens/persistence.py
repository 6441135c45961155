"""Where the tokens of one athlete are saved: a store that processes share, or a function of the caller's."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

from strava_async.errors import InvalidGrantError
from strava_async.oauth.token_set import TokenSet

if TYPE_CHECKING:  # an ApiV3 alone has no store, and does not load their modules
    from strava_async.stores.base import Lease, TokenStore

OnTokenRefresh = Callable[[TokenSet], object]


class TokenPersistence(Protocol):
    """Where the tokens of one athlete are saved, and the lock under which they are renewed."""

    def lock(self) -> AbstractAsyncContextManager[Lease]:
        """Return a context that one renewal of these tokens at a time is in, among all that share them."""
        ...

    async def load(self, present: TokenSet) -> TokenSet:
        """Return the tokens that are saved.

        Args:
            present: what the caller has; returned where nothing else is known.

        Raises:
            InvalidGrantError: the athlete is not connected, or not any more.
        """
        ...

    async def save(self, token: TokenSet, *, replacing: TokenSet | None) -> bool:
        """Save the tokens, if those that are saved are the ones to replace; see ``TokenStore.save``."""
        ...


class CallbackPersistence:
    """Saves nothing: it passes renewed tokens to a function.

    Args:
        on_refresh: sync or async; None means that there is none.
    """

    def __init__(self, on_refresh: OnTokenRefresh | None) -> None:
        self._on_refresh = on_refresh

    def lock(self) -> AbstractAsyncContextManager[Lease]:
        """Return a context that excludes nothing: no other process has these tokens."""
        return nullcontext(_Uncontended())

    async def load(self, present: TokenSet) -> TokenSet:
        """Return what the caller has."""
        return present

    async def save(self, token: TokenSet, *, replacing: TokenSet | None) -> bool:
        """Call the function; when it has returned, the tokens count as saved."""
        if self._on_refresh is not None:
            result = self._on_refresh(token)
            if inspect.isawaitable(result):
                await result
        return True


class _Uncontended:
    """The lease of a lock without contenders."""

    def held(self) -> bool:
        return True


class StorePersistence:
    """One athlete's place in a token store.

    Args:
        store: shared with other athletes, and perhaps with other processes.
        athlete_id: whose place.
    """

    def __init__(self, store: TokenStore, athlete_id: int) -> None:
        self._store = store
        self._athlete_id = athlete_id

    def lock(self) -> AbstractAsyncContextManager[Lease]:
        """Return the store's lock on the athlete."""
        return self._store.lock(self._athlete_id)

    async def load(self, present: TokenSet) -> TokenSet:
        """Return the athlete's tokens.

        Raises:
            InvalidGrantError: there are none.
        """
        token = await self._store.load(self._athlete_id)
        if token is None:
            raise InvalidGrantError(f"athlete {self._athlete_id} is not connected: there are no tokens in the store")
        return token

    async def save(self, token: TokenSet, *, replacing: TokenSet | None) -> bool:
        """Save the athlete's tokens, if those in the store are the ones to replace."""
        return await self._store.save(self._athlete_id, token, replacing=replacing)
