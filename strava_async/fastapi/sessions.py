"""Which athlete a browser belongs to: one signed cookie.

The cookie holds the athlete's id and nothing else; it can be read by its owner and changed by nobody. No session is
kept on the server, so every process of the service knows every browser. Signing out deletes the cookie of that browser
alone. After ``disconnect`` there are no tokens for any of them to use; should the athlete connect again, those that are
not too old are good again. A service that needs to end them one by one has users of its own; see ``StravaLifespan``.
"""

from __future__ import annotations

from starlette.requests import HTTPConnection
from starlette.responses import Response

from strava_async.errors import InvalidStateError
from strava_async.state import StateSigner

# What is signed for another purpose with the same secret, such as a state, is no session.
_PURPOSE = "signed-in athlete"
_LARGEST_ID = 2**63 - 1


class Sessions:
    """Signs athletes in and out, and knows them again.

    Args:
        signer: signs the cookie; its age is the longest that an athlete stays signed in.
        max_age_seconds: how long a browser keeps the cookie.
        cookie_name: of the cookie.
    """

    def __init__(
        self, signer: StateSigner, *, max_age_seconds: float = 30 * 86_400, cookie_name: str = "strava_athlete"
    ) -> None:
        self._signer = signer
        self._max_age_seconds = max_age_seconds
        self._cookie_name = cookie_name

    def sign_in(self, response: Response, athlete_id: int, *, secure: bool) -> None:
        """Let the browser that gets this response act for the athlete.

        Args:
            response: is given the cookie: HttpOnly, SameSite=Lax.
            athlete_id: whose browser it is; make sure of it, as the callback of an authorization does.
            secure: whether the site is served over https; the cookie then never travels without.
        """
        response.set_cookie(
            self._cookie_name,
            self._signer.sign(str(athlete_id), session=_PURPOSE),
            max_age=int(self._max_age_seconds),
            httponly=True,
            samesite="lax",
            secure=secure,
        )

    def sign_out(self, response: Response) -> None:
        """Let the browser that gets this response forget whose it was."""
        response.delete_cookie(self._cookie_name, httponly=True, samesite="lax")

    def athlete_id(self, connection: HTTPConnection) -> int | None:
        """Return whose browser sent this; None for nobody's, and for a cookie that is too old or not ours."""
        try:
            signed = self._signer.verify(connection.cookies.get(self._cookie_name), session=_PURPOSE)
        except InvalidStateError:
            return None
        return int(signed) if signed.isascii() and signed.isdecimal() and 0 < int(signed) <= _LARGEST_ID else None
