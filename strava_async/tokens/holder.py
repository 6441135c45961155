"""The tokens of one athlete and the state that they are in: read, and saved in place of what was read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from strava_async._concurrency.shield import hold_lock
from strava_async._hidden import Hidden
from strava_async.errors import InvalidGrantError, TokenStoreError
from strava_async.oauth.grants import AccessInfo
from strava_async.oauth.token_set import TokenSet, are_same_tokens
from strava_async.tokens.expiry import Expiry
from strava_async.tokens.generations import changed
from strava_async.tokens.persistence import TokenPersistence
from strava_async.tokens.state import Held, State, Unread, Unsaved

if TYPE_CHECKING:
    from strava_async.stores.base import Lease

Refresh = Callable[[TokenSet], Awaitable[AccessInfo]]

# More than one means that another process has written since the lock was taken. So many can only mean a store whose
# save() does not compare with what its load() returns.
SAVE_ATTEMPTS = 5


class TokenHolder:
    """The tokens, their state, and what is known of their expiry; see ``state``.

    Args:
        state: to begin with.
        persistence: where they are saved.
        expiry: knows when the access token is due.
        on_change: called when the state has changed, or what the expiry remembers.

    Attributes:
        state: the present one.
        expiry: see above.
        refresh: asks Strava for the next tokens; None means that they are used until they expire.
    """

    def __init__(
        self, state: State, persistence: TokenPersistence, expiry: Expiry, on_change: Callable[[], None]
    ) -> None:
        self.state = state
        self.expiry = expiry
        self.refresh: Refresh | None = None
        self._persistence = persistence
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
        return self.refreshable and self.expiry.is_due(state.token)

    def is_valid(self) -> bool:
        """Return whether there is a token that can be used although it is due."""
        return self.state.is_usable and self.expiry.is_valid(self.state.token)

    def has(self, access_token: Hidden[str | None]) -> bool:
        """Return whether this is the present access token; None means that there is none."""
        return (self.state.token.access_token or None) == access_token.reveal()

    def hold(self, token: TokenSet) -> None:
        """Use other tokens from now on; nothing that is known of those before applies to them."""
        self.expiry.reset()
        self.become(Held(token))

    def invalidate(self) -> None:
        """Forget the tokens; they are read before the next use."""
        self.expiry.reset()
        self.become(Unread())

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
                continue  # tokens were set or deleted meanwhile
            if not are_same_tokens(saved, before.token):
                self.hold(saved)
            elif isinstance(before, Unread):
                self.become(Held(saved))
            elif saved != before.token:
                # What is known of them, such as that the grant is invalid, still applies.
                self.become(before.with_token(saved))
            return

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
                state = state.with_token(token)
                self.become(state)
            if await self._persistence.save(token, replacing=saved):
                if self.state is state:
                    self.become(Held(token))
                return
            saved = await self.saved()  # another process has written since it was read
        raise _never_saved()

    def lock(self) -> AbstractAsyncContextManager[Lease]:
        """Return the lock; waiting for it can be cancelled, unless there are tokens to lose."""
        lock = self._persistence.lock()
        return lock if isinstance(self.state, Unsaved) else hold_lock(lock)

    def become(self, state: State) -> None:
        """Go into another state."""
        self.state = state
        self._on_change()


def _never_saved() -> TokenStoreError:
    return TokenStoreError(
        "the token store refuses to replace what it returned: its save() has to compare with what its load() returns"
    )
