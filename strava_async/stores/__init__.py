"""Where the tokens of an application's athletes are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strava_async.stores.base import ANY, AnyTokens, BasicTokenStore, Lease, TokenStore
from strava_async.stores.memory import MemoryTokenStore

if TYPE_CHECKING:
    from strava_async.stores.sqlite import SqliteTokenStore

__all__ = ["ANY", "AnyTokens", "BasicTokenStore", "Lease", "MemoryTokenStore", "SqliteTokenStore", "TokenStore"]


def __getattr__(name: str) -> type[SqliteTokenStore]:
    # Importing sqlite3 takes time; nobody pays for it who keeps tokens elsewhere.
    if name == "SqliteTokenStore":
        from strava_async.stores.sqlite import SqliteTokenStore

        return SqliteTokenStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
