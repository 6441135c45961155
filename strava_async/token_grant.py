"""How the tokens of one athlete's grant are read, renewed and saved. ``TokenSource`` lets one task in at a time.

A renewal is: look, lock, look again, ask Strava, save, unlock. Rules:

- Strava forgets the refresh token before with its answer. From then on nothing is cancelled until the tokens are saved.
- The lock may be a lease, and may have expired when Strava's answer is there. So what is saved replaces only what was
  there when Strava was asked; else somebody has connected, disconnected or renewed since, and theirs counts.
- That Strava refuses a refresh token is no evidence if somebody else may have used it. The grant is dead only if the
  same refresh token is still saved, and the lease is still held: else they are read once more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from strava_async._concurrency.single_flight import own_copy
from strava_async._expiry import Expiry
from strava_async._hidden import Hidden
from strava_async._shield import commit, hold_lock
from strava_async.errors import (
    InvalidGrantError,
    RateLimitedError,
    ServerError,
    TokenStoreError,
    TransportError,
)
from strava_async.generations import changed, ended
from strava_async.oauth import AccessInfo, TokenSet, are_same_tokens, with_generation
from strava_async.token_persistence import TokenPersistence
from strava_async.token_state import Dead, Held, State, Unread, Unsaved

if TYPE_CHECKING:
    from strava_async.stores.base import Lease

T = TypeVar("T")

Refresh = Callable[[TokenSet], Awaitable[AccessInfo]]

# More than one means that somebody else has written since the lock was taken. So many can only be a store whose save()
# does not compare with what its load() returns.
SAVE_ATTEMPTS = 5


class LeaseLostError(TokenStoreError):
    """The lock on the tokens was lost before Strava refused the refresh token: that says nothing about the grant."""


class Grant:
    """The tokens of one athlete, the state that they are in, and the steps from one to the next; see ``token_state``.

    Args:
        state: to begin with.
        persistence: where they are saved.
        expiry: knows when the access token is due.
        is_shared: whether others may change what is saved.
        athlete_id: whose tokens these are; None leaves it to the tokens.
        on_ask: called before Strava is asked for tokens.
        on_change: called when the state has changed, or what the expiry remembers.

    Attributes:
        state: the present one.
        expiry: see above.
        is_shared: see above.
        refresh: asks Strava for the next tokens; None means that they are used until they expire.
    """

    def __init__(
        self,
        state: State,
        persistence: TokenPersistence,
        expiry: Expiry,
        *,
        is_shared: bool,
        athlete_id: int | None,
        on_ask: Callable[[], None],
        on_change: Callable[[], None],
    ) -> None:
        self.refresh: Refresh | None = None
        self.expiry = expiry
        self.is_shared = is_shared
        self.state = state
        self._persistence = persistence
        self._athlete_id = athlete_id
        self._on_ask = on_ask
        self._on_change = on_change

    @property
    def refreshable(self) -> bool:
        """Whether there is a refresh token, and a way to use it."""
        return self.refresh is not None and bool(self.state.token.refresh_token)

    @property
    def is_due(self) -> bool:
        """Whether there is something to do before the access token is used: to read, to save or to renew."""
        state = self.state
        if not state.is_usable:
            return True
        return self.refresh is not None and bool(state.token.refresh_token) and self.expiry.is_due(state.token)

    def is_valid(self) -> bool:
        """Return whether there is a token that can be used although it is due."""
        return self.state.is_usable and self.expiry.is_valid(self.state.token)

    def has(self, access_token: Hidden[str | None]) -> bool:
        """Return whether this is the present access token; None means that there is none."""
        return (self.state.token.access_token or None) == access_token.reveal()

    def hold(self, token: TokenSet) -> None:
        """Use other tokens from now on; nothing that is known of those before holds for them."""
        self.expiry.reset()
        self._become(Held(token))

    def invalidate(self) -> None:
        """Forget the tokens; they are read before the next use."""
        self.expiry.reset()
        self._become(Unread())

    async def exclusively(self, work: Callable[[Lease], Awaitable[T]]) -> T:
        """Do the work under the lock, and once more if it raises LeaseLostError.

        Waiting for the lock can be cancelled, unless there are tokens to lose.
        """
        with suppress(LeaseLostError):
            async with self._lock() as lease:
                return await work(lease)
        async with self._lock() as lease:
            return await work(lease)

    async def read(self) -> None:
        """Read what is saved; tokens that are not saved yet stay.

        Raises:
            InvalidGrantError: the athlete is not connected.
        """
        while not isinstance(self.state, Unsaved):
            before = self.state
            try:
                saved = await self._persistence.load(before.token)
            except InvalidGrantError:
                self.invalidate()
                raise
            if self.state is not before:
                continue  # somebody set or deleted tokens meanwhile
            if not are_same_tokens(saved, before.token):
                self.hold(saved)
            elif isinstance(before, Unread):
                self._become(Held(saved))
            elif saved != before.token:
                self._become(replace(before, token=saved))  # what is known of them, such as that they are dead, holds
            return

    async def is_settled(self, refused: Hidden[str | None]) -> bool:
        """Read what is saved, and return whether there is nothing to ask Strava for.

        Args:
            refused: the access token that Strava refused; None for none.

        Raises:
            InvalidGrantError: the grant is dead, or the athlete is not connected.
        """
        await self.read()
        if self.state.token.access_token and not self.has(refused) and not self.is_due:
            return True
        if isinstance(self.state, Dead):
            raise own_copy(self.state.error)
        return not self.refreshable

    async def renew(self, lease: Lease, refused: Hidden[str | None]) -> None:
        """Save what is unsaved; then ask Strava for the next tokens, unless others than the refused are there.

        Raises:
            InvalidGrantError: the grant is dead, or the athlete is not connected.
            LeaseLostError: nobody knows.
        """
        await self.save_unsaved()
        while not await self.is_settled(refused) and not await self.ask(lease):
            pass

    async def ask(self, lease: Lease) -> bool:
        """Ask Strava for the next tokens and save them.

        Returns:
            False if somebody else has changed what is saved: it is to be read again.

        Raises:
            InvalidGrantError: the grant is dead.
            LeaseLostError: Strava refused the refresh token; perhaps because somebody else has used it.
        """
        before = self.state
        if self.refresh is None:
            return True
        try:
            await self.adopt(self.refresh, before.token, save=True)
        except InvalidGrantError as error:
            saved = await self.saved()
            if saved is None or saved.refresh_token != before.token.refresh_token:
                return False
            if not lease.held():
                raise LeaseLostError(
                    "the lock on an athlete's tokens expired before Strava answered: try again, and let the store's "
                    "lease last longer than 25 s"
                ) from error
            if self.state is before:
                await self._end(saved, error)
            raise
        except (RateLimitedError, ServerError, TransportError):
            if self.state.is_usable:
                self.expiry.note_failure(self.state.token)
                self._on_change()
            raise
        return not isinstance(self.state, Unread)

    async def adopt(self, ask: Refresh, saved: TokenSet | None, *, save: bool) -> AccessInfo:
        """Ask Strava for tokens and use what comes, unless somebody has set or deleted tokens meanwhile.

        Args:
            ask: makes the request; gets the present tokens.
            saved: what is saved now.
            save: whether the tokens are saved before they are used. False is for those of a new grant, of which the
                caller takes care: they have nothing of those before.
        """
        before = self.state
        self._on_ask()
        answer = Hidden(await ask(before.token))
        if self.state is not before:
            return answer.reveal()
        commit()  # the tokens before may be dead
        if save:
            self._check_owner(answer.reveal().token_set(), before.token)
        # What is saved may have another generation than the tokens here, and knows more if they were not read yet.
        known = (self.unsaved(saved) or saved or before.token) if save else TokenSet("")
        token = answer.reveal().token_set(known)
        self.expiry.note_answer(answer.reveal(), token, before.token)
        if save and (isinstance(before, Unsaved) or token != saved):
            self._become(Unsaved(token, saved))
            await self._save(saved)
        else:
            self._become(Held(token))
        return answer.reveal()

    async def override(self, grant: Hidden[AccessInfo], generation: str) -> None:
        """Save the tokens of a new grant in place of whatever is saved; they are here at once.

        Args:
            grant: Strava's answer.
            generation: of the grant, unless it continues the one that is saved; see ``generations``.
        """
        token = grant.reveal().token_set(TokenSet("", generation=generation))
        self.expiry.note_answer(grant.reveal(), token, TokenSet(""))
        self._become(Unsaved(token, overrides=True))
        async with self._lock():
            await self.save_unsaved()

    async def change_generation(self, generation: str) -> bool:
        """Save another generation with the tokens that are saved; return whether it was saved.

        Raises:
            InvalidGrantError: the athlete is not connected.
        """
        await self.save_unsaved()
        for _ in range(SAVE_ATTEMPTS):
            await self.read()
            before = self.state.token
            token = changed(before, generation)
            if await self._persistence.save(token, replacing=before):
                await self.read()
                return self.state.token.generation == token.generation
        raise _never_saved()

    def unsaved(self, saved: TokenSet | None) -> TokenSet | None:
        """Return the tokens that are to replace what is saved and do not yet; None if what is saved counts."""
        return self.state.to_save(saved) if isinstance(self.state, Unsaved) else None

    async def save_unsaved(self) -> None:
        """Save what could not be saved before, unless the athlete was connected again, or disconnected, meanwhile."""
        if isinstance(self.state, Unsaved):
            await self._save(await self.saved())

    async def saved(self) -> TokenSet | None:
        """Return what is saved; None if the athlete is not connected."""
        try:
            return await self._persistence.load(self.state.token)
        except InvalidGrantError:
            return None

    async def _save(self, saved: TokenSet | None) -> None:
        """Save the unsaved tokens in place of what is saved, unless that counts."""
        for _ in range(SAVE_ATTEMPTS):
            token = self.unsaved(saved)
            if token is None or not isinstance(self.state, Unsaved):
                self.invalidate()
                return
            state = self.state
            if token is not state.token:
                state = replace(state, token=token)
                self._become(state)
            if await self._persistence.save(token, replacing=saved):
                if self.state is state:
                    self._become(Held(token))
                return
            saved = await self.saved()  # somebody has written since it was read
        raise _never_saved()

    async def _end(self, saved: TokenSet, error: InvalidGrantError) -> None:
        """Note that the grant is dead, and let what was given out for it, such as sessions, end with it.

        The tokens stay saved, marked as ended. Where the mark cannot be saved, whoever finds it dead next tries.
        """
        self.expiry.remember()
        self._become(Dead(saved, own_copy(error)))  # each raise would add its frames
        token = with_generation(saved, ended(saved.generation))
        if self.is_shared and token is not saved:
            with suppress(Exception):
                if await self._persistence.save(token, replacing=saved) and isinstance(self.state, Dead):
                    self._become(replace(self.state, token=token))

    def _check_owner(self, renewed: TokenSet, before: TokenSet) -> None:
        """Raise InvalidGrantError if renewed tokens are not those of the athlete whose the old ones were."""
        ours, theirs = self._athlete_id or before.athlete_id, renewed.athlete_id
        if None not in (ours, theirs) and ours != theirs:
            raise InvalidGrantError(f"Strava renewed the tokens of athlete {ours} with another's: connect again")

    def _lock(self) -> AbstractAsyncContextManager[Lease]:
        lock = self._persistence.lock()
        return lock if isinstance(self.state, Unsaved) else hold_lock(lock)

    def _become(self, state: State) -> None:
        self.state = state
        self._on_change()


def _never_saved() -> TokenStoreError:
    return TokenStoreError(
        "the token store refuses to replace what it returned: its save() has to compare with what its load() returns"
    )
