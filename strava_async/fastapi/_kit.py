"""What the routes of a service share: the application, who is signed in, and how requests of people wait."""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends
from starlette.requests import HTTPConnection

from strava_async._loop_binding import LoopBinding
from strava_async._unset import UNSET
from strava_async.application import Strava
from strava_async.client import Client
from strava_async.errors import InputError, InvalidGrantError
from strava_async.fastapi.access_log import AccessLogFilter
from strava_async.fastapi.sessions import COOKIE_NAME, SESSION_SECONDS, Sessions, SignedIn
from strava_async.quota import Priority
from strava_async.retry import RetryPolicy
from strava_async.state import Secret, StateSigner

Identify = Callable[[HTTPConnection], int | Awaitable[int | None] | None]

# A person waits: a silent Strava costs twice the timeout and half a second at the most, one that drips twice the total.
WEB_WAIT_SECONDS = 2.0
WEB_TIMEOUT_SECONDS = 10.0
WEB_TOTAL_SECONDS = 20.0
WEB_RETRY = RetryPolicy(max_attempts=2)
STATE_SECONDS = 600.0
_KEY = "strava_async"
_NOBODY = "nobody is signed in here: connect with Strava first"


@dataclass(frozen=True, slots=True)
class Kit:
    """What the routes share.

    Attributes:
        strava: the application, for requests behind which a person waits.
        states: signs the ``state`` of an authorization.
        sessions: the cookie that says which athlete a browser belongs to.
        signed_in: who is signed in by that cookie.
        identify: returns the athlete of a connection, None if nobody is signed in; sync or async. On the event loop:
            it must not block. None asks ``signed_in``.
    """

    strava: Strava
    states: StateSigner
    sessions: Sessions
    signed_in: SignedIn
    identify: Identify | None

    async def athlete_id(self, connection: HTTPConnection) -> int | None:
        """Return who is signed in; None if nobody is."""
        return await self._identified(self.identify or self.signed_in.athlete_id, connection)

    async def client(self, connection: HTTPConnection) -> Client | None:
        """Return the client of who is signed in; None if nobody is."""
        if self.identify is None:
            return await self.signed_in.client(connection)
        athlete_id = await self._identified(self.identify, connection)
        return None if athlete_id is None else self.strava.client(athlete_id)

    async def leaving(self, connection: HTTPConnection) -> int | None:
        """Return who may be disconnected; as ``athlete_id``, and see ``SignedIn.leaving``."""
        return await self._identified(self.identify or self.signed_in.leaving, connection)

    async def _identified(self, identify: Identify, connection: HTTPConnection) -> int | None:
        athlete_id = identify(connection)
        return await athlete_id if inspect.isawaitable(athlete_id) else athlete_id


