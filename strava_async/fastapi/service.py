"""The lifespan of a service: what its routes need is made at startup, and the application is closed at shutdown."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from strava_async._concurrency.loop_binding import LoopBinding
from strava_async._types import UNSET
from strava_async.application import Strava
from strava_async.fastapi.access_log import AccessLogFilter
from strava_async.fastapi.cross_site import read_origins
from strava_async.fastapi.kit import Identify, ServiceState, ServiceStates
from strava_async.fastapi.openapi import document
from strava_async.fastapi.sessions import COOKIE_NAME, SESSION_SECONDS, Sessions, SignedIn
from strava_async.limiter.base import EnterableLimiter
from strava_async.oauth.state import Secret, StateSigner
from strava_async.quota.values import Priority
from strava_async.request.options import RetryPolicy

# A person waits. Without any response it takes at most twice the timeout and half a second; with a slow one, twice
# the total.
WEB_WAIT_SECONDS = 2.0
WEB_TIMEOUT_SECONDS = 10.0
WEB_TOTAL_SECONDS = 20.0
WEB_RETRY = RetryPolicy(max_attempts=2)
STATE_SECONDS = 600.0


class StravaLifespan:
    """The lifespan of a service: provides what its routes need, and closes the application at the end.

    ::

        app = FastAPI(lifespan=StravaLifespan(strava))

    With a lifespan of your own, enter this one inside, and pass on what it yields::

        @asynccontextmanager
        async def lifespan(app):
            async with StravaLifespan(strava)(app) as state:
                yield {**state, "mine": ...}

    It may be entered several times, such as by the apps of one service; the last to exit closes the application. All
    must run in one event loop. A service with several applications enters one for each, and passes on all that they
    yield; its routes say which they mean by ``Dependencies``.

    A limiter that shares its quota with other processes is entered at startup, and closed at the end, after the
    application; one that you have entered yourself is left alone, and is yours to close.

    At startup, what the first request needs is loaded; unusable certificates in the environment raise InputError then,
    and not at the first request. While it runs, the access log of uvicorn shows no authorization code (see
    ``AccessLogFilter``).

    Args:
        strava: the application; closed at the end, and not usable in a second start.
        secret: signs cookies and states: at least 16 bytes that only the service knows, the same in all its processes;
            of several, the first signs and all are accepted. None derives one from the client secret: a new client
            secret signs everybody out.
        identify: returns the athlete that a connection belongs to, sync or async; for services with their own users.
            It runs on the event loop for every request: a sync one must not block. None uses the cookie that
            ``oauth_router`` sets, and checks in the token store that the grant it was issued for is valid.
        priority: the rank of the calls that routes make.
        max_wait: seconds that such a call may queue for quota: a person waits. None means as long as it takes.
        timeout: the inactivity timeout of an attempt, in seconds; None means that of ``strava``.
        total: seconds for one attempt, from asking for a connection to the last byte of the reply; None means that of
            ``strava``.
        retry: when and how often such a call is tried again; None means that of ``strava``.
        session_seconds: how long an athlete stays signed in; at least 1.
        cookie_name: see ``Sessions``. None means ``strava_athlete``, and in a service with several applications that
            and the client id: one can be signed in to each. Names that are given have to differ.
        origins: addresses of other sites, such as ``https://app.example``, whose pages may open websockets and send
            the two POSTs of ``oauth_router`` as the athlete who is signed in, besides those of the service's own
            address. Behind a proxy that changes the field ``Host``, the service's own is one of them, unless
            ``oauth_router`` has a ``base_url``.

    Raises:
        InputError: an argument is invalid. On entering: the application is closed, or it was entered in another event
            loop that is still running.
        StravaError: on entering: the limiter cannot be used the way it is set up; it says what to mend.
    """

    def __init__(
        self,
        strava: Strava,
        *,
        secret: Secret | Sequence[Secret] | None = None,
        identify: Identify | None = None,
        priority: Priority = Priority.INTERACTIVE,
        max_wait: float | None = WEB_WAIT_SECONDS,
        timeout: float | None = WEB_TIMEOUT_SECONDS,
        total: float | None = WEB_TOTAL_SECONDS,
        retry: RetryPolicy | None = WEB_RETRY,
        session_seconds: float = SESSION_SECONDS,
        cookie_name: str | None = None,
        origins: Iterable[str] = (),
    ) -> None:
        self._strava = strava
        self._identifies = identify is not None
        self._binding = LoopBinding("this StravaLifespan")
        self._entered = 0
        self._limiter: EnterableLimiter | None = None  # entered here
        interactive = strava.with_options(
            priority=priority,
            max_wait=max_wait,
            timeout=UNSET if timeout is None else timeout,
            total=UNSET if total is None else total,
            retry=UNSET if retry is None else retry,
        )
        states = _signer(strava, secret, "question", STATE_SECONDS)
        cookies = _signer(strava, secret, "session", session_seconds)
        others = read_origins(origins)

        def kit(name: str) -> ServiceState:
            sessions = Sessions(cookies, max_age_seconds=session_seconds, cookie_name=name)
            return ServiceState(interactive, states, sessions, SignedIn(interactive, sessions), identify, others)

        self._kits = ServiceStates(
            alone=kit(COOKIE_NAME if cookie_name is None else cookie_name),
            beside=kit(f"{COOKIE_NAME}_{strava.client_id}" if cookie_name is None else cookie_name),
        )

    def __call__(self, app: Any) -> AbstractAsyncContextManager[dict[str, Any]]:
        """Return the context that lasts as long as the service; what it yields becomes ``request.state``."""
        return self._live(app)

    @asynccontextmanager
    async def _live(self, app: Any) -> AsyncGenerator[dict[str, Any]]:
        names = None if self._identifies else (self._kits.alone.sessions.name, self._kits.beside.sessions.name)
        document(app, str(self._strava.client_id), names)
        access_log = logging.getLogger("uvicorn.access")
        quiet = AccessLogFilter()
        if self._binding.enter():
            self._entered, self._limiter = 0, None  # entries of a loop that has ended
        await self._strava.__aenter__()
        self._entered += 1
        access_log.addFilter(quiet)
        try:
            await self._enter_limiter()
            await self._strava.prepare()
            yield self._kits.state()
        finally:
            access_log.removeFilter(quiet)
            self._entered -= 1
            if not self._entered:
                await self._close()

    async def _enter_limiter(self) -> None:
        limiter = self._strava.rate_limiter
        if isinstance(limiter, EnterableLimiter) and not limiter.is_entered:
            await limiter.__aenter__()
            self._limiter = limiter

    async def _close(self) -> None:
        limiter, self._limiter = self._limiter, None
        try:
            await self._strava.aclose()
        finally:
            if limiter is not None:
                await limiter.__aexit__(None, None, None)


def _signer(
    strava: Strava, secret: Secret | Sequence[Secret] | None, purpose: str, max_age_seconds: float
) -> StateSigner:
    if secret is None:
        return strava.state_signer(max_age_seconds=max_age_seconds, purpose=purpose)
    return StateSigner(secret, max_age_seconds=max_age_seconds, purpose=purpose, clock=strava.clock)


lifespan = StravaLifespan
