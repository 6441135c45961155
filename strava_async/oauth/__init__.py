"""OAuth 2.0 (RFC 6749) as Strava speaks it: credentials, scopes, grants, the redirect, ``state``. Pure."""

from typing import TYPE_CHECKING

from strava_async._lazy import lazy

if TYPE_CHECKING:
    from strava_async.oauth.grants import AccessInfo
    from strava_async.oauth.redirect import Redirect, authorization_url, parse_redirect, redirect_state
    from strava_async.oauth.scopes import Scope
    from strava_async.oauth.state import StateSigner
    from strava_async.oauth.token_set import TokenSet, are_same_tokens
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "AccessInfo": "grants",
            "Redirect": "redirect",
            "Scope": "scopes",
            "StateSigner": "state",
            "TokenSet": "token_set",
            "are_same_tokens": "token_set",
            "authorization_url": "redirect",
            "parse_redirect": "redirect",
            "redirect_state": "redirect",
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
