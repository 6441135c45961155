"""Dependencies of routes: the application, the athlete who is signed in, and that athlete's client."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from strava_async.application import Strava
from strava_async.client import Client
from strava_async.errors import InvalidGrantError
from strava_async.fastapi.kit import ServiceState, kit_of
from strava_async.fastapi.openapi import session_cookie

_NOT_SIGNED_IN = "nobody is signed in here: connect with Strava first"

# Does nothing at runtime; FastAPI documents the cookie from it.
_Cookie = Annotated[None, Depends(session_cookie)]


def strava_of(connection: HTTPConnection) -> Strava:
    """Return the application for this request: its calls have priority, and do not wait long for quota."""
    return kit_of(connection).strava


async def athlete_id_of(connection: HTTPConnection, cookie: _Cookie = None) -> int:
    """Return the athlete who is signed in. Reads the token store, off the event loop, unless there is an ``identify``.

    For a websocket it is who was signed in when it was opened.

    Raises:
        InvalidGrantError: nobody is; ``exception_handlers`` make it a 401.
        CrossSiteError: it is a websocket that a page of another site opened; a 403.
        TokenStoreError: the store cannot be read; they make it a 503.
    """
    return await _athlete_id(kit_of(connection), connection)


async def athlete_of(connection: HTTPConnection, cookie: _Cookie = None) -> Client:
    """Return the client of the athlete who is signed in; as ``athlete_id_of`` and ``strava_of``."""
    return await _client(kit_of(connection), connection)


class Dependencies:
    """The same of one application, for a service that has several; ``athlete_of`` and the others mean the only one.

    ::

        second = Dependencies(second_strava)
        SecondAthleteDep = Annotated[Client, Depends(second.athlete)]

    Args:
        strava: the application, as a ``StravaLifespan`` has it.
    """

    def __init__(self, strava: Strava) -> None:
        self._strava = strava

    def strava(self, connection: HTTPConnection) -> Strava:
        """Return the application for this request; see ``strava_of``."""
        return kit_of(connection, self._strava).strava

    async def athlete_id(self, connection: HTTPConnection, cookie: _Cookie = None) -> int:
        """Return the athlete who is signed in to this application; see ``athlete_id_of``."""
        return await _athlete_id(kit_of(connection, self._strava), connection)

    async def athlete(self, connection: HTTPConnection, cookie: _Cookie = None) -> Client:
        """Return that athlete's client; see ``athlete_of``."""
        return await _client(kit_of(connection, self._strava), connection)


async def _athlete_id(kit: ServiceState, connection: HTTPConnection) -> int:
    athlete_id = await kit.athlete_id(connection)
    if athlete_id is None:
        raise InvalidGrantError(_NOT_SIGNED_IN)
    return athlete_id


async def _client(kit: ServiceState, connection: HTTPConnection) -> Client:
    client = await kit.client(connection)
    if client is None:
        raise InvalidGrantError(_NOT_SIGNED_IN)
    return client


StravaDep = Annotated[Strava, Depends(strava_of)]
AthleteIdDep = Annotated[int, Depends(athlete_id_of)]
AthleteDep = Annotated[Client, Depends(athlete_of)]
