"""OAuth 2.0 (RFC 6749) as Strava speaks it: credentials, scopes, grants, the redirect, ``state``. Pure."""

from typing import TYPE_CHECKING

from strava_async._lazy import lazy

if TYPE_CHECKING:
    from strava_async.oauth.grants import (
        AccessInfo,
        Redirect,
        TokenSet,
        are_same_tokens,
        authorization_url,
        parse_redirect,
        redirect_state,
    )
    from strava_async.oauth.scopes import Scope
    from strava_async.oauth.state import StateSigner
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "AccessInfo": "grants",
            "Redirect": "grants",
            "Scope": "scopes",
            "StateSigner": "state",
            "TokenSet": "grants",
            "are_same_tokens": "grants",
            "authorization_url": "grants",
            "parse_redirect": "grants",
            "redirect_state": "grants",
        },
    )

__all__ = [
    "AccessInfo",
    "Redirect",
    "Scope",
    "StateSigner",
    "TokenSet",
    "are_same_tokens",
    "authorization_url",
    "parse_redirect",
    "redirect_state",
]
