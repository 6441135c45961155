"""The tokens of one athlete, and their renewal: once, for any number of callers.

Cases, in the order in which ``TokenSource.bearer`` looks at them:

1. A renewal is under way: wait for it and share its result, be it tokens or an error.
2. Renewed tokens could not be handed to ``on_refresh`` before: hand them over first; they are used only after that.
3. The access token is good for longer than the leeway, or its expiry is unknown: use it.
4. It is not, and it can be renewed: renew it; this caller leads, those who come meanwhile wait (case 1).
5. It is not, and nothing can renew it: use it; Strava's answer decides.

``renew`` is for a token that Strava refused. The refused one is passed in: what somebody else has renewed meanwhile is
not renewed again. A refresh token that Strava called dead is not tried again.

Strava hands out a new access token only in the last hour of the old one, and the same one before that. A leeway of
five minutes is inside that hour, and covers a local clock that is two minutes wrong.

Source:
    https://developers.strava.com/docs/authentication/ and RFC 6749 §6.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial

import anyio

from strava_async._shield import run_to_end
from strava_async.clock import Clock, SystemClock
from strava_async.errors import InputError, InvalidGrantError, StravaError, TransportError
from strava_async.oauth import AccessInfo, TokenSet

Refresh = Callable[[TokenSet], Awaitable[AccessInfo]]
OnTokenRefresh = Callable[[TokenSet], object]

LEEWAY_SECONDS = 300.0
# Strava gave the same token again although it should be near its end: somebody's clock is wrong. Do not ask at once.
SAME_TOKEN_SECONDS = 60.0


class _Renewal:
    """One renewal under way: those who wait for it, and how it ended."""

    __slots__ = ("done", "error")

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.error: Exception | None = TransportError("the event loop stopped a renewal of tokens", sent="maybe")


_inside: ContextVar[_Renewal | None] = ContextVar("renewal of tokens", default=None)


class TokenSource:
    """Where the requests of one athlete get their bearer from. Share it between ``ApiV3`` objects of that athlete.

    Args:
        token: what to begin with; None if the athlete is not connected yet.
        refresh: asks Strava for the next tokens; None means that tokens are used as long as they live.
            Can be given later, as the attribute of that name.
        on_refresh: sync or async; gets each renewed TokenSet, and has returned before it is used. What it raises
            reaches every caller that waits, and it is called again before the next use. It cannot make requests
            with these tokens.
        clock: None means the system's.
        leeway_seconds: renew that long before the expiry.
    """

    def __init__(
        self,
        token: TokenSet | None = None,
        *,
        refresh: Refresh | None = None,
        on_refresh: OnTokenRefresh | None = None,
        clock: Clock | None = None,
        leeway_seconds: float = LEEWAY_SECONDS,
    ) -> None:
        self._token = token or TokenSet("")
        self.refresh = refresh
        self._on_refresh = on_refresh
        self._clock = clock or SystemClock()
        self._leeway = leeway_seconds
        self._skew = 0.0  # Strava's clock minus ours, as the last answer told it
        self._not_before = 0.0
        self._unsaved = False
        self._dead: InvalidGrantError | None = None
        self._renewal: _Renewal | None = None

    @property
    def token(self) -> TokenSet:
        """The tokens as they are now; setting them ends any complaint about the old ones."""
        return self._token

    @token.setter
    def token(self, token: TokenSet) -> None:
        self._token = token
        self._unsaved = False
        self._dead = None
        self._not_before = 0.0

    @property
    def refreshable(self) -> bool:
        """Whether there is a refresh token, and a way to use it."""
        return self.refresh is not None and bool(self._token.refresh_token)

    async def bearer(self) -> str | None:
        """Return an access token that should be good, renewing it first if need be; None if there is none.

        Waits for a renewal, no longer. Costs no quota.

        Raises:
            InvalidGrantError: the refresh token is dead; the athlete has to connect again.
            StravaError: the renewal failed for another reason; the next call tries again.
        """
        if self._renewal is not None or self._unsaved or self._is_due():
            await self._renew()
        return self._token.access_token or None

    async def renew(self, stale: str | None) -> bool:
        """Replace an access token that Strava refused.

        Args:
            stale: the refused one.

        Returns:
            whether there is another one now. False also where nothing can renew it, and where Strava gave the same
            one again.

        Raises:
            InvalidGrantError: the refresh token is dead; the athlete has to connect again.
            StravaError: the renewal failed for another reason.
        """
        if (self._token.access_token or None) == stale and (self._renewal is not None or self.refreshable):
            await self._renew()
        return self._token.access_token not in ("", stale)

    async def replace(self, ask: Refresh, *, save: bool) -> AccessInfo:
        """Ask for tokens now, whatever the present ones are worth, and use them from then on.

        Waits for a renewal under way first. Cancelling the caller does not stop what was begun.

        Args:
            ask: makes the request; gets the present tokens.
            save: whether ``on_refresh`` is to have them before they are used.

        Raises:
            StravaError: what ``ask`` raises; the present tokens stay.
        """
        while self._renewal is not None:
            await self._join(self._renewal)
        answer: list[AccessInfo] = []

        async def work() -> None:
            answer.append(await self._adopt(ask, save))

        await self._lead(work)
        return answer[0]

    async def settled(self) -> None:
        """Wait until no renewal is under way, so that what it uses may be closed."""
        if self._renewal is not None:
            await self._renewal.done.wait()

    def _is_due(self) -> bool:
        token = self._token
        if not self.refreshable:
            return False
        if not token.access_token:
            return True
        now = self._clock.time() + self._skew
        return token.expires_at is not None and token.expires_at - self._leeway <= now and now >= self._not_before

    async def _renew(self) -> None:
        renewal = self._renewal
        if renewal is None:
            await self._lead(self._next_tokens)
        else:
            await self._join(renewal)
            if renewal.error is not None:
                raise _own_copy(renewal.error)

    async def _join(self, renewal: _Renewal) -> None:
        if _inside.get() is renewal:
            raise InputError("on_refresh cannot use the tokens that it is to save: it would wait for itself")
        await renewal.done.wait()

    async def _lead(self, work: Callable[[], Awaitable[None]]) -> None:
        renewal = self._renewal = _Renewal()
        await run_to_end(partial(self._carry_out, renewal, work), partial(self._end, renewal))
        if renewal.error is not None:
            raise _own_copy(renewal.error)

    async def _carry_out(self, renewal: _Renewal, work: Callable[[], Awaitable[None]]) -> None:
        mark = _inside.set(renewal)
        try:
            await work()
            await self._save()
        except Exception as error:
            renewal.error = error
        else:
            renewal.error = None
        finally:
            _inside.reset(mark)

    def _end(self, renewal: _Renewal) -> None:
        self._renewal = None
        renewal.done.set()

    async def _next_tokens(self) -> None:
        if self._dead is not None:
            raise self._dead
        before = self._token
        if self._unsaved or self.refresh is None or not before.refresh_token:
            return
        try:
            await self._adopt(self.refresh, save=True)
        except InvalidGrantError as error:
            if self._token is before:
                self._dead = error
            raise

    async def _adopt(self, ask: Refresh, save: bool) -> AccessInfo:
        before = self._token
        info = await ask(before)
        if self._token is not before:
            return info  # somebody set other tokens meanwhile: theirs count
        token = info.token_set(before)
        expires_in = info.get("expires_in")
        if isinstance(expires_in, int | float):
            self._skew = info["expires_at"] - expires_in - self._clock.time()
        self.token = token
        self._unsaved = save and token != before
        if token.access_token == before.access_token:
            self._not_before = self._clock.time() + self._skew + SAME_TOKEN_SECONDS
        return info

    async def _save(self) -> None:
        if self._unsaved and self._on_refresh is not None:
            result = self._on_refresh(self._token)
            if inspect.isawaitable(result):
                await result
        self._unsaved = False


def _own_copy(error: Exception) -> Exception:
    """Return the error for one of several callers; one that all of them raised would collect all their tracebacks."""
    if not isinstance(error, StravaError):
        return error
    own = copy.copy(error)
    own.__cause__ = error.__cause__
    return own
