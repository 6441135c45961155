"""``Strava``: one application and its athletes."""

from __future__ import annotations

import copy
import hmac
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Literal, Self, TypeVar

import anyio.to_thread

from strava_async._concurrency.shield import UnderWay, carry_out, commit
from strava_async._hidden import Hidden, hidden
from strava_async._http import HttpClient
from strava_async._types import UNSET, Unset
from strava_async.client import Client, load_tags
from strava_async.clock import Clock
from strava_async.errors import DecodeError, InputError, MissingScopeError, StravaError
from strava_async.limiter.local import Limiter, RateLimiter
from strava_async.oauth.credentials import check_client_id, check_secret
from strava_async.oauth.grants import AccessInfo, TokenSet, parse_redirect, redirect_state
from strava_async.oauth.scopes import check_scope, parse_scope, scope_names
from strava_async.oauth.state import StateSigner, check_state
from strava_async.protocol import ApiV3
from strava_async.quota.values import Priority, Quota
from strava_async.request.retry import RetryPolicy
from strava_async.stores.base import TokenStore
from strava_async.stores.memory import MemoryTokenStore
from strava_async.subscriptions import Webhooks
from strava_async.telemetry.hooks import Hooks
from strava_async.tokens.accounts import Accounts
from strava_async.tokens.source import TokenSource

IfMissing = Literal["keep", "revoke"]
OpenUrl = Callable[[str], object]
T = TypeVar("T")

# How long the one request may queue that finds out whose tokens came.
LOOKUP_SECONDS = 60.0

GENERATION_BYTES = 12

_STATES = b"states of this application"


@dataclass(slots=True)
class _Life:
    """What an object and its views have in common: whether they are closed, what closing waits for, and ``origins``."""

    under_way: UnderWay = field(default_factory=UnderWay)
    closed: bool = False
    origins: set[str | None] = field(default_factory=set[str | None])


