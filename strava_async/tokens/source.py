"""The tokens of one athlete, and their renewal: once, for any number of callers.

Cases, in the order in which ``TokenSource.bearer`` looks at them:

1. A renewal is under way: wait for it and share its result, be it tokens or an error.
2. Renewed tokens could not be saved before: that comes first; they are used only after that.
3. The tokens were not read yet: read them.
4. The access token is good for longer than the leeway, or its expiry is unknown: use it.
5. It is not, and it can be renewed: renew it; this caller leads, those who come meanwhile wait (case 1). If Strava
   cannot be reached, or refuses for now, it is used until it expires.
6. It is not, and nothing can renew it: use it; Strava's answer decides.

``renew`` is for a token that Strava refused. The refused one is passed in: what somebody else has renewed meanwhile is
not renewed again. It is not sent again either, unless Strava answers with it once more. A refresh token that Strava
refused is not tried again, and the generation of its grant has ended.

The states of the tokens are in ``state``, reading and saving in ``holder``, renewing in ``grant``.

Strava hands out a new access token only in the last hour of the old one, and the same one before that. A leeway of
five minutes is inside that hour, and covers a local clock that is two minutes wrong.

Source:
    https://developers.strava.com/docs/authentication/ and RFC 6749 §6.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from strava_async._concurrency.single_flight import SingleFlight
from strava_async._hidden import Hidden
from strava_async.clock import Clock, SystemClock
from strava_async.errors import (
    InputError,
    MissingScopeError,
    RateLimitedError,
    ServerError,
    TransportError,
)
from strava_async.oauth.grants import AccessInfo
from strava_async.oauth.scopes import lacks_scope
from strava_async.oauth.token_set import TokenSet
from strava_async.tokens.expiry import Expiry
from strava_async.tokens.grant import Grant
from strava_async.tokens.holder import Refresh
from strava_async.tokens.persistence import CallbackPersistence, OnTokenRefresh, TokenPersistence
from strava_async.tokens.state import Held, Unread, Unsaved

if TYPE_CHECKING:
    from strava_async.stores.base import Lease

T = TypeVar("T")

LEEWAY_SECONDS = 300.0

_NONE: Hidden[str | None] = Hidden(None)


class TokenSource:
    """Where the requests of one athlete get their bearer from. Share it between ``ApiV3`` objects of that athlete.

    It belongs to the event loop that uses it first, until that has ended; used in another meanwhile, it raises
    InputError. A renewal that was begun is waited for when its loop ends, but not for ever.

    Args:
        token: what to begin with; None if the athlete is not connected yet, or if it is in ``persistence``.
        refresh: asks Strava for the next tokens; None means that tokens are used until they expire.
            Can be given later, as the attribute of that name.
        on_refresh: sync or async; gets each renewed TokenSet, and has returned before it is used. What it raises
            reaches every caller that waits, and it is called again before the next use. It cannot make requests
            with these tokens.
        persistence: in place of ``on_refresh``: where the tokens are read before their first use, and saved.
        clock: None means the system's.
        leeway_seconds: renew that long before the expiry.
        athlete_id: whose tokens these are; None leaves it to the tokens. A renewal that names another is refused.
        on_change: called when ``unsaved`` or ``remembers`` may have changed.

    Raises:
        InputError: both ``on_refresh`` and ``persistence`` are given.
    """

    def __init__(
        self,
        token: TokenSet | None = None,
        *,
        refresh: Refresh | None = None,
        on_refresh: OnTokenRefresh | None = None,
        persistence: TokenPersistence | None = None,
        clock: Clock | None = None,
        leeway_seconds: float = LEEWAY_SECONDS,
        athlete_id: int | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        if persistence is not None and on_refresh is not None:
            raise InputError("give either persistence or on_refresh: both receive renewed tokens")
        is_shared = persistence is not None
        self._flight = SingleFlight("this TokenSource, and with it the object that uses it,", "a renewal of tokens")
        self._grant = Grant(
            Unread() if is_shared and token is None else Held(token or TokenSet("")),
            persistence or CallbackPersistence(on_refresh),
            Expiry(clock or SystemClock(), leeway_seconds),
            is_shared=is_shared,
            athlete_id=athlete_id,
            on_ask=self._flight.mark_conclusive,
            on_change=on_change,
        )
        self._grant.refresh = refresh

    @property
    def token(self) -> TokenSet:
        """The tokens as they are now; setting them also forgets what is known of those before."""
        return self._grant.state.token

    @token.setter
    def token(self, token: TokenSet) -> None:
        self._grant.hold(token)

    @property
    def refresh(self) -> Refresh | None:
        """What asks Strava for the next tokens; None if nothing does."""
        return self._grant.refresh

    @refresh.setter
    def refresh(self, refresh: Refresh | None) -> None:
        self._grant.refresh = refresh

    @property
    def shared(self) -> bool:
        """Whether others may change the tokens where they are saved."""
        return self._grant.is_shared

    @property
    def refreshable(self) -> bool:
        """Whether there is a refresh token, and a way to use it."""
        return self._grant.refreshable

    @property
    def remembers(self) -> bool:
        """Whether there is something to remember for a minute, so that Strava is not asked again at once."""
        return self._grant.expiry.remembers

    @property
    def unsaved(self) -> bool:
        """Whether there are tokens that could not be saved yet."""
        return isinstance(self._grant.state, Unsaved)

    async def bearer(self) -> str | None:
        """Return an access token that should be good, renewing it first if need be; None if there is none.

        Waits for a renewal, no longer. Costs no quota. A token that cannot be renewed now is used until it expires;
        a minute later the next call tries again.

        Raises:
            InvalidGrantError: the refresh token is dead; the athlete has to connect again.
            StravaError: the renewal failed for another reason; the next call tries again.
        """
        flight, grant = self._flight, self._grant
        flight.enter()
        while flight.current is not None or grant.is_due:
            try:
                if await flight.share(partial(self._renew, _NONE)) and not isinstance(grant.state, Unread):
                    break
            except (RateLimitedError, ServerError, TransportError):
                if not grant.is_valid():
                    raise
        return grant.state.token.access_token or None

    async def renew(self, stale: str | None) -> bool:
        """Replace an access token that Strava refused.

        Args:
            stale: the refused one.

        Returns:
            whether there is another one now. False also where nothing can renew it, where Strava gave the same one
            again, and for a minute after that, or after Strava gave one that was expired already.

        Raises:
            InvalidGrantError: the refresh token is dead; the athlete has to connect again.
            StravaError: the renewal failed for another reason.
        """
        refused = Hidden(stale)
        del stale
        flight, grant = self._flight, self._grant
        flight.enter()
        if self.token.access_token and grant.has(refused):
            grant.expiry.note_refusal(self.token)
        if grant.expiry.asked_in_vain:
            return not grant.has(refused)
        while grant.has(refused) and (flight.current is not None or grant.refreshable):
            if await flight.share(partial(self._renew, refused)):
                break
        return bool(self.token.access_token) and not grant.has(refused)

    async def replace(self, ask: Refresh, *, save: bool) -> AccessInfo:
        """Ask for tokens now, whatever the present ones are worth, and use them from then on.

        Waits for a renewal under way first. Cancelling the caller does not stop what was begun.

        Args:
            ask: makes the request; gets the present tokens.
            save: whether the tokens are saved before they are used. False is for a new grant, of which the caller
                takes care: nothing that is known of the one before holds for it.

        Raises:
            InputError: the tokens are shared, and are not to be saved.
            StravaError: what ``ask`` raises; the present tokens stay.
        """
        if self.shared and not save:
            raise InputError("these tokens are kept in a store: connect the athlete with Strava.connect")
        grant = self._grant

        async def work(lease: Lease) -> AccessInfo:
            return await grant.adopt(ask, await grant.saved(), save=save)

        return await self._exclusively(work)

    async def adopt_grant(self, info: AccessInfo, generation: str = "") -> None:
        """Save the tokens of a new grant in place of whatever is saved, and use them from then on.

        They are here at once, and stay until they are saved. Waits for a renewal under way first; cancelling the
        caller does not stop what was begun.

        Args:
            info: Strava's answer.
            generation: of the grant, unless it continues the one that is saved, and has its generation; see
                ``generations``.

        Raises:
            Exception: what the persistence raises; see ``flush``.
        """
        grant = Hidden(info)
        del info
        await self._flight.alone(partial(self._run, lambda: self._grant.override(grant, generation)))

    async def change_generation(self, generation: str) -> bool:
        """Save another generation with the tokens that are saved.

        Waits for a renewal under way first; cancelling the caller does not stop what was begun.

        Returns:
            whether it was saved. False for a persistence that does not keep generations.

        Raises:
            InvalidGrantError: the athlete is not connected.
            Exception: what the persistence raises; the generation is the one before.
        """
        return await self._exclusively(lambda _: self._grant.change_generation(generation))

    async def prepare(self, any_of: tuple[str, ...] = ()) -> None:
        """Do what can be done before a call takes its place in the queue for quota. Costs none.

        Shared tokens are read, and renewed if need be: another process may hold them for long, and a permit is not held
        meanwhile. They are read again before MissingScopeError is raised: somebody may have connected the athlete
        again.

        Args:
            any_of: scopes of which the call needs one; none if empty.

        Raises:
            MissingScopeError: it is known that none of them was granted; a new authorization may help.
            StravaError: as in ``bearer``, where the tokens are shared.
        """
        grant = self._grant
        if grant.is_shared:
            await self.bearer()
        while lacks_scope(grant.state.token.scope, any_of):
            was_read = await self._flight.share(partial(self._run, grant.read))
            if was_read and lacks_scope(grant.state.token.scope, any_of):
                message = f"this call needs {' or '.join(any_of)}, which the athlete did not grant"
                raise MissingScopeError(message, missing=any_of[:1], athlete_id=self.token.athlete_id)

    async def verify_grant(self, end: Callable[[TokenSet | None], Awaitable[None]]) -> bool:
        """Find out from Strava whether the grant is valid, by renewing the tokens whatever they are worth.

        Costs no quota. Waits for a renewal under way first; cancelling the caller does not stop what was begun.

        Args:
            end: called if the grant is dead, under the lock, with the tokens that are saved; or with None if there are
                none.

        Returns:
            whether it is valid. True also for tokens that nothing can renew: there is no way to tell.

        Raises:
            StravaError: it could not be found out.
        """
        return await self._exclusively(lambda lease: self._grant.verify(lease, end))

    def offer(self, saved: TokenSet, before: TokenSet) -> None:
        """Take what somebody has just read, if it was to be read before the next use anyway.

        Args:
            saved: what was found.
            before: the tokens here when the reading began; if they are others now it may be out of date.
        """
        state = self._grant.state
        if isinstance(state, Unread) and state.token is before and self._flight.current is None:
            self._grant.hold(saved)

    def invalidate(self) -> None:
        """Forget the tokens; what is saved is read before the next use."""
        self._grant.invalidate()

    def pending(self, saved: TokenSet | None) -> TokenSet | None:
        """Return the tokens that are to replace what is saved and do not yet; None if what is saved counts."""
        return self._grant.unsaved(saved)

    async def wait_idle(self) -> None:
        """Wait until no renewal is under way, so that what it uses may be closed."""
        await self._flight.wait_idle()

    async def flush(self) -> None:
        """Save the tokens that could not be saved before; nothing happens if there are none."""
        while self.unsaved and not await self._flight.share(self._save_unsaved):
            pass

    async def _exclusively(self, work: Callable[[Lease], Awaitable[T]]) -> T:
        return await self._flight.alone(partial(self._run, lambda: self._grant.exclusively(work)))

    async def _run(self, work: Callable[[], Awaitable[T]]) -> T:
        # Whatever runs in the flight refers to this object: it may hold the only tokens, and be used by nobody else.
        return await work()

    async def _save_unsaved(self) -> None:
        await self._grant.exclusively(lambda _: self._grant.save_unsaved())

    async def _renew(self, refused: Hidden[str | None]) -> None:
        grant = self._grant
        if not self.unsaved and await grant.is_settled(refused):
            return
        # Another process may hold the lock for as long as Strava takes.
        await grant.exclusively(lambda lease: grant.renew(lease, refused))
