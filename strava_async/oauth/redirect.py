"""The browser's part of OAuth: the URL of Strava's consent page, and the redirect that comes back (RFC 6749 §4.1).

Source:
    https://developers.strava.com/docs/authentication/ and RFC 6749 §4.1.1, §4.1.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from strava_async._hidden import Hidden, SecretText
from strava_async.errors import AuthorizationDeniedError, InputError
from strava_async.oauth.credentials import check_client_id
from strava_async.oauth.scopes import parse_scope, scope_names


def authorization_url(
    oauth_url: str,
    *,
    client_id: int | str,
    redirect_uri: str,
    approval_prompt: str = "auto",
    scope: str | Iterable[str] | None = None,
    state: str | None = None,
) -> str:
    """Return the URL of Strava's consent page for one athlete (RFC 6749 §4.1.1).

    Raises:
        InputError: a client id that is no number, an unknown scope or approval prompt, or a redirect URI that is not
            absolute.
    """
    check_client_id(client_id)
    if approval_prompt not in ("auto", "force"):
        raise InputError(f"approval_prompt is 'auto' or 'force', not {approval_prompt!r}")
    target = urlsplit(redirect_uri)
    if not target.scheme or not (target.netloc or target.path):
        raise InputError(f"redirect_uri is not an absolute URI: {redirect_uri!r}")
    query = {
        "client_id": str(client_id),
        "redirect_uri": redirect_uri,
        "response_type": "code",
        "approval_prompt": approval_prompt,
        "scope": ",".join(scope_names(scope)),
    }
    if state is not None:
        query["state"] = state
    return f"{oauth_url}/authorize?{urlencode(query, quote_via=quote, safe=',:')}"


@dataclass(frozen=True, slots=True)
class Redirect:
    """What the consent page sent back with the athlete. Its repr does not show the code."""

    code: str = field(repr=False)
    scope: frozenset[str]
    state: str | None


def parse_redirect(url: str) -> Redirect:
    """Read the URL that Strava sent the athlete back to.

    Raises:
        AuthorizationDeniedError: the athlete denied access, or Strava reports another error.
        InputError: the URL is invalid, or holds neither a code nor an error.
    """
    address = Hidden(url)
    del url
    query = _query_of(address)
    code = Hidden(query.pop("code", ""))
    if "error" in query:
        # Anybody can write it, and it may be shown on a terminal (RFC 6749 §4.1.2.1 allows printable ASCII).
        raise AuthorizationDeniedError(re.sub(r"[^ -~]", "?", query["error"])[:100])
    if not code.reveal():
        raise InputError("the redirect holds neither a code nor an error")
    return Redirect(SecretText(code.reveal()), parse_scope(query.get("scope", "")), query.get("state"))


def redirect_state(url: str) -> str | None:
    """Return the ``state`` in the URL that Strava sent the athlete back to, before anything in it is trusted.

    Raises:
        InputError: the URL is invalid.
    """
    address = Hidden(url)
    del url
    return _query_of(address).get("state")


def _query_of(url: Hidden[str]) -> dict[str, str]:
    try:
        return dict(parse_qsl(urlsplit(url.reveal()).query))
    except ValueError:
        pass  # its message would show the URL, and with it the code
    raise InputError("the redirect is not a valid URL")
