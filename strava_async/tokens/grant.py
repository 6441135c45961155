"""How the tokens of one athlete's grant are renewed. ``TokenSource`` lets one task in at a time.

A renewal is: load, lock, load again, ask Strava, save, unlock. Rules:

- With its answer Strava invalidates the previous refresh token. From then on nothing is cancelled until the new tokens
  are saved.
- The lock may be a lease, and may have expired when Strava answers. So new tokens replace only what was saved when
  Strava was asked. If that has changed, another process has connected, disconnected or renewed, and its result counts.
- That Strava rejects a refresh token proves nothing if another process may have used it. The grant is dead only if the
  same refresh token is still saved, and the lease is still held; otherwise the tokens are read once more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from strava_async._concurrency.shield import commit
from strava_async._concurrency.single_flight import own_copy
from strava_async._hidden import Hidden
from strava_async.errors import (
    InvalidGrantError,
    RateLimitedError,
    ServerError,
    TokenStoreError,
    TransportError,
)
from strava_async.oauth.grants import AccessInfo
from strava_async.oauth.token_set import TokenSet, with_generation
from strava_async.tokens.expiry import Expiry
from strava_async.tokens.generations import ended
from strava_async.tokens.holder import Refresh, TokenHolder
from strava_async.tokens.persistence import TokenPersistence
from strava_async.tokens.state import Dead, Held, State, Unread, Unsaved

if TYPE_CHECKING:
    from strava_async.stores.base import Lease

T = TypeVar("T")


# Strava cannot be reached, or asks to wait: an access token that has not expired is used meanwhile.
TEMPORARY_ERRORS = (RateLimitedError, ServerError, TransportError)


class LeaseLostError(TokenStoreError):
    """The lock was lost before Strava rejected the refresh token, which therefore says nothing about the grant."""


class Grant(TokenHolder):
    """Takes the tokens from one state to the next by asking Strava.

    Args:
        state: see ``TokenHolder``.
        persistence: see ``TokenHolder``.
        expiry: see ``TokenHolder``.
        is_shared: whether others may change what is saved.
        athlete_id: whose tokens these are; None leaves it to the tokens.
        on_ask: called before Strava is asked for tokens.
        on_change: see ``TokenHolder``.

    Attributes:
        is_shared: see above.
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
        super().__init__(state, persistence, expiry, on_change)
        self.is_shared = is_shared
        self._athlete_id = athlete_id
        self._on_ask = on_ask

    async def exclusively(self, work: Callable[[Lease], Awaitable[T]]) -> T:
        """Do the work under the lock, and once more if it raises LeaseLostError."""
        with suppress(LeaseLostError):
            async with self.lock() as lease:
                return await work(lease)
        async with self.lock() as lease:
            return await work(lease)

    async def is_settled(self, rejected: Hidden[str | None]) -> bool:
        """Read what is saved, and return whether there is nothing to ask Strava for.

        Args:
            rejected: the access token that Strava rejected; None for none.

        Raises:
            InvalidGrantError: the grant is dead, or the athlete is not connected.
        """
        await self.read()
        if self.state.token.access_token and not self.has(rejected) and not self.is_due:
            return True
        if isinstance(self.state, Dead):
            raise own_copy(self.state.error)
        return not self.refreshable

    async def renew(self, lease: Lease, rejected: Hidden[str | None]) -> None:
        """Save what is unsaved; then ask Strava for the next tokens, unless there are others than the rejected ones.

        Raises:
            InvalidGrantError: the grant is dead, or the athlete is not connected.
            LeaseLostError: the lease expired, so it is not known whether the grant is dead.
        """
        await self.save_unsaved()
        while not await self.is_settled(rejected) and not await self.ask(lease):
            pass

    async def ask(self, lease: Lease) -> bool:
        """Ask Strava for the next tokens and save them.

        Returns:
            False if another process has changed what is saved: it has to be read again.

        Raises:
            InvalidGrantError: the grant is dead.
            LeaseLostError: Strava rejected the refresh token, perhaps because another process has used it.
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
        except TEMPORARY_ERRORS:
            if self.state.is_usable:
                self.expiry.note_failure(self.state.token)
                self._on_change()
            raise
        return not isinstance(self.state, Unread)

    async def adopt(self, ask: Refresh, saved: TokenSet | None, *, save: bool) -> AccessInfo:
        """Ask Strava for tokens and use them, unless other tokens were set, or these deleted, meanwhile.

        Args:
            ask: makes the request; gets the present tokens.
            saved: what is saved now.
            save: whether the tokens are saved before they are used. False is for those of a new grant, which the
                caller saves: they take over nothing from those before.
        """
        before = self.state
        self._on_ask()
        answer = Hidden(await ask(before.token))
        if self.state is not before:
            return answer.reveal()
        commit()  # the tokens before may be invalid now
        if save:
            self._check_owner(answer.reveal().token_set(), before.token)
        # What is saved may have another generation than the tokens here, and knows more if they were not read yet.
        known = (self.unsaved(saved) or saved or before.token) if save else TokenSet("")
        token = answer.reveal().token_set(known)
        self.expiry.note_answer(answer.reveal(), token, before.token)
        if save and (isinstance(before, Unsaved) or token != saved):
            self.become(Unsaved(token, saved))
            await self._save(saved)
        else:
            self.become(Held(token))
        return answer.reveal()

    async def verify(self, lease: Lease, end: Callable[[TokenSet | None], Awaitable[None]]) -> bool:
        """Renew the tokens even if they are valid, and return whether the grant is; see ``verify_grant``."""
        try:
            await self.save_unsaved()
            await self.read()
            while self.refreshable and not await self.ask(lease):
                await self.read()
        except InvalidGrantError:
            await end(self.state.token if isinstance(self.state, Dead) else None)
            return False
        return True

    async def override(self, grant: Hidden[AccessInfo], generation: str) -> None:
        """Save the tokens of a new grant in place of whatever is saved; they are here at once.

        Args:
            grant: Strava's answer.
            generation: of the grant, unless it continues the one that is saved; see ``generations``.
        """
        token = grant.reveal().token_set(TokenSet("", generation=generation))
        self.expiry.note_answer(grant.reveal(), token, TokenSet(""))
        self.become(Unsaved(token, overrides=True))
        async with self.lock():
            await self.save_unsaved()

    async def _end(self, saved: TokenSet, error: InvalidGrantError) -> None:
        """Note that the grant is dead, and end its generation, and with it the sessions that were signed for it.

        The tokens stay saved, marked as ended. If the mark cannot be saved, the next renewal tries again.
        """
        self.expiry.remember()
        self.become(Dead(saved, own_copy(error)))  # each raise would add its frames
        token = with_generation(saved, ended(saved.generation))
        if self.is_shared and token is not saved:
            with suppress(Exception):
                if await self._persistence.save(token, replacing=saved) and isinstance(self.state, Dead):
                    self.become(self.state.with_token(token))

    def _check_owner(self, renewed: TokenSet, before: TokenSet) -> None:
        """Raise InvalidGrantError if renewed tokens belong to another athlete than the old ones."""
        ours, theirs = self._athlete_id or before.athlete_id, renewed.athlete_id
        if None not in (ours, theirs) and ours != theirs:
            raise InvalidGrantError(
                f"Strava renewed the tokens of athlete {ours} with those of another: connect the athlete again"
            )
