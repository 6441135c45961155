"""``ApiV3``: the async twin of ``stravalib.protocol.ApiV3``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from strava_async._concurrency.shield import call_shielded
from strava_async._hidden import Hidden, hidden
from strava_async._http import HttpClient, HttpSender
from strava_async._types import UNSET, Unset
from strava_async.clock import Clock
from strava_async.errors import InputError
from strava_async.limiter.base import Limiter
from strava_async.oauth.token_set import TokenSet, with_expiry
from strava_async.quota.values import Priority
from strava_async.request.api_methods import ApiMethods
from strava_async.request.core import Core, View
from strava_async.request.lifecycle import Stage
from strava_async.request.options import Options, RetryPolicy, changed
from strava_async.request.reports import Reports
from strava_async.request.token_endpoint import Credentials
from strava_async.request.token_methods import TokenMethods
from strava_async.tokens.persistence import OnTokenRefresh
from strava_async.tokens.source import TokenSource

if TYPE_CHECKING:
    from strava_async.quota.readings import Quota
    from strava_async.telemetry.hooks import Hooks


class ApiV3(TokenMethods, ApiMethods):
    """Strava's API for one athlete. Every request reserves quota before it is sent, and renews the token if need be.

    Usable on asyncio and trio. Objects of one application share a ``rate_limiter``; objects of one athlete share
    ``tokens``.

    Args:
        access_token: sent with every API call; None sends none until there is one.
        http_client: an ``httpx.AsyncClient`` or ``httpx2.AsyncClient`` of the caller's, never changed nor closed. None
            makes one on first use, which ``aclose`` closes.
        rate_limiter: None means one of its own.
        refresh_token: exchanged for the next access token.
        token_expires: when the access token expires; epoch seconds.
        client_id: the application's id.
        client_secret: the application's secret; with both, tokens are renewed automatically.
        tokens: a ``TokenSource`` in place of the three about tokens, the credentials and ``on_token_refresh``.
        on_token_refresh: sync or async; gets each renewed ``TokenSet``, and has returned before it is used.
        retry: when and how often to try again.
        timeout: the inactivity timeout of an attempt: seconds without a byte from the server.
        total: seconds for one attempt, from asking for a connection to the last byte of the reply; None means no bound.
            Requests for tokens and revocations have ``timeout``, but at least 3 and at most 20, unless this is less.
        max_wait: seconds that a call may queue for quota; None means as long as it takes.
        priority: the rank in that queue.
        hooks: receive requests, waits, retries and renewals; see ``strava_async.hooks``.
        clock: None means the limiter's.
        random: returns jitter from [0, 1); None means the limiter's.
        api_url: None means ``https://{server}{api_base}``.
        oauth_url: None means ``https://{server}/oauth``.

    Raises:
        InputError: an argument is invalid, or two contradict each other.
    """

    server = "www.strava.com"
    api_base = "/api/v3"

    def __init__(
        self,
        access_token: str | None = None,
        http_client: HttpClient | None = None,
        rate_limiter: Limiter | None = None,
        *,
        refresh_token: str | None = None,
        token_expires: float | None = None,
        client_id: int | str | None = None,
        client_secret: str | None = None,
        tokens: TokenSource | None = None,
        on_token_refresh: OnTokenRefresh | None = None,
        retry: RetryPolicy = RetryPolicy(),
        timeout: float = 30.0,
        total: float | None = None,
        max_wait: float | None = None,
        priority: Priority = Priority.NORMAL,
        hooks: Hooks | None = None,
        clock: Clock | None = None,
        random: Callable[[], float] | None = None,
        api_url: str | None = None,
        oauth_url: str | None = None,
    ) -> None:
        access, refresh = Hidden(access_token), Hidden(refresh_token)
        secret = None if client_secret is None else hidden(client_secret)
        del access_token, refresh_token, client_secret
        core = Core(
            HttpSender(http_client),
            rate_limiter,
            partial(reports_for, hooks),
            clock=clock,
            random=random,
            api_url=api_url or f"https://{self.server}{self.api_base}",
            oauth_url=oauth_url or f"https://{self.server}/oauth",
            credentials=Credentials(client_id, secret),
            options=Options(retry, timeout, max_wait, priority, total),
        )
        tokens = _token_source(tokens, access, refresh, token_expires, on_token_refresh, core.clock)
        core.renew_by_default(tokens)
        super().__init__(core, tokens, core.options, owns_core=True)

    @property
    def tokens(self) -> TokenSource:
        """Where the bearer comes from; pass it on to share it."""
        return self._tokens

    @property
    def timeout(self) -> float:
        """The inactivity timeout of an attempt, in seconds."""
        return self._options.timeout

    @property
    def clock(self) -> Clock:
        """The clock in use."""
        return self._core.clock

    @property
    def quota(self) -> Quota:
        """The four meters as the limiter knows them now."""
        return self._core.limiter.quota

    def with_options(
        self,
        *,
        priority: Priority | Unset = UNSET,
        max_wait: float | Unset | None = UNSET,
        timeout: float | Unset = UNSET,
        total: float | Unset | None = UNSET,
        retry: RetryPolicy | Unset = UNSET,
    ) -> ApiV3:
        """Return a view of this object that makes its calls with other options.

        Pool, limiter, tokens and hooks are the same; closing either closes both. Renewals of tokens keep the options of
        the object that was made first: all callers of an athlete share them.
        """
        options = changed(
            self._options, priority=priority, max_wait=max_wait, timeout=timeout, total=total, retry=retry
        )
        return self._view(self._tokens, options, owns_core=self._owns_core)

    def with_tokens(self, tokens: TokenSource) -> ApiV3:
        """Return the same API for another athlete of the application.

        Pool, limiter, credentials, options and hooks are the same; closing it does not close this one. ``Strava`` does
        this for the athletes of a token store.

        Args:
            tokens: where its bearer comes from. Without a ``refresh`` of its own it is renewed with the credentials.
        """
        self._core.renew_by_default(tokens)
        return self._view(tokens, self._options, owns_core=False)

    async def prepare(self) -> None:
        """Load what the first request needs: modules, and the certificates that are trusted. Makes no requests.

        It takes about 100 ms in a thread, once per process. Without this call the first request does it, and is that
        much slower. With an ``http_client`` there is nothing to load.

        Raises:
            InputError: the environment names certificates that cannot be used, or this object is closed or used in
                another event loop.
        """
        await self._core.sender.prepare()

    async def aclose(self) -> None:
        """Close the connections that this object opened, after a renewal of tokens in progress has ended.

        Requests in flight fail with a TransportError. A server that never answers does not block it: a renewal is
        bounded in time.
        """
        await call_shielded(self._close, lambda: None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} for {self._core.api_url}: {self._tokens.token}>"

    async def _close(self) -> None:
        if self._owns_core:
            self._core.lifecycle.advance(Stage.CLOSING)
        await self._tokens.wait_idle()
        if self._owns_core:
            await self._core.close()

    def _view(self, tokens: TokenSource, options: Options, *, owns_core: bool) -> ApiV3:
        view = object.__new__(type(self))
        if type(self) is not ApiV3:
            vars(view).update(vars(self))  # a subclass may have attributes of its own
        View.__init__(view, self._core, tokens, options, owns_core=owns_core)
        return view


def view_of(core: Core, tokens: TokenSource, options: Options) -> ApiV3:
    """Return an ``ApiV3`` over a core, which closing it does not close."""
    api = object.__new__(ApiV3)
    View.__init__(api, core, tokens, options, owns_core=False)
    return api


def reports_for(hooks: Hooks | None, clock: Clock) -> Reports:
    """Return what an exchange reports its events to."""
    if hooks is None:
        return Reports()
    from strava_async.telemetry.hook_reports import HookReports  # not above: it adds to the import, and few need it

    return HookReports(hooks, clock)


def _token_source(
    tokens: TokenSource | None,
    access: Hidden[str | None],
    refresh: Hidden[str | None],
    expires: float | None,
    on_refresh: OnTokenRefresh | None,
    clock: Clock,
) -> TokenSource:
    """Return the source that is given, or one of the four values that stand for it."""
    if tokens is None:
        token = with_expiry(TokenSet(access.reveal() or "", refresh.reveal()), expires)
        return TokenSource(token, on_refresh=on_refresh, clock=clock)
    if any(one is not None for one in (access.reveal(), refresh.reveal(), expires, on_refresh)):
        raise InputError("give either tokens, or access_token and its companions")
    return tokens
