"""Which athlete a browser belongs to: one signed cookie.

The cookie holds the athlete's id and nothing else; it can be read by its owner and changed by nobody. No session is
kept on the server, so every process of the service knows every browser. Signing out deletes the cookie of that browser
alone. After ``disconnect`` there are no tokens for any of them to use; should the athlete connect again, those that are
not too old are good again. A service that needs to end them one by one has users of its own; see ``StravaLifespan``.

Rules:

- On https the cookie's name begins with ``__Host-``: no other host, such as a neighbouring subdomain, can plant it.
  Over https only that one is read.
- The name is signed with the id. What was given out under the one name is nothing under the other.
- Behind a proxy that hides https a request seems to come over http, and both names are read. The plain one is good only
  if it was given out as such: never by ``oauth_router``, if it was told that the site is https (``base_url``).

Source:
    RFC 6265bis §4.1.3 (cookie name prefixes).
"""

from __future__ import annotations

import math
import re

from starlette.requests import HTTPConnection
from starlette.responses import Response

from strava_async.errors import InputError, InvalidStateError
from strava_async.state import StateSigner

COOKIE_NAME = "strava_athlete"
SESSION_SECONDS = 30 * 86_400.0

_LARGEST_ID = 2**63 - 1


def own_name(name: str, *, secure: bool) -> str:
    """Return what a cookie is called that on https only this very host can set; it needs Secure and ``Path=/``."""
    return f"__Host-{name}" if secure else name


class Sessions:
    """Signs athletes in and out, and knows them again.

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

    def sign_in(self, response: Response, athlete_id: int, *, secure: bool) -> None:
        """Let the browser that gets this response act for the athlete.

        Args:
            response: is given the cookie: HttpOnly, SameSite=Lax, for this host alone.
            athlete_id: whose browser it is; make sure of it, as the callback of an authorization does.
            secure: whether the browser sees the site on https; the cookie then never travels without.
        """
        name = own_name(self._cookie_name, secure=secure)
        response.set_cookie(
            name,
            self._signer.sign(str(athlete_id), session=name),
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

    def athlete_id(self, connection: HTTPConnection) -> int | None:
        """Return whose browser sent this; None for nobody's, and for a cookie that is too old or not ours."""
        athlete_id = self._athlete_in(connection, own_name(self._cookie_name, secure=True))
        if athlete_id is None and connection.scope.get("scheme") not in ("https", "wss"):
            return self._athlete_in(connection, self._cookie_name)
        return athlete_id

    def _athlete_in(self, connection: HTTPConnection, name: str) -> int | None:
        try:
            signed = self._signer.verify(connection.cookies.get(name), session=name)
        except InvalidStateError:
            return None
        return int(signed) if signed.isascii() and signed.isdecimal() and 0 < int(signed) <= _LARGEST_ID else None
