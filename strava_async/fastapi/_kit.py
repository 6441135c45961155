"""What the routes of a service share: the application, and who is signed in."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import HTTPConnection

from strava_async.application import Strava
from strava_async.client import Client
from strava_async.errors import CrossSiteError, InputError
from strava_async.fastapi.cross_site import is_opened_from_here
from strava_async.fastapi.sessions import Sessions, SignedIn
from strava_async.oauth.state import StateSigner

Identify = Callable[[HTTPConnection], int | Awaitable[int | None] | None]

_KEY = "strava_async."


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
        origins: whose pages may act for the athlete who is signed in, besides those of the service's own address.
    """

    strava: Strava
    states: StateSigner
    sessions: Sessions
    signed_in: SignedIn
    identify: Identify | None
    origins: frozenset[str] = frozenset()

    async def athlete_id(self, connection: HTTPConnection) -> int | None:
        """Return who is signed in; None if nobody is.

        Raises:
            CrossSiteError: it is a websocket that a page of another site has opened.
        """
        return await self._identified(self.identify or self.signed_in.athlete_id, connection)

    async def client(self, connection: HTTPConnection) -> Client | None:
        """Return the client of who is signed in; None if nobody is. Raises as ``athlete_id``."""
        if self.identify is None:
            self._refuse_strangers(connection)
            return await self.signed_in.client(connection)
        athlete_id = await self._identified(self.identify, connection)
        return None if athlete_id is None else self.strava.client(athlete_id)

    async def leaving(self, connection: HTTPConnection) -> int | None:
        """Return who may be disconnected; as ``athlete_id``, and see ``SignedIn.leaving``."""
        return await self._identified(self.identify or self.signed_in.leaving, connection)

    async def _identified(self, identify: Identify, connection: HTTPConnection) -> int | None:
        self._refuse_strangers(connection)
        athlete_id = identify(connection)
        return await athlete_id if inspect.isawaitable(athlete_id) else athlete_id

    def _refuse_strangers(self, connection: HTTPConnection) -> None:
        if connection.scope["type"] != "websocket":
            return
        if not is_opened_from_here(connection, self.origins | self.strava.origins):
            raise CrossSiteError(
                "a page of another site opened this websocket (its Origin is not that of the service): if it may, name "
                "it in StravaLifespan(origins=...)"
            )


@dataclass(frozen=True, slots=True)
class Kits:
    """What one application leaves in the state of the service.

    Attributes:
        alone: the kit.
        beside: the same beside other applications: their sessions are other cookies.
    """

    alone: Kit
    beside: Kit

    def state(self) -> dict[str, Any]:
        """Return what a lifespan yields; several applications have a key each."""
        return {f"{_KEY}{self.alone.strava.client_id}": self}


def kit_of(connection: HTTPConnection, strava: Strava | None = None) -> Kit:
    """Return what the routes share.

    Args:
        connection: a request or a websocket.
        strava: which application, in a service with several; None means the only one.

    Raises:
        InputError: the service has no ``StravaLifespan``, none of that application, or several where one is meant; or
            it has not begun.
    """
    found = _kits_in(connection)
    if not found:
        raise InputError(
            "this service has no StravaLifespan: FastAPI(lifespan=StravaLifespan(strava)). In a test, enter the app's "
            "lifespan: httpx.ASGITransport does not"
        )
    if strava is not None:
        found = {key: kits for key, kits in found.items() if key == str(strava.client_id)}
        if not found:
            raise InputError(
                "this service has no StravaLifespan of this application: give it and oauth_router the same, and with "
                "two applications enter one for each"
            )
    if len(found) > 1:
        raise InputError(
            f"this service has {len(found)} applications of Strava's: say which is meant, by Dependencies(strava)"
        )
    (kits,) = found.values()
    return kits.alone if has_one_application(connection) else kits.beside


def has_one_application(connection: HTTPConnection) -> bool:
    """Say whether the service has one application, and not several or none."""
    return len(_kits_in(connection)) == 1


def time_of(connection: HTTPConnection) -> float | None:
    """Return Unix time by the application's clock; None where there is no application."""
    return next((kits.alone.strava.clock.time() for kits in _kits_in(connection).values()), None)


def _kits_in(connection: HTTPConnection) -> dict[str, Kits]:
    state: Mapping[str, object] = connection.scope.get("state") or {}
    return {key.removeprefix(_KEY): kits for key, kits in state.items() if isinstance(kits, Kits)}