class Strava:
    """One application of Strava's, with any number of athletes: one pool, one limiter, one token store for all.

    Athletes cost memory only while something uses their ``ApiV3``. Two applications in a process are two objects; they
    share nothing. Usable on asyncio and trio.

    Args:
        client_id: the application's id.
        client_secret: the application's secret.
        token_store: where the athletes' tokens are kept; None keeps them in memory. It belongs to this application
            alone, and is not closed.
        rate_limiter: None means one of its own.
        http_client: an ``httpx.AsyncClient`` or ``httpx2.AsyncClient`` of the caller's, never changed nor closed. None
            makes one on first use, which ``aclose`` closes.
        retry: when and how often to try again.
        timeout: seconds without a sign of the other side before an attempt is given up.
        total: seconds for one attempt, from asking for a connection to the last byte of the reply; None means no bound.
            What asks for tokens, or revokes them, has as many as ``timeout``, but from 3 to 20, unless this is less.
        max_wait: seconds that a call may queue for quota; None means as long as it takes.
        priority: the rank in that queue.
        hooks: are told of requests, waits, retries and renewals; see ``strava_async.hooks``.
        clock: None means the limiter's.
        random: returns jitter from [0, 1); None means the limiter's.
        new_secret: makes a random text of that many bytes, of letters and digits; for ``TokenSet.generation``.
        api_url: None means Strava's.
        oauth_url: None means Strava's.

    Raises:
        InputError: an argument makes no sense.
    """

    def __init__(
        self,
        client_id: int | str,
        client_secret: str,
        *,
        token_store: TokenStore | None = None,
        rate_limiter: Limiter | None = None,
        http_client: HttpClient | None = None,
        retry: RetryPolicy = RetryPolicy(),
        timeout: float = 30.0,
        total: float | None = None,
        max_wait: float | None = None,
        priority: Priority = Priority.NORMAL,
        hooks: Hooks | None = None,
        clock: Clock | None = None,
        random: Callable[[], float] | None = None,
        new_secret: Callable[[int], str] = secrets.token_urlsafe,
        api_url: str | None = None,
        oauth_url: str | None = None,
    ) -> None:
        secret = hidden(client_secret)
        del client_secret
        check_client_id(client_id)
        self._client_id, self._client_secret = client_id, check_secret(secret)
        self._limiter = RateLimiter(clock=clock, random=random) if rate_limiter is None else rate_limiter
        clock = clock or self._limiter.clock
        self._api = ApiV3(
            http_client=http_client,
            rate_limiter=self._limiter,
            client_id=client_id,
            client_secret=secret.reveal(),
            retry=retry,
            timeout=timeout,
            total=total,
            max_wait=max_wait,
            priority=priority,
            hooks=hooks,
            clock=clock,
            random=random,
            api_url=api_url,
            oauth_url=oauth_url,
        )
        self._clock = clock
        self._new_secret = new_secret
        self._accounts = Accounts(MemoryTokenStore() if token_store is None else token_store, clock)
        self._life = _Life()

    @property
    def client_id(self) -> int | str:
        """The application's id."""
        return self._client_id

    @property
    def clock(self) -> Clock:
        """The time that it goes by."""
        return self._clock

    @property
    def origins(self) -> set[str | None]:
        """Where browsers see the web service that this object works for, such as ``https://service.example``.

        None stands for wherever a request says. ``oauth_router`` adds its own; empty where there is none.
        """
        return self._life.origins

    @property
    def quota(self) -> Quota:
        """The application's four meters as the limiter knows them now."""
        return self._limiter.quota

    @property
    def rate_limiter(self) -> Limiter:
        """The limiter that all athletes share; its snapshot outlives the process."""
        return self._limiter

    @property
    def token_store(self) -> TokenStore:
        """Where the athletes' tokens are kept."""
        return self._accounts.store

    @property
    def webhooks(self) -> Webhooks:
        """The application's webhook subscription: made, seen, deleted."""
        return Webhooks(self._api, self._client_id, self._client_secret.reveal())

    async def authorization_url(
        self,
        redirect_uri: str,
        scope: str | Iterable[str] | None = None,
        state: str | None = None,
        approval_prompt: str = "auto",
    ) -> str:
        """Return the address to send an athlete to. Nothing is requested.

        Args:
            redirect_uri: where Strava sends the athlete back to; inside the application's callback domain.
            scope: a string or ``Scope`` values; None means ``read`` and ``activity:read``.
            state: comes back with the redirect; see ``StateSigner``.
            approval_prompt: ``force`` shows the page even to those who have granted everything.

        Raises:
            InputError: an unknown scope or approval prompt, or a redirect URI that is not absolute.

        Source:
            https://developers.strava.com/docs/authentication/ and RFC 6749 §4.1.1.
        """
        return await self._api.authorization_url(self._client_id, redirect_uri, approval_prompt, scope, state)

    async def connect(
        self,
        code: str,
        scope: str | Iterable[str] | None = None,
        *,
        granted_scope: str | Iterable[str] | None = None,
        if_missing: IfMissing = "keep",
    ) -> Client:
        """Exchange the code of a redirect, save the tokens, and return the athlete's client.

        Waits for another process that renews this athlete's tokens. Costs no quota, unless Strava's answer does not say
        whose tokens they are: finding out is a request, which may wait a minute for quota, because the code is spent.
        What was begun is carried to its end even if the caller is cancelled: a code can be used once.

        Args:
            code: from the redirect.
            scope: what the athlete must have granted; None requires nothing.
            granted_scope: the ``scope`` of the redirect. It counts where Strava's answer does not tell.
            if_missing: what becomes of the tokens if something required was not granted: they are kept, or revoked at
                Strava and, if there were others of this athlete, deleted with them. Should revoking fail, the
                MissingScopeError has that for its cause.

        Raises:
            MissingScopeError: something required was not granted; ``athlete_id`` says by whom.
            InvalidGrantError: the code is wrong, used or too old.
            InvalidClientError: the client id or secret is wrong.
            AthleteCapacityError: the application has as many athletes as it may have.
            RateLimitedError: Strava refused it for now, or another one a moment ago; the code is not used up.
            TokenStoreError: the store does not take the tokens; this object has them and offers them again at the
                athlete's next call, and when it is closed.
            TransportError, ServerError, DecodeError: no usable answer came; the code may be used up, and with it the
                tokens of an earlier grant. Let the athlete connect again.

        Source:
            https://developers.strava.com/docs/authentication/ and RFC 6749 §4.1.3.
        """
        grant = hidden(code)
        del code
        required = () if scope is None else scope_names(scope)
        if if_missing not in ("keep", "revoke"):
            raise InputError(f"if_missing is 'keep' or 'revoke', not {if_missing!r}")
        check_secret(grant, "the authorization code")
        granted = _granted(granted_scope)
        return self.client(await self._carry_out(partial(self._connect, grant, required, granted, if_missing)))

    async def connect_redirect(
        self,
        url: str,
        scope: str | Iterable[str] | None = None,
        *,
        state: str,
        if_missing: IfMissing = "keep",
    ) -> Client:
        """Connect the athlete whom Strava sent back to this address.

        Args:
            url: the whole address, query included.
            scope: see ``connect``.
            state: what was given to ``authorization_url``; compared in constant time.
            if_missing: see ``connect``.

        Raises:
            InvalidStateError: the redirect answers another question.
            AuthorizationDeniedError: the athlete refused.
            InputError: there is neither a code nor an error in it.
            StravaError: as in ``connect``.
        """
        address = hidden(url)
        del url
        check_state(redirect_state(address.reveal()), state)
        redirect = parse_redirect(address.reveal())
        return await self.connect(redirect.code, scope, granted_scope=redirect.scope, if_missing=if_missing)

    async def authorize_locally(
        self,
        scope: str | Iterable[str] | None = None,
        *,
        port: int = 0,
        timeout: float | None = 300.0,
        open_url: OpenUrl | None = None,
        if_missing: IfMissing = "keep",
        approval_prompt: str = "auto",
    ) -> Client:
        """Connect the athlete at this machine: show Strava's page in the browser, and take the redirect.

        A server on 127.0.0.1 waits for that one redirect; whatever does not carry the right ``state`` does not end the
        wait. The browser sees what came of it.

        Args:
            scope: what is asked, and required; None means ``read`` and ``activity:read``.
            port: of the server; 0 takes a free one.
            timeout: seconds until the athlete has to be back; None waits for ever.
            open_url: sync or async; is given the address of Strava's page. None opens the browser of this machine,
                which gets nothing of this program's input and output; one that needs the terminal counts as none. The
                address, with the ``state`` in it, is in no command line that other users of the machine can read.
            if_missing: see ``connect``.
            approval_prompt: ``force`` shows the page even to those who have granted everything.

        Raises:
            InputError: the port is taken, or there is no browser.
            AuthorizationDeniedError: the athlete refused.
            AuthorizationTimeoutError: the athlete did not come back in time.
            MissingScopeError: the athlete unticked something.
            StravaError: as in ``connect``.

        Source:
            RFC 8252 §7.3 and https://developers.strava.com/docs/authentication/
        """
        # Only who logs in at a terminal needs the server's parser and the browsers' names.
        from strava_async.login.local import log_in, show_in_browser

        self._check_open()
        return await log_in(
            self,
            scope_names(scope),
            port=port,
            timeout=timeout,
            open_url=open_url or show_in_browser,
            if_missing=if_missing,
            approval_prompt=approval_prompt,
        )

    def api(self, athlete_id: int) -> ApiV3:
        """Return the API for one athlete. Nothing is requested; it need not be closed.

        All that it is asked shares the athlete's tokens and the application's quota with every other ``ApiV3`` of this
        object. An athlete who is not connected shows at the first call, as InvalidGrantError, before it costs quota.

        Raises:
            InputError: that is no athlete's id, or this object is closed.
        """
        self._check_open()
        return self._api.with_tokens(self._accounts.source(athlete_id))

    def client(self, athlete_id: int) -> Client:
        """Return one athlete's client; as ``api``, which it holds."""
        return Client(self.api(athlete_id), athlete_id)

    def with_options(
        self,
        *,
        priority: Priority | Unset = UNSET,
        max_wait: float | Unset | None = UNSET,
        timeout: float | Unset = UNSET,
        total: float | Unset | None = UNSET,
        retry: RetryPolicy | Unset = UNSET,
    ) -> Strava:
        """Return a view of this object whose clients make their calls with other options; see ``ApiV3.with_options``.

        Everything else is the same; closing either closes both.
        """
        view = copy.copy(self)
        view._api = self._api.with_options(
            priority=priority, max_wait=max_wait, timeout=timeout, total=total, retry=retry
        )
        return view

    async def prepare(self) -> None:
        """Load what the first requests need, in a thread; see ``ApiV3.prepare``.

        That includes the typed answers of ``client``, which take half a second where the extra ``models`` is installed.
        Without this the first use of a client's tags loads them, on the event loop, unless ``Client`` was imported from
        ``strava_async`` before.
        """
        self._check_open()
        await self._api.prepare()
        await anyio.to_thread.run_sync(load_tags)

    def state_signer(self, *, max_age_seconds: float = 600.0, purpose: str = "") -> StateSigner:
        """Return a signer whose secret is derived from the client secret: the same in all processes of the service.

        A new client secret ends all states that were signed before.

        Args:
            max_age_seconds: how long a state is good.
            purpose: what the states are for; see ``StateSigner``.
        """
        secret = Hidden(hmac.digest(self._client_secret.reveal().encode(), _STATES, "sha256"))
        return StateSigner(secret.reveal(), max_age_seconds=max_age_seconds, purpose=purpose, clock=self._clock)

    async def is_connected(self, athlete_id: int) -> bool:
        """Say whether there are tokens of this athlete. Nothing is requested; the grant may be dead at Strava.

        Raises:
            InputError: that is no athlete's id.
            TokenStoreError: the store cannot be read.
        """
        self._check_open()
        self._accounts.source(athlete_id)
        return await self._accounts.newest(athlete_id) is not None

    async def generation(self, athlete_id: int) -> str | None:
        """Return the generation of an athlete's grant; None if the athlete is not connected.

        What was given out for a grant, such as the session of a browser, is good as long as this is what it was then.
        It is made by ``connect``, stays the same through renewals, and ends with the tokens, or when Strava calls the
        grant dead. Connecting an athlete once more does not change it, unless the grant had ended, or Strava's answer
        shows that it is another one: ``docs/fastapi.md`` says how. Asks the store, and nobody else.

        Raises:
            InputError: that is no athlete's id.
            TokenStoreError: the store cannot be read.
        """
        self._check_open()
        return await self._accounts.generation(athlete_id)

    async def end_sessions(self, athlete_id: int) -> None:
        """Give an athlete's grant a new generation: no browser is signed in any more. The athlete stays connected.

        Nothing happens if the athlete is not connected. Waits for another process that renews the tokens. Costs no
        quota. What was begun is carried to its end even if the caller is cancelled.

        Raises:
            InputError: that is no athlete's id.
            TokenStoreError: the store does not do, or does not keep ``TokenSet.generation``.
        """
        self._accounts.source(athlete_id)
        generation = self._new_generation()
        await self._carry_out(partial(self._accounts.change_generation, athlete_id, generation))

    async def athlete_ids(self) -> list[int]:
        """Return the connected athletes, in ascending order."""
        self._check_open()
        return await self._accounts.store.athlete_ids()

    async def disconnect(self, athlete_id: int) -> None:
        """Revoke an athlete's grant at Strava, then delete the tokens. Nothing happens if there are none.

        Costs no quota. Works for expired tokens and for a grant that is dead already. What was begun is carried to its
        end even if the caller is cancelled; a wait, for the lock or before the next attempt, is given up.

        Raises:
            InvalidClientError: the client id or secret is wrong; the tokens are kept.
            TransportError, ServerError: no usable answer came, after the retries; the tokens are kept, and
                disconnecting again does no harm.

        Source:
            https://developers.strava.com/docs/authentication/ (``POST /oauth/revoke``), RFC 7009.
        """
        self._accounts.source(athlete_id)  # a bad id is told before anything is done
        await self._carry_out(partial(self._accounts.drop, athlete_id, self._revoke))

    async def forget(self, athlete_id: int) -> None:
        """Delete an athlete's tokens without asking Strava, as when the athlete has removed the application there."""
        self._accounts.source(athlete_id)
        await self._carry_out(partial(self._accounts.drop, athlete_id, None))

    async def forget_if_revoked(self, athlete_id: int) -> bool:
        """Find out whether an athlete has removed the application, and delete the tokens if so.

        For what only claims it, such as a webhook event, which anybody may have sent. Strava is asked by a renewal of
        the tokens, which costs no quota and does no harm to a grant that lives. It is carried to its end even if the
        caller is cancelled.

        Returns:
            whether the grant was found dead, and the tokens were deleted by this call. False for a grant that lives,
            and where there were no tokens: then somebody else has ended it before.

        Raises:
            InputError: that is no athlete's id.
            InvalidClientError, TransportError, ServerError: it could not be found out; the tokens are kept.
            TokenStoreError: the store does not do.
        """
        source = self.api(athlete_id).tokens
        return await self._carry_out(partial(self._accounts.drop_if_dead, source, athlete_id))

    async def aclose(self) -> None:
        """Close the connections that this object opened, after what was begun has ended.

        Tokens that the store could not take are offered to it once more. Using this object or its athletes' APIs
        afterwards raises InputError.

        Raises:
            TokenStoreError: the store still does not take them.
        """
        self._life.closed = True
        await carry_out(self._close, lambda: None)

    async def __aenter__(self) -> Self:
        self._check_open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} application {self._client_id}>"

    def _check_open(self) -> None:
        if self._life.closed:
            raise InputError("this Strava object is closed; make a new one")

    async def _close(self) -> None:
        await self._life.under_way.settled()
        try:
            await self._accounts.settled()
        finally:
            await self._api.aclose()

    async def _carry_out(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do what must not be left half done; ``aclose`` waits for it."""
        self._check_open()
        return await carry_out(work, self._life.under_way.begin())

    async def _connect(
        self, code: Hidden[str], required: tuple[str, ...], granted: frozenset[str], if_missing: IfMissing
    ) -> int:
        generation = self._new_generation()
        tokens = TokenSource(clock=self._clock)
        api = self._api.with_tokens(tokens)
        answer = Hidden(await api.exchange_code_for_token(self._client_id, self._client_secret.reveal(), code.reveal()))
        commit()  # the code is used up: from now on nothing that waits, for a lock or for quota, may be cancelled
        if granted and not answer.reveal().get("scope"):
            answer.reveal()["scope"] = " ".join(sorted(granted))
        athlete_id = await _athlete_id(api, answer)
        missing = _missing(answer.reveal().token_set(), required)
        if missing is not None and if_missing == "revoke":
            try:
                await self._accounts.drop(athlete_id, lambda _: self._revoke(answer.reveal().token_set()))
            except StravaError as error:
                raise missing from error
        else:
            await self._accounts.connect(athlete_id, answer.reveal(), generation)
        if missing is not None:
            raise missing
        return athlete_id

    def _new_generation(self) -> str:
        return TokenSet("", generation=self._new_secret(GENERATION_BYTES)).generation

    async def _revoke(self, token: TokenSet | None) -> None:
        if token is not None:
            await self._api.revoke(token=token.refresh_token or token.access_token)


def _granted(scope: str | Iterable[str] | None) -> frozenset[str]:
    if scope is None:
        return frozenset()
    return parse_scope(scope) if isinstance(scope, str) else frozenset(str(name) for name in scope)


async def _athlete_id(api: ApiV3, answer: Hidden[AccessInfo]) -> int:
    """Return whose tokens these are; an answer that does not tell costs a request to find out."""
    athlete_id = answer.reveal().token_set().athlete_id
    if athlete_id is None:
        athlete = await api.with_options(priority=Priority.INTERACTIVE, max_wait=LOOKUP_SECONDS).get("/athlete")
        answer.reveal()["athlete"] = athlete
        athlete_id = answer.reveal().token_set().athlete_id
    if athlete_id is None:
        raise DecodeError("Strava does not say whose tokens these are", path="/athlete")
    return athlete_id


def _missing(token: TokenSet, required: tuple[str, ...]) -> MissingScopeError | None:
    """Return what is to be raised if something required was not granted; not telling what was is no reason."""
    try:
        check_scope(token.scope or frozenset(required), required)
    except MissingScopeError as error:
        error.athlete_id = token.athlete_id
        return error
    return None
