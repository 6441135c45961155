"""``ApiV3``: the async twin of ``stravalib.protocol.ApiV3``."""

from __future__ import annotations

import copy
import math
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from strava_async._concurrency.shield import UnderWay, carry_out
from strava_async._hidden import Hidden, hidden
from strava_async._http import HttpClient, HttpSender
from strava_async._types import UNSET, Unset
from strava_async.clock import Clock
from strava_async.errors import InputError, StravaError
from strava_async.limiter.local import Limiter, RateLimiter
from strava_async.oauth import grants as oauth
from strava_async.oauth.credentials import check_client_id, check_secret
from strava_async.oauth.grants import AccessInfo, TokenSet, with_access_token, with_expiry, with_refresh_token
from strava_async.paging.pages import PageWalk
from strava_async.paging.walk import Items, Pages
from strava_async.quota.values import Priority, Quota
from strava_async.request.call import Call, Method, api_call, base_url, hide_secrets, oauth_call
from strava_async.request.exchange import Exchange, Options
from strava_async.request.reports import Reports
from strava_async.request.retry import Pause, RetryPolicy
from strava_async.tokens.source import OnTokenRefresh, TokenSource

if TYPE_CHECKING:
    from strava_async.telemetry.hooks import Hooks

# No request about tokens takes longer, whatever Strava sends. A small timeout does not cut it off before TCP can
# make good the loss of two packets (RFC 6298 §2): the answer may hold the only refresh token that is good.
OAUTH_SECONDS = 20.0
LEAST_OAUTH_SECONDS = 3.0


@dataclass(slots=True, repr=False)
class _Application:
    """What an object and its views share: the credentials as far as they are known, and how tokens are asked for."""

    client_id: int | str | None = None
    client_secret: Hidden[str] | None = None
    options: Options = field(default_factory=Options)
    requests: UnderWay = field(default_factory=UnderWay)
    pause: Pause = field(default_factory=Pause)
    closed: bool = False


