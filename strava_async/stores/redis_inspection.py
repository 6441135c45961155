"""A Redis server's settings, looked at before it is trusted: too weak ones are refused, or one WARNING."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from strava_async.errors import StoreError
from strava_async.stores import redis_scripts as scripts
from strava_async.stores.redis_server import RedisServer
from strava_async.stores.redis_settings import Settings, settings_of


@dataclass(frozen=True, slots=True)
class Stakes:
    """What a store has to lose, and how it says so.

    Attributes:
        lost: what a server that throws keys away loses, in the plural.
        taken: what a crash loses, such as "tokens saved".
        waits: whether the store waits for the server's log, where that confirms.
        error: what it raises.
        logger: where it warns.
    """

    lost: str
    taken: str
    waits: bool
    error: type[StoreError]
    logger: logging.Logger


class Inspection:
    """Looks at the settings of a server, and warns once.

    Args:
        server: is asked.
        key: one of the store's: of a cluster, the server that has it is meant.
        place: what the server is called.
        stakes: of the store.
    """

    def __init__(self, server: RedisServer, key: str, place: str, stakes: Stakes) -> None:
        self._server = server
        self._key = key
        self._place = place
        self._stakes = stakes
        self._has_warned = False

    async def look(self) -> Settings:
        """Return the settings. Two round trips.

        Raises:
            StoreError: the server is too old, may throw keys away, or cannot be reached.
        """
        info = await self._server.run(scripts.INFO, [self._key])
        settings = settings_of(info.reveal())
        settings.check(self._place, self._stakes.lost, self._stakes.error)
        if settings.logs:
            settings = replace(settings, fsync=await self._server.fsync(self._key))
        loses = settings.loses(self._stakes.taken, waits=self._stakes.waits)
        if loses and not self._has_warned:
            self._has_warned = True
            self._stakes.logger.warning("a crash of %s %s", self._place, loses)
        return settings
