"""Which athlete a browser belongs to: one signed cookie, and the generation of the athlete's grant.

The cookie holds the athlete's id and the generation; it can be read by its owner and changed by nobody. No session is
kept on the server, so every process of the service knows every browser. The cookie is good as long as the token store
has tokens of that athlete with that generation: it ends when these are deleted, when Strava calls the grant dead, and
when ``Strava.end_sessions`` changes the generation. Signing out deletes the cookie of that browser alone.

Rules:

- The store is asked for nobody whose cookie is not ours.
- On https the cookie's name begins with ``__Host-``: no other host, such as a neighbouring subdomain, can plant it.
  Over https only that one is read.
- Name and origin are signed with the id. What was given out under the one name, or by another site with the same secret
  such as a staging system, is nothing here.
- The origin is what ``oauth_router`` was told (``base_url``). Where it was told none it is that of the request, which
  anybody can forge who sends requests of his own: of two systems with one secret, both should have a ``base_url``, or
  stores of their own.
- Behind a proxy that hides https a request seems to come over http, and both names are read. The plain one is good only
  if it was given out as such: never by ``oauth_router``, if it was told that the site is https.
- A token store that does not keep ``TokenSet.generation`` makes all generations the empty one: sessions end with the
  grant, are good again after the next, and cannot be ended otherwise.

Source:
    RFC 6265bis §4.1.3 (cookie name prefixes).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import HTTPConnection
from starlette.responses import Response

from strava_async.application import Strava
from strava_async.client import Client
from strava_async.errors import InputError, InvalidStateError
from strava_async.fastapi.cookies import cookies_of, own_name
from strava_async.fastapi.origins import origin_asked
from strava_async.oauth.state import StateSigner
from strava_async.tokens.generations import ended

COOKIE_NAME = "strava_athlete"
SESSION_SECONDS = 30 * 86_400.0

_LARGEST_ID = 2**63 - 1
_SIGNED = re.compile(r"([1-9][0-9]{0,18}) ([!-~]*)")


@dataclass(frozen=True, slots=True)
class Session:
    """What a cookie says.

    Attributes:
        athlete_id: whose browser it is.
        generation: of the athlete's grant when it was given out.
    """

    athlete_id: int
    generation: str


class Sessions:
    """Writes and reads the cookie. What it says may have ended since; see ``SignedIn``.

    Args:
        signer: signs the cookie; its age is the longest that an athlete stays signed in. Its purpose is this alone.
        max_age_seconds: how long a browser keeps the cookie; at least 1.
        cookie_name: of the cookie, without ``__Host-``, which is added on https.

    Raises:
        InputError: an argument makes no sense.
    """

    def __init__(
        self, signer: StateSigner, *, max_age_seconds: float = SESSION_SECONDS, cookie_name: str = COOKIE_NAME
    ) -> None:
        if not 1 <= max_age_seconds < math.inf:
            raise InputError(f"a session lasts a second at least, not {max_age_seconds}")
        if not re.fullmatch(r"(?!__)[\w.-]+", cookie_name, re.ASCII):
            raise InputError(f"cookie_name is a name like {COOKIE_NAME}, without a prefix, not {cookie_name!r}")
        self._signer = signer
        self._max_age_seconds = max_age_seconds
        self._cookie_name = cookie_name

    @property
    def name(self) -> str:
        """What the cookie is called, without ``__Host-``."""
        return self._cookie_name

    def sign_in(self, response: Response, session: Session, *, origin: str) -> None:
        """Let the browser that gets this response act for the athlete.

        Args:
            response: is given the cookie: HttpOnly, SameSite=Lax, for this host alone.
            session: whose browser it is; make sure of it, as the callback of an authorization does.
            origin: of the site as the browser sees it; of https the cookie never travels without.
        """
        secure = origin.startswith("https:")
        name = own_name(self._cookie_name, secure=secure)
        response.set_cookie(
            name,
            self._signer.sign(f"{session.athlete_id} {session.generation}", session=f"{name} {origin}"),
            max_age=int(self._max_age_seconds),
            httponly=True,
            samesite="lax",
            secure=secure,
        )

    def sign_out(self, response: Response) -> None:
        """Let the browser that gets this response forget whose it was."""
        for secure in (True, False):
            name = own_name(self._cookie_name, secure=secure)
            response.delete_cookie(name, httponly=True, samesite="lax", secure=secure)

    def read(self, connection: HTTPConnection, origins: Sequence[str]) -> Session | None:
        """Return what the cookie says; None without one, and for one that is too old or not ours.

        Args:
            connection: the request, or a websocket.
            origins: those of the service.
        """
        cookies, names = cookies_of(connection), [own_name(self._cookie_name, secure=True)]
        if connection.scope.get("scheme") not in ("https", "wss"):
            names.append(self._cookie_name)
        found = (
            self._session_in(cookies[name], f"{name} {origin}")
            for name in names
            if name in cookies
            for origin in origins
        )
        return next((session for session in found if session is not None), None)

    def _session_in(self, cookie: str, place: str) -> Session | None:
        try:
            signed = _SIGNED.fullmatch(self._signer.verify(cookie, session=place))
        except InvalidStateError:
            return None
        return Session(int(signed[1]), signed[2]) if signed and int(signed[1]) <= _LARGEST_ID else None


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who is signed in, where the service has no users of its own.

    Attributes:
        strava: the application: its token store knows whose grant lives.
        sessions: the cookie.
    """

    strava: Strava
    sessions: Sessions

    async def sign_in(
        self, connection: HTTPConnection, response: Response, athlete_id: int, *, origin: str | None = None
    ) -> None:
        """Let the browser that gets this response act for an athlete, as long as the grant lasts; see ``Sessions``.

        Nothing happens if the athlete is not connected. Reads the token store.

        Args:
            connection: the request that is answered.
            response: is given the cookie.
            athlete_id: whose browser it is; make sure of it.
            origin: of the site as the browser sees it; None takes it from ``base_url`` or the request.

        Raises:
            TokenStoreError: the store cannot be read.
        """
        generation = await self.strava.generation(athlete_id)
        origin = origin or next(iter(self._origins(connection)), None)
        if generation is not None and origin is not None:
            self.sessions.sign_in(response, Session(athlete_id, generation), origin=origin)

    async def athlete_id(self, connection: HTTPConnection) -> int | None:
        """Return whose browser sent this; None for nobody's, and where the grant has ended since.

        Raises:
            TokenStoreError: the store cannot be read.
        """
        client = await self.client(connection)
        return None if client is None else client.athlete_id

    async def client(self, connection: HTTPConnection) -> Client | None:
        """Return that athlete's client; as ``athlete_id``. Its first call need not read the store once more."""
        session = self.sessions.read(connection, self._origins(connection))
        if session is None:
            return None
        client = self.strava.client(session.athlete_id)  # before the store is read: it takes what is found there
        return client if await self.strava.generation(session.athlete_id) == session.generation else None

    async def leaving(self, connection: HTTPConnection) -> int | None:
        """As ``athlete_id``, but of a grant that has ended, or has no tokens any more, return whose browser it was.

        For disconnecting: if it failed after the tokens were deleted, the rest can be done by pressing again.
        """
        session = self.sessions.read(connection, self._origins(connection))
        if session is None:
            return None
        until_now = (None, session.generation, ended(session.generation))
        return session.athlete_id if await self.strava.generation(session.athlete_id) in until_now else None

    def _origins(self, connection: HTTPConnection) -> list[str]:
        told = self.strava.origins
        found = sorted(origin for origin in told if origin is not None)
        asked = origin_asked(connection) if None in told or not told else None
        return found if asked is None else [asked, *found]
