"""An athlete's tokens in use: read, renewed once for all callers, and saved before they are used."""

from typing import TYPE_CHECKING

from strava_async._lazy import lazy

if TYPE_CHECKING:
    from strava_async.tokens.source import OnTokenRefresh, TokenKeeper, TokenSource
else:
    __getattr__, __dir__ = lazy(
        __name__, {"OnTokenRefresh": "source", "TokenKeeper": "source", "TokenSource": "source"}
    )

__all__ = ["OnTokenRefresh", "TokenKeeper", "TokenSource"]