class StravaLifespan:
    """The lifespan of a service: gives its routes what they need, and closes the application at the end.

    ::

        app = FastAPI(lifespan=StravaLifespan(strava))

    With a lifespan of your own, enter this one inside, and pass on what it yields::

        @asynccontextmanager
        async def lifespan(app):
            async with StravaLifespan(strava)(app) as state:
                yield {**state, "mine": ...}

    It may be entered several times, such as by the apps of one service; the end of the last closes the application. All
    are of one event loop.

    Before it begins, what the first request needs is loaded; certificates of the environment that cannot be used are
    an InputError then, and not at the first request. While it lasts, the access log of uvicorn shows no authorization
    code (see ``AccessLogFilter``).

    Args:
        strava: the application; closed at the end, and not usable in a second start.
        secret: signs cookies and states: at least 16 bytes that only the service knows, the same in all its processes;
            of several, the first signs and all are accepted. None derives one from the client secret: a new client
            secret signs everybody out.
        identify: tells which athlete a connection belongs to, sync or async; for services that have users of their own.
            It runs on the event loop for every request: a sync one must not block. None asks the cookie that
            ``oauth_router`` sets, and the token store whether the grant lives that it was given out for.
        priority: the rank of the calls that routes make.
        max_wait: seconds that such a call may queue for quota: a person waits. None means as long as it takes.
        timeout: seconds without a sign of Strava before an attempt is given up; None means that of ``strava``.
        total: seconds for one attempt, from asking for a connection to the last byte of the reply; None means that of
            ``strava``.
        retry: when and how often such a call is tried again; None means that of ``strava``.
        session_seconds: how long an athlete stays signed in; at least 1.
        cookie_name: see ``Sessions``.

    Raises:
        InputError: an argument makes no sense. When it is entered: the application is closed, or it was entered in
            another event loop, which has not ended.
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
        cookie_name: str = COOKIE_NAME,
    ) -> None:
        def signer(purpose: str, max_age_seconds: float) -> StateSigner:
            if secret is None:
                return strava.state_signer(max_age_seconds=max_age_seconds, purpose=purpose)
            return StateSigner(secret, max_age_seconds=max_age_seconds, purpose=purpose, clock=strava.clock)

        sessions = Sessions(
            signer("session", session_seconds), max_age_seconds=session_seconds, cookie_name=cookie_name
        )
        self._strava = strava
        self._binding = LoopBinding("this StravaLifespan")
        self._entered = 0
        interactive = strava.with_options(
            priority=priority,
            max_wait=max_wait,
            timeout=UNSET if timeout is None else timeout,
            total=UNSET if total is None else total,
            retry=UNSET if retry is None else retry,
        )
        self._kit = Kit(
            strava=interactive,
            states=signer("question", STATE_SECONDS),
            sessions=sessions,
            signed_in=SignedIn(interactive, sessions),
            identify=identify,
        )

    def __call__(self, app: Any) -> AbstractAsyncContextManager[dict[str, Any]]:
        """Return the context that lasts as long as the service; what it yields becomes ``request.state``."""
        return self._live()

    @asynccontextmanager
    async def _live(self) -> AsyncGenerator[dict[str, Any]]:
        access_log = logging.getLogger("uvicorn.access")
        quiet = AccessLogFilter()
        if self._binding.enter():
            self._entered = 0  # those in a loop that has ended
        await self._strava.__aenter__()
        self._entered += 1
        access_log.addFilter(quiet)
        try:
            await self._strava.prepare()
            yield {_KEY: self._kit}
        finally:
            access_log.removeFilter(quiet)
            self._entered -= 1
            if not self._entered:
                await self._strava.aclose()


lifespan = StravaLifespan


def kit_of(connection: HTTPConnection) -> Kit:
    """Return what the routes share.

    Args:
        connection: a request or a websocket.

    Raises:
        InputError: the service has no ``StravaLifespan``, or has not begun.
    """
    kit = getattr(connection.state, _KEY, None)
    if not isinstance(kit, Kit):
        raise InputError(
            "this service has no StravaLifespan: FastAPI(lifespan=StravaLifespan(strava)). In a test, enter the app's "
            "lifespan: httpx.ASGITransport does not"
        )
    return kit


def time_of(connection: HTTPConnection) -> float | None:
    """Return Unix time by the application's clock; None where there is no application."""
    kit = getattr(connection.state, _KEY, None)
    return kit.strava.clock.time() if isinstance(kit, Kit) else None


def strava_of(connection: HTTPConnection) -> Strava:
    """Return the application for this request: its calls go before others, and do not wait long for quota."""
    return kit_of(connection).strava


async def athlete_id_of(connection: HTTPConnection) -> int:
    """Return the athlete who is signed in. Reads the token store, off the event loop, unless there is an ``identify``.

    Of a websocket it is told who was signed in when it began.

    Raises:
        InvalidGrantError: nobody is; ``exception_handlers`` make it a 401.
        TokenStoreError: the store cannot be read; they make it a 503.
    """
    athlete_id = await kit_of(connection).athlete_id(connection)
    if athlete_id is None:
        raise InvalidGrantError(_NOBODY)
    return athlete_id


async def athlete_of(connection: HTTPConnection) -> Client:
    """Return the client of the athlete who is signed in; as ``athlete_id_of`` and ``strava_of``."""
    client = await kit_of(connection).client(connection)
    if client is None:
        raise InvalidGrantError(_NOBODY)
    return client


StravaDep = Annotated[Strava, Depends(strava_of)]
AthleteIdDep = Annotated[int, Depends(athlete_id_of)]
AthleteDep = Annotated[Client, Depends(athlete_of)]
