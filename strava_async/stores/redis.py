"""Tokens on a Redis server, shared by processes on any number of hosts (extra ``redis``)."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Self
from uuid import uuid4

import sniffio
from redis.asyncio import Redis, RedisCluster

from strava_async._concurrency.loop_binding import LoopBinding
from strava_async._concurrency.threads import finish_in_thread
from strava_async._hidden import Hidden, hidden
from strava_async.clock import Clock, SystemClock
from strava_async.errors import InputError, TokenStoreError
from strava_async.oauth.token_set import TokenSet
from strava_async.stores import redis_scripts as scripts
from strava_async.stores._values import check_athlete_id
from strava_async.stores.base import ANY, AnyTokens, Lease
from strava_async.stores.encryption import Key, ciphers, generate_key
from strava_async.stores.redis_client import check_client, check_exchange, check_seconds, place, prefix, server_of
from strava_async.stores.redis_inspection import Inspection, Stakes
from strava_async.stores.redis_lock import RedisLocks
from strava_async.stores.redis_rows import CANARY, Row, Rows
from strava_async.stores.redis_server import Arguments
from strava_async.stores.redis_writes import RedisWrites, RefusedError

# A writer reads, encrypts, and then has the server compare; others may have written in between.
WRITE_ATTEMPTS = 20
MOST_LOCK_SECONDS = 3600.0  # nobody connects the athlete or renews the tokens until then, if a holder is killed


_logger = logging.getLogger("strava_async.stores")


class RedisTokenStore:
    """A ``TokenStore`` on Redis 7 or later, or a server that speaks as it does, such as Valkey. Runs on asyncio.

    ``redis`` is the caller's: a client of one server, of Sentinel (``master_for``) or of a cluster. TLS, password and
    timeouts are its affair, and it is never closed. The store belongs to the event loop that uses it.

    "Saved" means as safe as the server allows: from version 7.2 on a save waits until the log has it on disk
    (``appendonly yes``), which takes up to a second with ``appendfsync everysec``; before 7.2 that is ``appendfsync
    always``. With ``replicas`` it waits for them too. What is not confirmed in time is a TokenStoreError, and Strava's
    answer stays in memory until it is saved. Weaker settings are one WARNING of the logger ``strava_async.stores``,
    which says what a crash loses. A server that throws keys away when its memory is full is refused. Tokens never
    expire.

    The lock is a lease with a rising fence, renewed while it is held. A holder that was stopped for longer than its
    lease may save nothing that others have not seen: a save whose fence is not the highest is refused.

    A key is changed as in ``SqliteTokenStore``: restart with ``key=[new, old]``, ``rotate`` once, restart with
    ``key=new``.

    Args:
        redis: a ``redis.asyncio.Redis`` or ``redis.asyncio.RedisCluster``.
        application: whose tokens these are, such as the client id; a text without braces. All keys begin with
            ``{strava:<application>}``.
        key: encrypts the tokens; see ``SqliteTokenStore``. Needs the extra ``encryption``.
        lock_seconds: how long a lock outlives a holder that was killed; 1 to 3,600.
        replicas: how many replicas have to confirm a save.
        lock_timeout: how long to wait for ``lock``; seconds.
        timeout: how long one exchange with the server may take, its confirmations included; seconds, 60 at most. Each
            confirmation is waited for no longer than 0.4 of it, and than 0.8 of the client's ``socket_timeout``.
        clock: for the lease and the pauses; None means the system's.

    Raises:
        InputError: an argument is invalid, ``redis`` is a sync client, or an extra is not installed. Operations raise
            it for an invalid athlete id, on trio, in another event loop and after ``aclose``; and TokenStoreError where
            the server cannot be reached or refuses, with the remedy.
    """

    def __init__(
        self,
        redis: Redis | RedisCluster,
        *,
        application: str,
        key: Key | Sequence[Key] | None = None,
        lock_seconds: float = 30.0,
        replicas: int = 0,
        lock_timeout: float = 120.0,
        timeout: float = 10.0,
        clock: Clock | None = None,
    ) -> None:
        secret = hidden(key)
        del key
        check_client(redis, application, "RedisTokenStore")
        check_seconds("lock_seconds", lock_seconds, least=1, most=MOST_LOCK_SECONDS)
        check_seconds("lock_timeout", lock_timeout)
        check_exchange(timeout, replicas)
        self._application = application
        self._place = place(application)
        self._rows = Rows(ciphers(secret), application, self._place)
        self._prefix = prefix(application)
        self._tokens = f"{self._prefix}:tokens"
        clock = clock or SystemClock()
        self._server = server_of(
            redis, application=application, keys=":*", timeout=timeout, error=TokenStoreError, refused=RefusedError
        )
        stakes = Stakes("athletes", "tokens saved", waits=True, error=TokenStoreError, logger=_logger)
        inspection = Inspection(self._server, self._tokens, self._place, stakes)
        self._writes = RedisWrites(self._server, inspection, self._tokens, self._fence, replicas)
        self._locks = RedisLocks(
            self._server, clock, seconds=lock_seconds, timeout=lock_timeout, confirmation=self._writes.look
        )
        self._loop = LoopBinding("this token store")
        self._is_closed = False

    @property
    def application(self) -> str:
        """The application whose tokens these are."""
        return self._application

    def __repr__(self) -> str:
        return f"<RedisTokenStore {self._application!r}>"

    @staticmethod
    def generate_key() -> str:
        """Return a new key. Keep it apart from the server, and from its backups.

        Raises:
            InputError: the extra ``encryption`` is not installed.
        """
        return generate_key()

    async def __aenter__(self) -> Self:
        """Make sure that the server can be written now; see ``check_writable``."""
        await self.check_writable()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the use of this object, once the locks that it gives up are free. The client stays open."""
        self._is_closed = True
        await self._locks.wait_idle()

    async def load(self, athlete_id: int) -> TokenSet | None:
        """Return the athlete's tokens, or None if the athlete is not connected.

        Raises:
            TokenStoreError: also where this object has saved them and the server does not confirm it yet.
        """
        check_athlete_id(athlete_id)
        await self._enter()
        await self._writes.confirm(athlete_id)
        row = await self._row(athlete_id)
        return self._rows.decoded(self._rows.seal(row.canary), athlete_id, row.value)

    async def save(self, athlete_id: int, token: TokenSet, *, replacing: TokenSet | AnyTokens | None = ANY) -> bool:
        """Save the tokens, if those in the store are the ones that they are to replace; see ``TokenStore``.

        Two round trips, and the wait for the confirmations. If it is cancelled, it may have been done.

        Raises:
            TokenStoreError: also where it is not confirmed in time, and where another process holds the lock by now.
        """
        check_athlete_id(athlete_id)
        await self._enter()
        for _ in range(WRITE_ATTEMPTS):
            row = await self._row(athlete_id)
            seal = self._rows.seal(row.canary)
            if replacing is not ANY and self._rows.decoded(seal, athlete_id, row.value) != replacing:
                return False
            canary = seal.begin()
            written: Arguments = Hidden((canary or "", seal.encoded(self._application, athlete_id, token).reveal()))
            if await self._write(scripts.SAVE, athlete_id, row, replacing is ANY, written) != "changed":
                return True
        raise self._restless(athlete_id)

    async def delete(self, athlete_id: int, *, if_unchanged: TokenSet | AnyTokens = ANY) -> bool:
        """Delete the athlete's tokens, if they are these; see ``TokenStore``."""
        check_athlete_id(athlete_id)
        await self._enter()
        for _ in range(WRITE_ATTEMPTS):
            row = await self._row(athlete_id)
            seal = self._rows.seal(row.canary)
            if if_unchanged is not ANY and self._rows.decoded(seal, athlete_id, row.value) != if_unchanged:
                return False
            call: Arguments = Hidden((uuid4().hex, int(scripts.REPEATED_SECONDS * 1000)))
            done = await self._write(scripts.DELETE, athlete_id, row, if_unchanged is ANY, call)
            if done != "changed":
                return done == "done"
        raise self._restless(athlete_id)

    async def athlete_ids(self) -> list[int]:
        """Return the connected athletes, in ascending order. One round trip, some 20 ms for 10,000."""
        await self._enter()
        canary, fields = (await self._server.run(scripts.FIELDS, [self._tokens])).reveal()
        self._rows.seal(canary)
        return sorted(int(field) for field in fields if field != CANARY)

    async def iter_athlete_ids(self, *, after: int = 0) -> AsyncIterator[int]:
        """Iterate over those who are connected now and have a larger id, in ascending order."""
        check_athlete_id(after)
        for athlete_id in await self.athlete_ids():
            if athlete_id > after:
                yield athlete_id

    async def rotate(self) -> int:
        """Encrypt the tokens of all athletes of the application with the first key, plain ones included.

        One atomic step at the server: either all of them or none.

        Returns:
            how many athletes there are.

        Raises:
            InputError: the store was made without a key.
            TokenStoreError: a row cannot be read, or it is not confirmed in time.
        """
        if not self._rows.is_encrypted:
            raise InputError("rotate() needs a key: pass key=[new, old] when making the store")
        await self._enter()
        for _ in range(WRITE_ATTEMPTS):
            rows = await self._server.run(scripts.EVERYTHING, [self._tokens])
            arguments = await finish_in_thread(partial(self._rows.rotated, rows))
            done, doubt = await self._server.run_confirmed(
                scripts.ROTATE, [self._tokens], arguments, await self._writes.look()
            )
            if doubt:
                raise TokenStoreError(f"the rotated tokens are written, but {doubt}; then call rotate() again")
            if done != "changed":
                return (len(arguments.reveal()) - 2) // 3
        raise TokenStoreError(f"{self._place} was written to during each attempt to rotate: try again later")

    @asynccontextmanager
    async def lock(self, athlete_id: int) -> AsyncGenerator[Lease]:
        """Return a context that one holder at a time is in, among all that share the server.

        Waits for ``lock_timeout`` at most; tasks that use one object come in in order. Before it lets anybody in, it
        makes a write and waits until that is confirmed, as ``save`` does: Strava is not asked for tokens that could not
        be kept.

        Raises:
            TokenStoreError: somebody else has held it all that time, or the server cannot be written.
        """
        check_athlete_id(athlete_id)
        async with self._hold(str(athlete_id)) as lease:
            yield lease

    async def check_writable(self) -> None:
        """Make sure, by writing to it, that the server can keep tokens now. For the start of a service.

        Raises:
            TokenStoreError: it cannot, or does not let this user; with the missing command.
        """
        async with self._hold("check"):
            pass

    # What each operation begins with

    async def _enter(self) -> None:
        if self._is_closed:
            raise InputError("this token store is closed: make another one")
        if sniffio.current_async_library() != "asyncio":
            raise InputError("RedisTokenStore runs on asyncio, as redis-py does: use SqliteTokenStore on trio")
        self._loop.enter()
        await self._writes.enter()

    @asynccontextmanager
    async def _hold(self, name: str) -> AsyncGenerator[Lease]:
        await self._enter()
        self._rows.seal((await self._row(0)).canary)  # without the key, nothing could be saved
        async with self._locks.hold(self._lock_key(name)) as lease:
            yield lease

    # Rows

    async def _row(self, athlete_id: int) -> Row:
        found = await self._server.run(scripts.LOAD, [self._tokens], Hidden((athlete_id,)))
        return Row(found.reveal()[0] or "", Hidden(found.reveal()[1] or ""))

    async def _write(self, script: str, athlete_id: int, row: Row, any_value: bool, written: Arguments) -> str:
        """Have the server compare and write; return what it did.

        Raises:
            TokenStoreError: it is not confirmed, or the lock is another's by now.
        """
        compared: Arguments = Hidden((row.canary, "any" if any_value else "this", row.value.reveal()))
        return await self._writes.write(script, athlete_id, self._lock_key(str(athlete_id)), compared, written)

    def _fence(self, lock: str) -> str:
        return self._locks.fence(lock)

    def _lock_key(self, name: str) -> str:
        return f"{self._prefix}:lock:{name}"

    def _restless(self, athlete_id: int) -> TokenStoreError:
        return TokenStoreError(f"the tokens of athlete {athlete_id} changed after each time they were read: try again")
