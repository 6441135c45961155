"""The token sources of an application's athletes, over one store.

Rules:

- One source per athlete, for as long as anything uses it; then it is forgotten, and read again from the store.
- A source with tokens that the store could not take is not forgotten: nobody else has them. Nor is one, for a minute,
  that Strava gave a dead token, or none: a service asks for its sources anew in each request, and would ask Strava too.
- Whatever replaces or ends a grant is done under the store's lock, so that no other process renews it meanwhile.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from weakref import WeakValueDictionary

from strava_async._concurrency.shield import after_waiting_for
from strava_async._hidden import Hidden
from strava_async.clock import Clock
from strava_async.errors import InputError, InvalidGrantError, TokenStoreError
from strava_async.oauth.grants import AccessInfo, TokenSet
from strava_async.stores.base import TokenStore
from strava_async.tokens.source import TokenSource


class Accounts:
    """Hands out token sources, and ends grants.

    Args:
        store: where tokens are kept.
        clock: by which they expire.
    """

    def __init__(self, store: TokenStore, clock: Clock) -> None:
        self.store = store
        self._clock = clock
        self._sources: WeakValueDictionary[int, TokenSource] = WeakValueDictionary()
        self._unsaved: dict[int, TokenSource] = {}
        self._remembering: dict[int, TokenSource] = {}  # the oldest first

    def source(self, athlete_id: int) -> TokenSource:
        """Return where the athlete's bearers come from; whether the athlete is connected shows at first use.

        Raises:
            InputError: that is no athlete's id.
        """
        if type(athlete_id) is not int or athlete_id <= 0:  # True is an int to Python
            raise InputError(f"an athlete's id is a positive integer, not {athlete_id!r}")
        source = self._sources.get(athlete_id)
        if source is None:
            source = self._sources[athlete_id] = TokenSource(
                keeper=_Keeper(self, athlete_id), clock=self._clock, athlete_id=athlete_id
            )
        return source

    async def connect(self, athlete_id: int, info: AccessInfo, generation: str) -> None:
        """Keep the tokens of a new grant in place of whatever was kept.

        Args:
            athlete_id: whose.
            info: Strava's answer.
            generation: see ``TokenSource.put``.

        Raises:
            Exception: what the store raises; the tokens stay in hand, and are offered again at the next use.
        """
        grant = Hidden(info)
        del info
        source = self.source(athlete_id)
        try:
            await source.put(grant.reveal(), generation)
        finally:
            if source.unsaved:
                self._unsaved[athlete_id] = source

    async def generation(self, athlete_id: int) -> str | None:
        """Return the generation of an athlete's tokens; None if there are none."""
        source = self.source(athlete_id)
        before = source.token
        token = await self.newest(athlete_id)
        if token is None:
            return None
        source.offer(token, before)  # whoever asks for this is about to use them, and need not read them again
        return token.generation

    async def change_generation(self, athlete_id: int, generation: str) -> None:
        """Keep another generation with an athlete's tokens; nothing happens if there are none.

        Raises:
            TokenStoreError: the store does not keep generations.
        """
        try:
            is_kept = await self.source(athlete_id).change_generation(generation)
        except InvalidGrantError:
            return
        if not is_kept:
            raise TokenStoreError("the token store does not keep TokenSet.generation: no session can be ended")

    async def drop(self, athlete_id: int, revoke: Callable[[TokenSet | None], Awaitable[None]] | None) -> None:
        """Delete an athlete's tokens; nothing happens if there are none.

        Args:
            athlete_id: whose.
            revoke: is given the tokens before, or None if there are none; if it raises, nothing is deleted. None
                revokes nothing.
        """
        async with after_waiting_for(self.store.lock(athlete_id)):
            if revoke is not None:
                await revoke(await self.newest(athlete_id))
            await self._delete(athlete_id)

    async def drop_if_dead(self, source: TokenSource, athlete_id: int) -> bool:
        """Ask Strava whether the grant lives, and delete the athlete's tokens if it does not.

        Args:
            source: the athlete's, which knows how to renew.
            athlete_id: whose.

        Returns:
            whether tokens were deleted.
        """
        deleted = False

        async def end() -> None:
            nonlocal deleted
            deleted = await self.newest(athlete_id) is not None
            await self._delete(athlete_id)

        await source.confirm(end)
        return deleted

    async def _delete(self, athlete_id: int) -> None:
        await self.store.delete(athlete_id)
        self._unsaved.pop(athlete_id, None)
        source = self._sources.get(athlete_id)
        if source is not None:
            source.reread()

    async def newest(self, athlete_id: int) -> TokenSet | None:
        """Return what is kept, or what is in hand and is to replace it; None if there is neither."""
        kept, source = await self.store.load(athlete_id), self._unsaved.get(athlete_id)
        return (source and source.in_hand(kept)) or kept

    async def settled(self) -> None:
        """Wait until nothing is being renewed, and offer the store once more what it could not take.

        Raises:
            Exception: what the store raises, after all were offered.
        """
        failed: list[Exception] = []
        for source in list(self._sources.values()):
            await source.settled()
            try:
                await source.hand_over()
            except Exception as error:
                failed.append(error)
        if failed:
            raise failed[0]

    @asynccontextmanager
    async def exclusive(self, athlete_id: int) -> AsyncGenerator[None]:
        """Return the store's lock for a renewal; afterwards it is noted whether there is something to remember."""
        async with self.store.lock(athlete_id):
            try:
                yield
            finally:
                self._note_remembering(athlete_id)

    def _note_remembering(self, athlete_id: int) -> None:
        self._remembering.pop(athlete_id, None)
        source = self._sources.get(athlete_id)
        if source is not None and source.remembers:
            self._remembering[athlete_id] = source
        while self._remembering and not (oldest := next(iter(self._remembering.items())))[1].remembers:
            del self._remembering[oldest[0]]

    async def load(self, athlete_id: int) -> TokenSet | None:
        """Return what the store has."""
        source = self._unsaved.get(athlete_id)
        if source is not None and not source.unsaved:
            del self._unsaved[athlete_id]  # what it had in hand was superseded
        return await self.store.load(athlete_id)

    async def save(self, athlete_id: int, token: TokenSet) -> None:
        """Save renewed tokens; until that has worked their source is not forgotten."""
        source = self._sources.get(athlete_id)
        if source is not None:
            self._unsaved[athlete_id] = source
        await self.store.save(athlete_id, token)
        self._unsaved.pop(athlete_id, None)


class _Keeper:
    """One athlete's place in the store."""

    def __init__(self, accounts: Accounts, athlete_id: int) -> None:
        self._accounts = accounts
        self._athlete_id = athlete_id

    def lock(self) -> AbstractAsyncContextManager[object]:
        return self._accounts.exclusive(self._athlete_id)

    async def load(self, present: TokenSet) -> TokenSet:
        token = await self._accounts.load(self._athlete_id)
        if token is None:
            raise InvalidGrantError(f"athlete {self._athlete_id} is not connected: there are no tokens in the store")
        return token

    async def save(self, token: TokenSet) -> None:
        await self._accounts.save(self._athlete_id, token)
