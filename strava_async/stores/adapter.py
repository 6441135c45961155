"""A store of five methods as a ``TokenStore``: it loads, compares, then writes, all under the store's own lock."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from strava_async.oauth.token_set import TokenSet
from strava_async.stores.base import ANY, AnyTokens, BasicTokenStore, Lease, TokenStore
from strava_async.stores.lease import UntilReleased


class AdaptedTokenStore:
    """Adds to a store what it lacks of ``TokenStore``.

    What it can do is looked up once, by the names of its parameters: a store may have some of it, such as one that
    inherits from the library's and overrides ``save``.

    Args:
        store: the one to adapt.
    """

    def __init__(self, store: BasicTokenStore) -> None:
        self._store: Any = store
        self._saves_compared = _takes(store.save, "replacing")
        self._deletes_compared = _takes(store.delete, "if_unchanged")
        self._iterates = hasattr(store, "iter_athlete_ids")

    async def load(self, athlete_id: int) -> TokenSet | None:
        """Return what the store returns."""
        token: TokenSet | None = await self._store.load(athlete_id)
        return token

    async def save(self, athlete_id: int, token: TokenSet, *, replacing: TokenSet | AnyTokens | None = ANY) -> bool:
        """Save the tokens, if those in the store are the ones that they are to replace."""
        if self._saves_compared:
            return bool(await self._store.save(athlete_id, token, replacing=replacing))
        if replacing is not ANY and await self._store.load(athlete_id) != replacing:
            return False
        await self._store.save(athlete_id, token)
        return True

    async def delete(self, athlete_id: int, *, if_unchanged: TokenSet | AnyTokens = ANY) -> bool:
        """Delete the athlete's tokens, if they are these.

        Returns:
            whether they were deleted; with ``ANY`` and a store that does not compare, True even if there were none.
        """
        if self._deletes_compared:
            return bool(await self._store.delete(athlete_id, if_unchanged=if_unchanged))
        if if_unchanged is not ANY and await self._store.load(athlete_id) != if_unchanged:
            return False
        await self._store.delete(athlete_id)
        return True

    async def athlete_ids(self) -> list[int]:
        """Return what the store returns."""
        athlete_ids: list[int] = await self._store.athlete_ids()
        return athlete_ids

    def iter_athlete_ids(self, *, after: int = 0) -> AsyncIterator[int]:
        """Iterate over the connected athletes in ascending order."""
        if not self._iterates:
            return self._iter_listed(after)
        # The store's own iterator: a caller that closes it early closes what the store holds open for it.
        found: AsyncIterator[int] = self._store.iter_athlete_ids(after=after)
        return found

    async def _iter_listed(self, after: int) -> AsyncIterator[int]:
        for athlete_id in await self._store.athlete_ids():
            if athlete_id > after:
                yield athlete_id

    @asynccontextmanager
    async def lock(self, athlete_id: int) -> AsyncGenerator[Lease]:
        """Hold the store's lock; what it yields is the lease, if it is one."""
        async with self._store.lock(athlete_id) as entered:
            if callable(getattr(entered, "held", None)):
                yield entered
                return
            lease = UntilReleased()
            try:
                yield lease
            finally:
                lease.release()


def adapted(store: BasicTokenStore) -> TokenStore:
    """Return the store as a ``TokenStore``."""
    return AdaptedTokenStore(store)


def _takes(method: Callable[..., object], parameter: str) -> bool:
    """Return whether a method names the parameter; ``**kwargs`` may be passed to a function that lacks it."""
    try:
        return parameter in inspect.signature(method).parameters
    except (TypeError, ValueError):  # it has no signature, such as a function of an extension
        return False