class ApiV3:
    """Strava's API for one athlete: every request with its quota reserved and its token renewed.

    Usable on asyncio and trio. Objects of one application share a ``rate_limiter``; objects of one athlete share
    ``tokens``.

    Args:
        access_token: goes along with every API call; None sends none until there is one.
        http_client: an ``httpx.AsyncClient`` or ``httpx2.AsyncClient`` of the caller's, never changed nor closed. None
            makes one on first use, which ``aclose`` closes.
        rate_limiter: None means one of its own.
        refresh_token: brings the next access token.
        token_expires: when the access token dies; epoch seconds.
        client_id: the application's id.
        client_secret: the application's secret; with both, tokens are renewed automatically.
        tokens: a ``TokenSource`` in place of the three about tokens, the credentials and ``on_token_refresh``.
        on_token_refresh: sync or async; gets each renewed ``TokenSet``, and has returned before it is used.
        retry: when and how often to try again.
        timeout: seconds without a sign of the other side before an attempt is given up.
        total: seconds for one attempt, from asking for a connection to the last byte of the reply; None means no bound.
            What asks for tokens, or revokes them, has as many as ``timeout``, but from 3 to 20, unless this is less.
        max_wait: seconds that a call may queue for quota; None means as long as it takes.
        priority: the rank in that queue.
        hooks: are told of requests, waits, retries and renewals; see ``strava_async.hooks``.
        clock: None means the limiter's.
        random: returns jitter from [0, 1); None means the limiter's.
        api_url: None means ``https://{server}{api_base}``.
        oauth_url: None means ``https://{server}/oauth``.

    Raises:
        InputError: an argument makes no sense, or two contradict each other.
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
        self._options = _checked(Options(retry, timeout, max_wait, priority, total))
        self._api_url = base_url(api_url or f"https://{self.server}{self.api_base}")
        self._oauth_url = base_url(oauth_url or f"https://{self.server}/oauth")
        limiter = RateLimiter(clock=clock, random=random) if rate_limiter is None else rate_limiter
        clock = clock or limiter.clock
        self._limiter = limiter
        self._clock = clock
        self._sender = HttpSender(http_client)
        self._owns_pool = True
        self._reports = _reports(hooks, clock)
        self._exchange = Exchange(limiter, self._sender, clock, random or limiter.random, self._reports)
        if tokens is None:
            token = with_expiry(TokenSet(access.reveal() or "", refresh.reveal()), token_expires)
            tokens = TokenSource(token, on_refresh=on_token_refresh, clock=clock)
        elif any(one is not None for one in (access.reveal(), refresh.reveal(), token_expires, on_token_refresh)):
            raise InputError("give either tokens, or access_token and its companions")
        self._tokens = tokens
        self._application = _Application(options=self._options)
        if client_id is not None:
            check_client_id(client_id)
        if secret is not None:
            check_secret(secret)
        if client_id is not None and secret is not None:
            self._renew_with(client_id, secret)

    @property
    def tokens(self) -> TokenSource:
        """Where the bearer comes from; pass it on to share it."""
        return self._tokens

    @property
    def timeout(self) -> float:
        """Seconds without a sign of the other side before an attempt is given up."""
        return self._options.timeout

    @property
    def clock(self) -> Clock:
        """The time that it goes by."""
        return self._clock

    @property
    def access_token(self) -> str | None:
        """The access token as it is now."""
        return self._tokens.token.access_token or None

    @access_token.setter
    def access_token(self, value: str | None) -> None:
        token = Hidden(value or "")
        del value
        self._tokens.token = with_access_token(self._tokens.token, token)

    @property
    def refresh_token(self) -> str | None:
        """The refresh token as it is now; it may change with every renewal."""
        return self._tokens.token.refresh_token

    @refresh_token.setter
    def refresh_token(self, value: str | None) -> None:
        token = Hidden(value)
        del value
        self._tokens.token = with_refresh_token(self._tokens.token, token)

    @property
    def token_expires(self) -> int | None:
        """When the access token dies; epoch seconds, None if unknown."""
        return self._tokens.token.expires_at

    @token_expires.setter
    def token_expires(self, value: float | None) -> None:
        self._tokens.token = with_expiry(self._tokens.token, value)

    @property
    def quota(self) -> Quota:
        """The four meters as the limiter knows them now."""
        return self._limiter.quota

    async def authorization_url(
        self,
        client_id: int | str,
        redirect_uri: str,
        approval_prompt: str = "auto",
        scope: str | Iterable[str] | None = None,
        state: str | None = None,
    ) -> str:
        """Return the address to send an athlete to. Nothing is requested.

        Args:
            client_id: the application's id.
            redirect_uri: where Strava sends the athlete back to; inside the application's callback domain.
            approval_prompt: ``force`` shows the page even to those who have granted everything.
            scope: a string or ``Scope`` values; None means ``read`` and ``activity:read``.
            state: comes back with the redirect; bind it to the athlete's session.

        Raises:
            InputError: an unknown scope or approval prompt, or a redirect URI that is not absolute. It is a ValueError.

        Source:
            https://developers.strava.com/docs/authentication/ and RFC 6749 §4.1.1.
        """
        return oauth.authorization_url(
            self._oauth_url,
            client_id=client_id,
            redirect_uri=redirect_uri,
            approval_prompt=approval_prompt,
            scope=scope,
            state=state,
        )

    async def exchange_code_for_token(self, client_id: int | str, client_secret: str, code: str) -> AccessInfo:
        """Exchange the code of a redirect for tokens, and use them from now on. Costs no quota.

        The request is made once: a code is used up by it, whether or not the answer arrives. It is carried to its end
        even if the caller is cancelled.

        Raises:
            InputError: one of the three is empty, or has white space around it; nothing was sent.
            InvalidGrantError: the code is wrong, used or too old.
            InvalidClientError: the client id or secret is wrong.
            AthleteCapacityError: the application has as many athletes as it may have.
            RateLimitedError: Strava refused it for now, or another one a moment ago; the code is not used up.
            TransportError, ServerError, DecodeError: no usable answer came; the code may be used up.

        Source:
            https://developers.strava.com/docs/authentication/ and RFC 6749 §4.1.3.
        """
        secret, grant = hidden(client_secret), hidden(code)
        del client_secret, code
        form = oauth.code_grant(client_id, secret, grant)
        info = await self._tokens.replace(
            lambda _: self._token_grant(form, self._options, idempotent=False), save=False
        )
        self._renew_with(client_id, secret)
        return info

    async def refresh_access_token(self, client_id: int | str, client_secret: str, refresh_token: str) -> AccessInfo:
        """Exchange a refresh token for the next tokens, and use them from now on. Costs no quota.

        More than an hour before the access token dies Strava answers with the same one. ``on_token_refresh`` has
        returned before this does. It is carried to its end even if the caller is cancelled.

        Raises:
            InputError: one of the three is empty, or has white space around it; nothing was sent.
            InvalidGrantError: the refresh token is dead; the athlete has to connect again.
            InvalidClientError: the client id or secret is wrong; the grant is still good.
            RateLimitedError: Strava refused it for now, or a moment ago; ``retry_after`` has the seconds where it said.
            TransportError, ServerError, DecodeError: no usable answer came, after the retries.

        Source:
            https://developers.strava.com/docs/authentication/ and RFC 6749 §6.
        """
        secret, grant = hidden(client_secret), hidden(refresh_token)
        del client_secret, refresh_token
        form = oauth.refresh_grant(client_id, secret, grant)
        info = await self._tokens.replace(lambda tokens: self._renewal(form, tokens), save=True)
        self._renew_with(client_id, secret)
        return info

    async def revoke(
        self, client_id: int | str | None = None, client_secret: str | None = None, token: str | None = None
    ) -> None:
        """Revoke a grant at Strava: both tokens of the athlete die. Costs no quota, needs no living access token.

        Args:
            client_id: the application's id; None means the one given before.
            client_secret: the application's secret; None means the one given before.
            token: either token of the grant; None means this object's refresh token, else its access token. Those are
                forgotten afterwards.

        Raises:
            InputError: there is no token, or the credentials are not known, or one of the three cannot be what it is
                said to be.
            InvalidClientError: the client id or secret is wrong.
            TransportError, ServerError: no usable answer came, after the retries; revoking again does no harm.

        Source:
            https://developers.strava.com/docs/authentication/ (``POST /oauth/revoke``, since June 2026), RFC 7009.
        """
        client_id = self._application.client_id if client_id is None else client_id
        secret = self._application.client_secret if client_secret is None else hidden(client_secret)
        given = Hidden(token)
        del client_secret, token
        if client_id is None or secret is None:
            raise InputError("revoking needs client_id and client_secret")
        if given.reveal() is None and self._tokens.shared:
            raise InputError("these tokens are kept in a store: disconnect the athlete with Strava.disconnect")
        to_revoke = Hidden(given.reveal() or self.refresh_token or self.access_token or "")
        if not to_revoke.reveal():
            raise InputError("there is no token to revoke")
        check_client_id(client_id)
        credentials = (client_id, check_secret(secret))
        form = {"token": check_secret(to_revoke, "the token to revoke")}
        call = oauth_call(f"{self._oauth_url}/revoke", form, idempotent=True, credentials=credentials)
        await self._exchange.run(call, None, _of_oauth(self._options))
        if to_revoke.reveal() in (self.refresh_token, self.access_token):
            self._tokens.token = TokenSet("")

    async def get(self, url: str, check_for_errors: bool = True, **kwargs: Any) -> Any:
        """Ask for something.

        Waits for quota, for a renewal of the token, and between retries. Costs one request of the read class, and one
        more per retry.

        Args:
            url: a path below the API such as ``/activities/{id}``, or an absolute URL of its origin.
            check_for_errors: False returns the body of a refusal instead of raising.
            **kwargs: fill the names in the path; the rest goes to the query. None is left out.

        Returns:
            JSON decoded; ``{}`` for an empty success; ``str`` for text and XML; ``bytes`` for anything else.

        Raises:
            InputError: the path or a value cannot be sent; nothing was.
            QuotaExceededError: not within ``max_wait``; nothing was sent.
            TransportError, FaultError, OAuthError, DecodeError: see ``strava_async.errors``. An answer of more than 64
                MB, read or unpacked, is a DecodeError, whatever its status.
        """
        return await self._call("GET", url, kwargs, check_for_errors)

    async def post(self, url: str, files: Any = None, check_for_errors: bool = True, **kwargs: Any) -> Any:
        """Send a form, or with ``files`` a multipart body. Waits, returns and raises as ``get`` does.

        Costs one request: of the upload class for ``/activities`` and ``/uploads``, of the read class otherwise. It is
        not sent again once it may have reached Strava, except after a 401 or 429, by which Strava refused it.

        Args:
            url: see ``get``.
            files: multipart files, as httpx takes them, of 512 MB at the most each; bytes can be sent again, a stream
                is sent once. What is not in memory is read in a thread.
            check_for_errors: see ``get``.
            **kwargs: fill the names in the path; the rest is the form.
        """
        return await self._call("POST", url, kwargs, check_for_errors, files=files)

    async def put(self, url: str, check_for_errors: bool = True, body: Any = None, **kwargs: Any) -> Any:
        """Change something. Costs one request of the read class; waits, returns and raises as ``get`` does.

        Args:
            url: see ``get``.
            check_for_errors: see ``get``.
            body: what to send as JSON; None sends no body.
            **kwargs: fill the names in the path; the rest goes to the query.
        """
        return await self._call("PUT", url, kwargs, check_for_errors, body=body)

    async def delete(self, url: str, check_for_errors: bool = True, **kwargs: Any) -> Any:
        """Delete something. Costs one request of the read class; arguments, waits and errors as in ``get``."""
        return await self._call("DELETE", url, kwargs, check_for_errors)

    async def request(
        self,
        method: Method,
        url: str,
        params: Mapping[str, Any] | None = None,
        *,
        files: Any = None,
        body: Any = None,
        form: Mapping[str, Any] | None = None,
        decode: Callable[[bytes], Any] | None = None,
    ) -> Any:
        """Make any of the four calls above, with a decoder of your own. Costs, waits and raises as they do.

        Args:
            method: ``GET``, ``POST``, ``PUT`` or ``DELETE``.
            url: see ``get``.
            params: fill the names in the path; the rest goes to the query or the form. None is left out.
            files: see ``post``.
            body: see ``put``.
            form: the fields of a form in place of ``body``, with PUT.
            decode: makes the result out of the body of a success, unpacked; a ValueError of its own becomes a
                DecodeError. Not called for a refusal. None decodes as ``get`` does.
        """
        params = dict(params or {})
        hide_secrets(params)
        call = api_call(method, url, params, api_url=self._api_url, files=files, body=body, form=form)
        return await self._exchange.run(call, self._tokens, self._options, decode=decode)

    def paginate(
        self, url: str, *, per_page: int = 200, limit: int | None = None, prefetch: int = 0, **kwargs: Any
    ) -> AsyncGenerator[Any, None]:
        """Walk over a list that comes in numbered pages.

        Each page costs one request of the read class, the empty one at the end included. Waits as ``get`` does.

        Args:
            url: see ``get``; the endpoint has to be one that is paged.
            per_page: items to ask for at a time; 200 is Strava's maximum and is not exceeded.
            limit: items wanted at the most; None means all. The walk ends there without asking for more.
            prefetch: how many more pages to ask for at the same time. Up to that many may be asked for in vain.
            **kwargs: as in ``get``.

        Returns:
            an async iterator of items, in Strava's order, up to the first empty page. For ``/athlete/activities`` give
            a ``before``, so that an activity that arrives meanwhile does not push others to the next page.

        Raises:
            InputError: at once, for a number that makes no sense.
            StravaError: while iterating, as ``get`` does; DecodeError too where a page is no list.
        """
        if "page" in kwargs:
            raise InputError("paginate counts the pages itself")
        return Items(self._items(url, PageWalk(per_page, limit, prefetch), kwargs), url)

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
        given = {"priority": priority, "max_wait": max_wait, "timeout": timeout, "total": total, "retry": retry}
        view = copy.copy(self)
        changes: dict[str, Any] = {name: value for name, value in given.items() if not isinstance(value, Unset)}
        view._options = _checked(self._options._replace(**changes))
        return view

    def with_tokens(self, tokens: TokenSource) -> ApiV3:
        """Return the same API for another athlete of the application.

        Pool, limiter, credentials, options and hooks are the same; closing it does not close this one. ``Strava`` does
        this for the athletes of a token store.

        Args:
            tokens: where its bearer comes from. Without a ``refresh`` of its own it is renewed with the credentials.
        """
        view = copy.copy(self)
        view._tokens = tokens
        view._owns_pool = False
        if tokens.refresh is None and self._application.client_secret is not None:
            tokens.refresh = self._refresh
        return view

    async def prepare(self) -> None:
        """Load what the first request needs: modules, and the certificates that are trusted. Nothing is requested.

        It is a thread's work of some 100 ms, once per process. The first request does it otherwise, and so is that much
        slower; nothing else is. With an ``http_client`` there is nothing to load.

        Raises:
            InputError: the environment names certificates that cannot be used, or this object is closed or used in
                another event loop.
        """
        await self._sender.prepare()

    async def aclose(self) -> None:
        """Close the connections that this object opened, after a renewal of tokens under way has ended.

        Requests on their way end with a TransportError. A server that never ends does not hold it up: a renewal has
        its ``total``.
        """
        await carry_out(self._close, lambda: None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} for {self._api_url}: {self._tokens.token}>"

    async def _close(self) -> None:
        await self._tokens.settled()
        if self._owns_pool:
            # What Strava has answered must arrive: the tokens before may be dead.
            self._application.closed = True
            await self._application.requests.settled()
            await self._sender.aclose()

    async def _call(
        self, method: Method, url: str, params: dict[str, Any], check: bool, *, files: Any = None, body: Any = None
    ) -> Any:
        hide_secrets(params)  # of the callers' frames too
        call = api_call(method, url, params, api_url=self._api_url, files=files, body=body)
        return await self._exchange.run(call, self._tokens, self._options, check_for_errors=check)

    async def _items(self, url: str, walk: PageWalk, params: dict[str, Any]) -> AsyncGenerator[Any, None]:
        async for page in Pages(walk, lambda numbers: self.get(url, **params, **numbers), url):
            for item in page:
                yield item

    def _renew_with(self, client_id: int | str, client_secret: Hidden[str]) -> None:
        self._application.client_id, self._application.client_secret = client_id, client_secret
        if self._tokens.refresh is None:
            self._tokens.refresh = self._refresh

    async def _refresh(self, tokens: TokenSet) -> AccessInfo:
        application = self._application
        form = oauth.refresh_grant(
            application.client_id or "", application.client_secret or "", tokens.refresh_token or ""
        )
        return await self._renewal(form, tokens)

    async def _renewal(self, form: oauth.Form, tokens: TokenSet) -> AccessInfo:
        self._application.pause.check(self._clock.monotonic())
        with self._reports.refreshing(tokens.athlete_id):
            return await self._token_grant(form, self._application.options, idempotent=True)

    async def _token_grant(self, form: oauth.Form, options: Options, *, idempotent: bool) -> AccessInfo:
        if self._application.closed:
            raise InputError("the HTTP client is closed; make a new one")
        call: Call = oauth_call(f"{self._oauth_url}/token", form, idempotent=idempotent)
        end = self._application.requests.begin()
        try:
            answer = await self._ask(call, options)
        finally:
            end()
        return oauth.access_info(answer, now=self._clock.time(), refresh_token=form.get("refresh_token"))

    async def _ask(self, call: Call, options: Options) -> Any:
        """Make a call to the token endpoint, unless that is to be left alone for a while."""
        pause, clock = self._application.pause, self._clock
        pause.check(clock.monotonic())
        try:
            answer = await self._exchange.run(call, None, _of_oauth(options))
        except StravaError as error:
            pause.note(error, options.retry, clock.monotonic())
            raise
        pause.note(None, options.retry, clock.monotonic())
        return answer


def _reports(hooks: Hooks | None, clock: Clock) -> Reports:
    if hooks is None:
        return Reports()
    from strava_async.telemetry.hook_reports import HookReports  # not above: it adds to the import, and few need it

    return HookReports(hooks, clock)


def _of_oauth(options: Options) -> Options:
    """Return the options of a request about tokens: callers share its answer, so that it never lasts."""
    bound = min(max(options.timeout, LEAST_OAUTH_SECONDS), OAUTH_SECONDS, options.total or math.inf)
    return options._replace(total=bound)


def _checked(options: Options) -> Options:
    """Return the options.

    Raises:
        InputError: a duration that is negative or not a number.
    """
    if not (math.isfinite(options.timeout) and options.timeout > 0):
        raise InputError("timeout is a positive number of seconds")
    if options.total is not None and not (math.isfinite(options.total) and options.total > 0):
        raise InputError("total is a positive number of seconds, or None")
    if options.max_wait is not None and not options.max_wait >= 0:
        raise InputError("max_wait is not negative, or None")
    return options
