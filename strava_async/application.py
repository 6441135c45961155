"""``Strava``: one application and its athletes."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio.to_thread

from strava_async._concurrency.shield import call_shielded
from strava_async._hidden import Hidden, hidden
from strava_async._http import HttpClient, HttpSender
from strava_async._types import UNSET, Unset
from strava_async.client import load_tags
from strava_async.clock import Clock
from strava_async.limiter.base import Limiter
from strava_async.login.connect import ConnectMethods
from strava_async.oauth.credentials import check_client_id, check_secret
from strava_async.oauth.state import StateSigner
from strava_async.protocol import ApiV3, reports_for, view_of
from strava_async.quota.values import Priority
from strava_async.request.core import Core
from strava_async.request.lifecycle import Stage
from strava_async.request.options import Options, RetryPolicy, changed
from strava_async.request.token_endpoint import Credentials
from strava_async.stores.base import BasicTokenStore
from strava_async.stores.memory import MemoryTokenStore
from strava_async.telemetry.hooks import Hooks
from strava_async.tokens.accounts import Accounts
from strava_async.tokens.source import TokenSource
from strava_async.webhooks.subscription import Webhooks

if TYPE_CHECKING:
    from strava_async.quota.readings import Quota

_STATES = b"states of this application"


class Strava(ConnectMethods):
    """One application of Strava's, with any number of athletes: one pool, one limiter, one token store for all.

    Athletes cost memory only while something uses their ``ApiV3``. Two applications in a process are two objects that
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
        timeout: the inactivity timeout of an attempt: seconds without a byte from the server.
        total: seconds for one attempt, from asking for a connection to the last byte of the reply; None means no bound.
            Requests for tokens and revocations have ``timeout``, but at least 3 and at most 20, unless this is less.
        max_wait: seconds that a call may queue for quota; None means as long as it takes.
        priority: the rank in that queue.
        hooks: receive requests, waits, retries and renewals; see ``strava_async.hooks``.
        clock: None means the limiter's.
        random: returns jitter from [0, 1); None means the limiter's.
        new_secret: makes a random text of that many bytes, of letters and digits; for ``TokenSet.generation``.
        api_url: None means Strava's.
        oauth_url: None means Strava's.

    Raises:
        InputError: an argument is invalid.
    """

    def __init__(
        self,
        client_id: int | str,
        client_secret: str,
        *,
        token_store: BasicTokenStore | None = None,
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
        self._core = core = Core(
            HttpSender(http_client),
            rate_limiter,
            partial(reports_for, hooks),
            clock=clock,
            random=random,
            api_url=api_url or f"https://{ApiV3.server}{ApiV3.api_base}",
            oauth_url=oauth_url or f"https://{ApiV3.server}/oauth",
            credentials=Credentials(client_id, check_secret(secret)),
            options=Options(retry, timeout, max_wait, priority, total),
        )
        self._options = core.options
        store = MemoryTokenStore() if token_store is None else token_store
        self._accounts = Accounts(store, core.clock, core.renew)
        self._client_id, self._client_secret = client_id, secret
        self._new_secret = new_secret
        self._origins = set[str | None]()

    @property
    def client_id(self) -> int | str:
        """The application's id."""
        return self._client_id

    @property
    def clock(self) -> Clock:
        """The clock in use."""
        return self._core.clock

    @property
    def origins(self) -> set[str | None]:
        """The origins under which browsers reach the web service, such as ``https://service.example``.

        None stands for the origin in the request. ``oauth_router`` adds its own; empty without one.
        """
        return self._origins

    @property
    def quota(self) -> Quota:
        """The application's four meters as the limiter knows them now."""
        return self._core.limiter.quota

    @property
    def rate_limiter(self) -> Limiter:
        """The limiter that all athletes share; a program may keep its snapshot."""
        return self._core.limiter

    @property
    def token_store(self) -> BasicTokenStore:
        """Where the athletes' tokens are kept."""
        return self._accounts.store

    @property
    def webhooks(self) -> Webhooks:
        """The application's webhook subscription."""
        api = view_of(self._core, TokenSource(clock=self._core.clock), self._options)
        return Webhooks(api, self._client_id, self._client_secret.reveal())

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
        options = changed(
            self._options, priority=priority, max_wait=max_wait, timeout=timeout, total=total, retry=retry
        )
        view = object.__new__(type(self))
        vars(view).update(vars(self), _options=options)
        return view

    async def prepare(self) -> None:
        """Load what the first requests need, in a thread; see ``ApiV3.prepare``.

        That includes the models of ``client``, which take half a second where the extra ``models`` is installed.
        Without this call the first use of a client's tags loads them, on the event loop, unless ``Client`` was imported
        from ``strava_async`` before.
        """
        self._check_open()
        await self._core.sender.prepare()
        await anyio.to_thread.run_sync(load_tags)

    def state_signer(self, *, max_age_seconds: float = 600.0, purpose: str = "") -> StateSigner:
        """Return a signer whose secret is derived from the client secret: the same in all processes of the service.

        A new client secret invalidates all states that were signed before.

        Args:
            max_age_seconds: how long a state is valid.
            purpose: what the states are for; see ``StateSigner``.
        """
        secret = Hidden(hmac.digest(self._client_secret.reveal().encode(), _STATES, "sha256"))
        return StateSigner(secret.reveal(), max_age_seconds=max_age_seconds, purpose=purpose, clock=self._core.clock)

    async def aclose(self) -> None:
        """Close the connections that this object opened, after operations in progress have ended.

        Tokens that the store failed to save are saved once more. Using this object or its athletes' APIs afterwards
        raises InputError.

        Raises:
            TokenStoreError: the store failed again.
        """
        self._core.lifecycle.advance(Stage.CLOSING)
        await call_shielded(self._close, lambda: None)

    async def __aenter__(self) -> Self:
        self._check_open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} application {self._client_id}>"

    async def _close(self) -> None:
        await self._core.lifecycle.operations.wait_idle()
        try:
            await self._accounts.flush()
        finally:
            await self._core.close()
