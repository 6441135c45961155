"""The token sources of an application's athletes, over one store.

Rules:

- One source per athlete, for as long as anything uses it; then it is forgotten, and its tokens are read again.
- A source with tokens that could not be saved is not forgotten: no other place has them. Nor is one, for a minute, that
  got an expired token from Strava, or none: a service looks its sources up in each request, and would ask Strava each
  time.
- Whatever replaces or ends a grant is done under the store's lock, so that no other process renews it meanwhile. The
  lock may be a lease that expires: only the tokens that were revoked at Strava are deleted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from itertools import islice
from weakref import WeakValueDictionary

from strava_async._concurrency.shield import hold_lock
from strava_async._hidden import Hidden
from strava_async.clock import Clock
from strava_async.errors import InputError, InvalidGrantError, TokenStoreError
from strava_async.oauth.grants import AccessInfo
from strava_async.oauth.token_set import TokenSet
from strava_async.stores.adapter import adapted
from strava_async.stores.base import BasicTokenStore
from strava_async.tokens.holder import SAVE_ATTEMPTS, Refresh
from strava_async.tokens.persistence import StorePersistence
from strava_async.tokens.source import TokenSource


class Accounts:
    """Provides token sources, and ends grants.

    Args:
        store: where tokens are saved.
        clock: by which they expire.
        refresh: asks Strava for the next tokens of any athlete; None means that each source is given a function later.
    """

    def __init__(self, store: BasicTokenStore, clock: Clock, refresh: Refresh | None = None) -> None:
        self.store = store
        self._store = adapted(store)
        self._clock = clock
        self._refresh = refresh
        self._sources: WeakValueDictionary[int, TokenSource] = WeakValueDictionary()
        self._remembered: dict[int, TokenSource] = {}  # kept although nothing uses them

    def source(self, athlete_id: int) -> TokenSource:
        """Return the athlete's token source; whether the athlete is connected shows at its first use.

        Raises:
            InputError: the athlete id is invalid.
        """
        if type(athlete_id) is not int or athlete_id <= 0:  # True is an int to Python
            raise InputError(f"an athlete id is a positive integer, not {athlete_id!r}")
        source = self._sources.get(athlete_id)
        if source is None:
            source = self._sources[athlete_id] = TokenSource(
                persistence=StorePersistence(self._store, athlete_id),
                refresh=self._refresh,
                clock=self._clock,
                athlete_id=athlete_id,
                on_change=partial(self._remember, athlete_id),
            )
        return source

    async def connect(self, athlete_id: int, info: AccessInfo, generation: str) -> None:
        """Save the tokens of a new grant in place of whatever was saved.

        Args:
            athlete_id: whose.
            info: Strava's answer.
            generation: see ``TokenSource.adopt_grant``.

        Raises:
            Exception: what the store raises; the tokens stay in memory, and are saved at the next use.
        """
        grant = Hidden(info)
        del info
        await self.source(athlete_id).adopt_grant(grant.reveal(), generation)

    async def generation(self, athlete_id: int) -> str | None:
        """Return the generation of an athlete's tokens; None if there are none."""
        source = self.source(athlete_id)
        before = source.token
        token = await self.newest(athlete_id)
        if token is None:
            return None
        source.offer(token, before)  # the caller is about to use them, and need not read them again
        return token.generation

    async def change_generation(self, athlete_id: int, generation: str) -> None:
        """Save another generation with an athlete's tokens; nothing happens if there are none.

        Raises:
            TokenStoreError: the store does not keep generations.
        """
        try:
            was_saved = await self.source(athlete_id).change_generation(generation)
        except InvalidGrantError:
            return
        if not was_saved:
            raise TokenStoreError("the token store does not keep TokenSet.generation: no session can be ended")

    async def delete(
        self,
        athlete_id: int,
        revoke: Callable[[TokenSet | None], Awaitable[None]] | None,
        *,
        granted: TokenSet | None = None,
    ) -> None:
        """Delete an athlete's tokens; nothing happens if there are none.

        Args:
            athlete_id: whose.
            revoke: revokes the tokens that it gets, or None if there are none; if it raises, nothing is deleted. It is
                called again with tokens that were saved while it revoked the ones before. None revokes nothing.
            granted: tokens that are not saved yet, to be revoked in place of those that are.
        """
        async with hold_lock(self._store.lock(athlete_id)):
            if revoke is None:
                await self._store.delete(athlete_id)
            else:
                await self._revoke_and_delete(athlete_id, revoke, granted)
            self._invalidate(athlete_id)

    async def delete_if_revoked(self, source: TokenSource, athlete_id: int) -> bool:
        """Ask Strava whether the grant is valid, and delete the athlete's tokens if it is not.

        Args:
            source: the athlete's, which knows how to renew.
            athlete_id: whose.

        Returns:
            whether tokens were deleted.
        """
        deleted = False

        async def end(dead: TokenSet | None) -> None:
            nonlocal deleted
            deleted = dead is not None and await self._store.delete(athlete_id, if_unchanged=dead)
            self._invalidate(athlete_id)

        await source.verify_grant(end)
        return deleted

    async def newest(self, athlete_id: int) -> TokenSet | None:
        """Return the tokens that are saved, or those that are to replace them; None if there are neither."""
        return self._newest(athlete_id, await self._store.load(athlete_id))

    async def flush(self) -> None:
        """Wait until nothing is being renewed, and save what could not be saved before.

        Raises:
            Exception: what the store raises, after it was tried for all athletes.
        """
        failed: list[Exception] = []
        for source in list(self._sources.values()):
            await source.wait_idle()
            try:
                await source.flush()
            except Exception as error:
                failed.append(error)
        if failed:
            raise failed[0]

    async def _revoke_and_delete(
        self, athlete_id: int, revoke: Callable[[TokenSet | None], Awaitable[None]], granted: TokenSet | None
    ) -> None:
        for _ in range(SAVE_ATTEMPTS):
            saved = await self._store.load(athlete_id)
            await revoke(granted or self._newest(athlete_id, saved))
            granted = None  # what is saved from now on may be of a later grant
            if saved is None or await self._store.delete(athlete_id, if_unchanged=saved):
                return
        raise TokenStoreError(
            f"the tokens of athlete {athlete_id} were replaced after each revocation: disconnect the athlete again"
        )

    def _newest(self, athlete_id: int, saved: TokenSet | None) -> TokenSet | None:
        source = self._sources.get(athlete_id)
        return (source and source.pending(saved)) or saved

    def _invalidate(self, athlete_id: int) -> None:
        source = self._sources.get(athlete_id)
        if source is not None:
            source.invalidate()

    def _remember(self, athlete_id: int) -> None:
        """Keep an athlete's source, or let it go; check two others as well, so that none is kept for ever."""
        source = self._sources.get(athlete_id)
        checked = dict(islice(self._remembered.items(), 2))
        if source is not None:
            checked[athlete_id] = source
        for each, kept in checked.items():
            self._remembered.pop(each, None)
            if kept.unsaved or kept.remembers:
                self._remembered[each] = kept  # at the end: the oldest come first
