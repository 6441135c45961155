"""The question that is put to an athlete: a ``state`` that expires, and a cookie that binds it to one browser.

Rules:

- Each question has a cookie of its own, named after the state: two tabs ask two questions, and both are answered.
- A keyed digest in the state says what the value of the cookie is, and who is the service's own user, where that is
  told (``oauth_router(user=...)``). Whoever brings the state without the cookie is another browser; another user in the
  same browser is told apart too. Neither can be read from the state.
- The answer deletes the cookie, whatever came of it, unless a function of the application's raises; the code is spent
  all the same.
- On https no other host can plant the cookie (``cookies.own_name``), and none but such a one answers.
- A browser keeps a few questions at most; a new one takes the place of the oldest. A response forgets a few at most
  too: a browser may bring any number of planted ones.

Source:
    RFC 6749 §10.12 and RFC 9700 §4.7.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.responses import Response

from strava_async._types import bytes_of
from strava_async.errors import InvalidStateError
from strava_async.fastapi.cookies import own_name
from strava_async.fastapi.origins import origin_of
from strava_async.oauth.state import StateSigner

MAX_QUESTIONS = 8
MAX_FORGOTTEN = 8
MAX_QUERY_BYTES = 4096
# Twice as long as a state is good: a late answer is then told from one that another browser brings.
COOKIE_SECONDS = 1200

_PREFIX = "strava_question_"
_BINDING_CHARACTERS = 43
_DIGEST = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a browser sees the routes.

    Attributes:
        url: the address that they are below, without a slash at the end.
        path: the path of that address; empty for the root of the site.
        secure: whether it is https.
    """

    url: str
    path: str
    secure: bool

    @property
    def origin(self) -> str | None:
        """The origin of the site."""
        return origin_of(self.url)

    def cookie_of(self, state: str) -> str:
        """Return the name of the cookie that belongs to a state."""
        digest = hashlib.sha256(state.encode("utf-8", "replace")).hexdigest()
        return own_name(_PREFIX + digest[:16], secure=self.secure)

    def set_cookie(self, response: Response, name: str, value: str, max_age: int) -> None:
        """Give the browser a cookie, on http for these routes alone; at zero seconds it forgets the cookie."""
        response.set_cookie(
            name,
            value,
            max_age=max_age,
            path="/" if self.secure else self.path or "/",
            secure=self.secure,
            httponly=True,
            samesite="lax",
        )


def new_state(signer: StateSigner, go_to: str, secret: str, user: str) -> str:
    """Return the state of a new question.

    Args:
        signer: what makes it expire, for this purpose alone.
        go_to: what ``answered`` returns.
        secret: a random value for the cookie.
        user: names the service's own user, in any text; empty where that is not told.
    """
    return signer.sign(_binding(secret, user) + go_to)


def ask(response: Response, place: Place, state: str, secret: str, cookies: Iterable[str]) -> None:
    """Bind a question to the browser that gets this response.

    Args:
        response: is given the cookie.
        place: see there.
        state: of the question.
        secret: what the state was made with.
        cookies: the names of those that the browser has, in its order: the oldest first (RFC 6265 §5.4).
    """
    kind = own_name(_PREFIX, secure=place.secure)  # others are none of ours, and push none of ours out
    open_questions = [name for name in cookies if name.startswith(kind) and _DIGEST.fullmatch(name, len(kind))]
    for name in open_questions[: min(MAX_FORGOTTEN, max(0, len(open_questions) + 1 - MAX_QUESTIONS))]:
        place.set_cookie(response, name, "", 0)
    place.set_cookie(response, place.cookie_of(state), secret, COOKIE_SECONDS)


def answered(signer: StateSigner, place: Place, state: str | None, cookies: Mapping[str, str], user: str) -> str:
    """Return where to go after the question that this state belongs to.

    Raises:
        InvalidStateError: there is none, it is forged, too old, of another browser or user, or answered already.
    """
    if not state:
        raise InvalidStateError("missing")
    secret = cookies.get(place.cookie_of(state))
    if not secret:
        raise InvalidStateError("forged")
    binding, go_to = _parted(signer.verify(state))
    if not hmac.compare_digest(bytes_of(binding), bytes_of(_binding(secret, user))):
        raise InvalidStateError("forged")
    return go_to


def closed(signer: StateSigner, place: Place, state: str, cookies: Collection[str]) -> str | None:
    """Return where to go after a question of ours that is not open in this browser, such as one that it had answered.

    Returns:
        a path; empty if the state is too old to tell; None if the question is open, or the state none of ours.
    """
    if place.cookie_of(state) in cookies:
        return None
    try:
        return _parted(signer.verify(state))[1]
    except InvalidStateError as error:
        return "" if error.reason == "expired" else None


def close(response: Response, place: Place, state: str, cookies: Collection[str]) -> None:
    """Let the browser that gets this response forget a question, if it knows it."""
    name = place.cookie_of(state)
    if name in cookies:
        place.set_cookie(response, name, "", 0)


def read_query(query: bytes, names: Collection[str]) -> dict[str, str] | None:
    """Return these parameters of a request; None if one is there twice (RFC 6749 §3.1), or the query is too long."""
    if len(query) > MAX_QUERY_BYTES:
        return None
    pairs = parse_qsl(query.decode("utf-8", "replace"), keep_blank_values=True)
    asked = [(name, value) for name, value in pairs if name in names]
    found = dict(asked)
    return found if len(found) == len(asked) else None


def _binding(secret: str, user: str) -> str:
    digest = hmac.digest(bytes_of(secret), bytes_of(user), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _parted(signed: str) -> tuple[str, str]:
    return signed[:_BINDING_CHARACTERS], signed[_BINDING_CHARACTERS:]
