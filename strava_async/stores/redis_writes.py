"""Writes of the Redis token store, and which of them the server has confirmed.

What may have been written and is not confirmed stays in doubt until it is: it is not returned by a ``load``.
"""

from __future__ import annotations

from collections.abc import Callable

from strava_async._hidden import Hidden
from strava_async.errors import TokenStoreError
from strava_async.stores import redis_scripts as scripts
from strava_async.stores.redis_inspection import Inspection
from strava_async.stores.redis_server import Arguments, Confirmation, RedisServer
from strava_async.stores.redis_settings import Settings


class RefusedError(TokenStoreError):
    """The server has answered that it does not do it: nothing was written."""


class RedisWrites:
    """Makes writes of one store object.

    Args:
        server: is written to; raises RefusedError where it refuses.
        inspection: of its settings.
        tokens: the key of the tokens.
        fence: returns the fence of the lock that this object has, by the lock's key; empty if it has none.
        replicas: how many have to confirm a write.
    """

    def __init__(
        self, server: RedisServer, inspection: Inspection, tokens: str, fence: Callable[[str], str], replicas: int
    ) -> None:
        self._server = server
        self._inspection = inspection
        self._tokens = tokens
        self._fence = fence
        self._replicas = replicas
        self._settings: Settings | None = None
        self._unconfirmed = set[int]()

    async def look(self) -> Confirmation:
        """Look at the server's settings, and return who has to confirm a write."""
        self._settings = await self._inspection.look()
        return self._confirmation(self._settings)

    async def enter(self) -> Confirmation:
        """Return who has to confirm a write; look at the settings if that is not known."""
        return await self.look() if self._settings is None else self._confirmation(self._settings)

    async def write(self, script: str, athlete_id: int, lock: str, compared: Arguments, written: Arguments) -> str:
        """Have the server compare and write; return what it did.

        Args:
            script: ``SAVE`` or ``DELETE``.
            athlete_id: whose tokens.
            lock: the key of the lock on them.
            compared: the canary that was read; "any", or "this"; and the value that was read.
            written: the canary to write, and the value; or the id of a deletion, and how long it is remembered.

        Raises:
            TokenStoreError: it is not confirmed, or the lock is another's by now.
        """
        confirmation = await self.enter()
        arguments: Arguments = Hidden((athlete_id, self._fence(lock), *compared.reveal(), *written.reveal()))
        before = frozenset(self._unconfirmed & {athlete_id})
        self._unconfirmed.add(athlete_id)  # until more is known, also if this is cancelled
        try:
            done, doubt = await self._server.run_confirmed(script, [self._tokens, lock], arguments, confirmation)
        except RefusedError:
            self._unconfirmed -= {athlete_id} - before
            raise
        except TokenStoreError:
            self._settings = None  # it may be another server by now, or have been set otherwise
            raise
        if done == "done" and doubt:
            raise _unconfirmed(athlete_id, doubt)
        self._unconfirmed -= {athlete_id} if done == "done" else {athlete_id} - before
        if done == "fenced":
            raise TokenStoreError(
                f"the lock on the tokens of athlete {athlete_id} has passed to another process while this one did not "
                "run: they were not saved; they are offered again at the next call"
            )
        return done

    async def confirm(self, athlete_id: int) -> None:
        """Have what is there confirmed, if it may be what this object has written.

        Raises:
            TokenStoreError: it is not confirmed.
        """
        if athlete_id not in self._unconfirmed:
            return
        confirmation = await self.look()
        if confirmation != (False, 0):  # else nobody will ever say so
            touched = Hidden[tuple[str | int, ...]]((athlete_id,))
            _, doubt = await self._server.run_confirmed(scripts.TOUCH, [self._tokens], touched, confirmation)
            if doubt:
                raise _unconfirmed(athlete_id, doubt)
        self._unconfirmed.discard(athlete_id)

    def _confirmation(self, settings: Settings) -> Confirmation:
        return Confirmation(settings.confirms, self._replicas)


def _unconfirmed(athlete_id: int, doubt: str) -> TokenStoreError:
    return TokenStoreError(f"the tokens of athlete {athlete_id} are written, but {doubt}")
