"""Where the tokens of an application's athletes are kept."""

from typing import TYPE_CHECKING

from strava_async._lazy import lazy

if TYPE_CHECKING:
    from strava_async.stores.base import ANY, AnyTokens, BasicTokenStore, Lease, TokenStore
    from strava_async.stores.memory import MemoryTokenStore
    from strava_async.stores.sqlite import SqliteTokenStore
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "ANY": "base",
            "AnyTokens": "base",
            "BasicTokenStore": "base",
            "Lease": "base",
            "MemoryTokenStore": "memory",
            "SqliteTokenStore": "sqlite",
            "TokenStore": "base",
        },
    )

__all__ = ["ANY", "AnyTokens", "BasicTokenStore", "Lease", "MemoryTokenStore", "SqliteTokenStore", "TokenStore"]
