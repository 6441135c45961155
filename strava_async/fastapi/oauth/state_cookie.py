"""An authorization request: a ``state`` that expires, and a cookie that binds it to one browser.

Rules:

- Each authorization request has its own cookie, named after the state: two tabs make two requests, and both succeed.
- The state holds a keyed digest of the cookie's value, and of the service's own user where there is one
  (``oauth_router(user=...)``). A browser without the cookie is rejected, and so is another user in the same browser.
  Neither can be read from the state.
- The redirect deletes the cookie, whatever its outcome, unless a function of the application raises; the code is spent
  all the same.
- On https no other host can plant the cookie (``cookies.own_name``), and only such a cookie is accepted.
- A browser holds a few pending requests at most; a new one replaces the oldest. A response clears a few at most too: a
  browser may send any number of planted ones.

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

from starlette.responses import Response

from strava_async._types import bytes_of
from strava_async.errors import InvalidStateError
from strava_async.fastapi.cookies import own_name
from strava_async.fastapi.origins import origin_of
from strava_async.oauth.state import StateSigner

MAX_PENDING = 8
MAX_CLEARED = 8
# Twice the lifetime of a state: a late redirect can then be told from one in another browser.
COOKIE_SECONDS = 1200

_PREFIX = "strava_question_"
_BINDING_CHARACTERS = 43
_DIGEST = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class MountPoint:
    """Where a browser reaches the routes of the router.

    Attributes:
        url: their common URL, without a slash at the end.
        path: the path of that URL; empty for the root of the site.
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
        """Set a cookie, on http for these routes alone; zero seconds delete it."""
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
    """Return the state of a new authorization request.

    Args:
        signer: what makes it expire, for this purpose alone.
        go_to: what ``verify_state_cookie`` returns.
        secret: a random value for the cookie.
        user: identifies the service's own user, as any text; empty if the service has none.
    """
    return signer.sign(_binding(secret, user) + go_to)


def set_state_cookie(response: Response, mount: MountPoint, state: str, secret: str, cookies: Iterable[str]) -> None:
    """Bind an authorization request to the browser that receives this response.

    Args:
        response: is given the cookie.
        mount: where the routes are.
        state: of the authorization request.
        secret: what the state was made with.
        cookies: the names of those that the browser has, in its order: the oldest first (RFC 6265 §5.4).
    """
    kind = own_name(_PREFIX, secure=mount.secure)  # cookies of other names do not count
    pending = [name for name in cookies if name.startswith(kind) and _DIGEST.fullmatch(name, len(kind))]
    for name in pending[: min(MAX_CLEARED, max(0, len(pending) + 1 - MAX_PENDING))]:
        mount.set_cookie(response, name, "", 0)
    mount.set_cookie(response, mount.cookie_of(state), secret, COOKIE_SECONDS)


def verify_state_cookie(
    signer: StateSigner, mount: MountPoint, state: str | None, cookies: Mapping[str, str], user: str
) -> str:
    """Return where to go after the authorization request that this state belongs to.

    Raises:
        InvalidStateError: it is missing, forged, expired, of another browser or user, or used already.
    """
    if not state:
        raise InvalidStateError("missing")
    secret = cookies.get(mount.cookie_of(state))
    if not secret:
        raise InvalidStateError("forged")
    binding, go_to = _split(signer.verify(state))
    if not hmac.compare_digest(bytes_of(binding), bytes_of(_binding(secret, user))):
        raise InvalidStateError("forged")
    return go_to


def finished_next(signer: StateSigner, mount: MountPoint, state: str, cookies: Collection[str]) -> str | None:
    """Return where to go after a request that is not pending in this browser, such as one whose redirect came before.

    Returns:
        a path; empty if the state has expired; None if the request is pending, or the state is forged.
    """
    if mount.cookie_of(state) in cookies:
        return None
    try:
        return _split(signer.verify(state))[1]
    except InvalidStateError as error:
        return "" if error.reason == "expired" else None


def clear_state_cookie(response: Response, mount: MountPoint, state: str, cookies: Collection[str]) -> None:
    """Delete the cookie of an authorization request from the browser that receives this response, if it has one."""
    name = mount.cookie_of(state)
    if name in cookies:
        mount.set_cookie(response, name, "", 0)


def _binding(secret: str, user: str) -> str:
    digest = hmac.digest(bytes_of(secret), bytes_of(user), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _split(signed: str) -> tuple[str, str]:
    return signed[:_BINDING_CHARACTERS], signed[_BINDING_CHARACTERS:]
