"""The tokens of one athlete, and their renewal: once, for any number of callers.

Cases, in the order in which ``TokenSource.bearer`` checks them:

1. A renewal is in progress: wait for it and share its result, be it tokens or an error.
2. Renewed tokens could not be saved before: save them; they are used only after that.
3. The tokens were not read yet: read them.
4. The access token is valid for longer than the leeway, or its expiry is unknown: use it.
5. It is not, and it can be renewed: renew it. This caller leads; callers that come meanwhile wait (case 1). If Strava
   cannot be reached, or asks to wait, the token is used until it expires.
6. It is not, and nothing can renew it: use it; Strava's answer decides.

``renew`` is for a token that Strava rejected. The rejected one is passed in: one that was renewed meanwhile is not
renewed again. It is not sent again either, unless Strava answers with it once more. A refresh token that Strava
rejected is not sent again, and the generation of its grant has ended.

The states of the tokens are in ``state``, reading and saving in ``holder``, renewing in ``grant``, what ``Accounts``
does besides in ``account_methods``.

Strava issues a new access token only in the last hour of the old one, and the same one before that. A leeway of five
minutes is inside that hour, and covers a local clock that is two minutes wrong.

Source:
    https://developers.strava.com/docs/authentication/ and RFC 6749 §6.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from strava_async._concurrency.single_flight import SingleFlight
from strava_async._hidden import Hidden
from strava_async.clock import Clock, SystemClock
from strava_async.errors import InputError, MissingScopeError
from strava_async.oauth.grants import AccessInfo
from strava_async.oauth.scopes import lacks_scope
from strava_async.oauth.token_set import TokenSet
from strava_async.tokens.account_methods import AccountMethods
from strava_async.tokens.expiry import Expiry
from strava_async.tokens.grant import TEMPORARY_ERRORS, Grant
from strava_async.tokens.holder import Refresh
from strava_async.tokens.persistence import CallbackPersistence, OnTokenRefresh, TokenPersistence
from strava_async.tokens.state import Held, Unread

if TYPE_CHECKING:
    from strava_async.stores.base import Lease

LEEWAY_SECONDS = 300.0

_NONE: Hidden[str | None] = Hidden(None)


class TokenSource(AccountMethods):
    """Where the requests of one athlete get their bearer from. Share it between ``ApiV3`` objects of that athlete.

    It belongs to the event loop that uses it first, until that has ended; used in another meanwhile, it raises
    InputError. An event loop that ends waits for a renewal that has begun, 30 seconds at most.

    Args:
        token: the first tokens; None if the athlete is not connected yet, or if ``persistence`` has them.
        refresh: asks Strava for the next tokens; None means that tokens are used until they expire.
            Can be set later, as the attribute of that name.
        on_refresh: sync or async; gets each renewed TokenSet, and has returned before that is used. What it raises
            reaches every caller that waits, and it is called again before the next use. It cannot make requests
            with these tokens.
        persistence: in place of ``on_refresh``: where the tokens are read before their first use, and saved.
        clock: None means the system's.
        leeway_seconds: renew that long before the expiry.
        athlete_id: whose tokens these are; None means what the tokens say. A renewal that names another athlete is an
            InvalidGrantError.
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
        flight = SingleFlight("this TokenSource, and with it the object that uses it,", "a renewal of tokens")
        grant = Grant(
            Unread() if is_shared and token is None else Held(token or TokenSet("")),
            persistence or CallbackPersistence(on_refresh),
            Expiry(clock or SystemClock(), leeway_seconds),
            is_shared=is_shared,
            athlete_id=athlete_id,
            on_ask=flight.mark_conclusive,
            on_change=on_change,
        )
        grant.refresh = refresh
        super().__init__(flight, grant)

    @property
    def token(self) -> TokenSet:
        """The present tokens; setting them also forgets what is known of those before."""
        return self._grant.state.token

    @token.setter
    def token(self, token: TokenSet) -> None:
        self._grant.hold(token)

    @property
    def refresh(self) -> Refresh | None:
        """The function that asks Strava for the next tokens; None if there is none."""
        return self._grant.refresh

    @refresh.setter
    def refresh(self, refresh: Refresh | None) -> None:
        self._grant.refresh = refresh

    @property
    def shared(self) -> bool:
        """Whether other processes may change the tokens where they are saved."""
        return self._grant.is_shared

    @property
    def refreshable(self) -> bool:
        """Whether there is a refresh token, and a way to use it."""
        return self._grant.refreshable

    @property
    def remembers(self) -> bool:
        """Whether there is something to remember for a minute, so that Strava is not asked again at once."""
        return self._grant.expiry.remembers

    async def bearer(self) -> str | None:
        """Return an access token, renewed first if it is due; None if there is none.

        Waits for a renewal, no longer. Costs no quota. A token that cannot be renewed now is used until it expires;
        a minute later the next call tries again.

        Raises:
            InvalidGrantError: Strava rejected the refresh token; the athlete has to connect again.
            StravaError: the renewal failed for another reason; the next call tries again.
        """
        flight, grant = self._flight, self._grant
        flight.enter()
        while flight.current is not None or grant.is_due:
            try:
                if await flight.share(partial(self._renew, _NONE)) and not isinstance(grant.state, Unread):
                    break
            except TEMPORARY_ERRORS:
                if not grant.is_valid():
                    raise
        return grant.state.token.access_token or None

    async def renew(self, stale: str | None) -> bool:
        """Replace an access token that Strava rejected.

        Args:
            stale: the rejected one.

        Returns:
            whether there is another one now. False also where nothing can renew it, where Strava gave the same one
            again, and for a minute after that, or after Strava gave one that had expired already.

        Raises:
            InvalidGrantError: Strava rejected the refresh token; the athlete has to connect again.
            StravaError: the renewal failed for another reason.
        """
        rejected = Hidden(stale)
        del stale
        flight, grant = self._flight, self._grant
        flight.enter()
        if self.token.access_token and grant.has(rejected):
            grant.expiry.note_rejection(self.token)
        if grant.expiry.is_backing_off:
            return not grant.has(rejected)
        while grant.has(rejected) and (flight.current is not None or grant.refreshable):
            if await flight.share(partial(self._renew, rejected)):
                break
        return bool(self.token.access_token) and not grant.has(rejected)

    async def replace(self, ask: Refresh, *, save: bool) -> AccessInfo:
        """Ask for tokens now, whether the present ones are valid or not, and use them from then on.

        Waits for a renewal in progress first. Once begun, it completes even if the caller is cancelled.

        Args:
            ask: makes the request; gets the present tokens.
            save: whether the tokens are saved before they are used. False is for a new grant, which the caller saves:
                nothing that is known of the one before applies to it.

        Raises:
            InputError: the tokens are shared, and are not to be saved.
            StravaError: what ``ask`` raises; the present tokens stay.
        """
        if self.shared and not save:
            raise InputError("these tokens are kept in a store: use Strava.connect to connect the athlete")
        grant = self._grant

        async def work(lease: Lease) -> AccessInfo:
            return await grant.adopt(ask, await grant.saved(), save=save)

        return await self._exclusively(work)

    async def prepare(self, any_of: tuple[str, ...] = ()) -> None:
        """Do what can be done before a call enters the queue for quota. Costs none.

        Shared tokens are read, and renewed if they are due: another process may hold their lock for long, and no permit
        is held meanwhile. They are read again before MissingScopeError is raised: another process may have connected
        the athlete again.

        Args:
            any_of: scopes of which the call needs one; empty means that it needs none.

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

    async def wait_idle(self) -> None:
        """Wait until no renewal is in progress, so that what it uses may be closed."""
        await self._flight.wait_idle()

    async def _renew(self, rejected: Hidden[str | None]) -> None:
        grant = self._grant
        if not self.unsaved and await grant.is_settled(rejected):
            return
        # Another process may hold the lock for as long as Strava takes.
        await grant.exclusively(lambda lease: grant.renew(lease, rejected))
