"""Tokens on a Redis server, shared by processes on any number of hosts (extra ``redis``)."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self

import sniffio
from redis.asyncio import Redis, RedisCluster
from redis.exceptions import AskError, MovedError, RedisClusterException, RedisError, ResponseError, TryAgainError

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
from strava_async.stores.redis_lock import RedisLocks
from strava_async.stores.redis_server import Confirmation, RedisServer, RefusedError
from strava_async.stores.redis_settings import Settings, settings_of
from strava_async.stores.sealing import Seal

# A writer reads, encrypts, and then has the server compare; others may have written in between.
WRITE_ATTEMPTS = 20

_CANARY = "canary"  # the field beside those of the athletes
_PLAIN = "["  # what is not encrypted begins so: a JSON array

_logger = logging.getLogger("strava_async.stores")


class _Row(NamedTuple):
    """What the server has of an athlete: texts as they are there, empty where there is none."""

    canary: str
    value: Hidden[str]


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
        lock_seconds: how long a lock outlives a holder that was killed; at least 1.
        replicas: how many replicas have to confirm a save.
        lock_timeout: how long to wait for ``lock``; seconds.
        timeout: how long one exchange with the server may take, its confirmations included; seconds.
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
        _check(redis, application)
        if not lock_seconds >= 1 or not lock_timeout >= 0 or not timeout > 0:
            raise InputError("lock_seconds is at least 1, lock_timeout zero or more, timeout more than zero seconds")
        if type(replicas) is not int or replicas < 0:
            raise InputError("replicas is a number of replicas, zero or more")
        self._ciphers = ciphers(secret)
        self._application = application
        self._place = f"Redis (application {application})"
        self._prefix = f"{{strava:{application}}}"
        self._tokens = f"{self._prefix}:tokens"
        self._replicas = replicas
        self._clock = clock or SystemClock()
        self._server = RedisServer(
            redis,
            keys=f"{self._prefix}:*",
            place=self._place,
            timeout=timeout,
            errors=(RedisError, RedisClusterException),
            refusals=(ResponseError,),
            redirections=(MovedError, AskError, TryAgainError),
        )
        self._locks = RedisLocks(
            self._server, self._clock, seconds=lock_seconds, timeout=lock_timeout, confirmation=self._look
        )
        self._settings: Settings | None = None
        self._has_warned = False
        self._unconfirmed = set[int]()
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
        if athlete_id in self._unconfirmed:
            await self._confirm(athlete_id)
        row = await self._row(athlete_id)
        return self._decoded(self._seal(row.canary), athlete_id, row.value)

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
            seal = self._seal(row.canary)
            if replacing is not ANY and self._decoded(seal, athlete_id, row.value) != replacing:
                return False
            canary = seal.begin()
            value = seal.encoded(self._application, athlete_id, token)
            if await self._write(scripts.SAVE, athlete_id, row, replacing is ANY, canary or "", value) != "changed":
                return True
        raise self._restless(athlete_id)

    async def delete(self, athlete_id: int, *, if_unchanged: TokenSet | AnyTokens = ANY) -> bool:
        """Delete the athlete's tokens, if they are these; see ``TokenStore``."""
        check_athlete_id(athlete_id)
        await self._enter()
        for _ in range(WRITE_ATTEMPTS):
            row = await self._row(athlete_id)
            seal = self._seal(row.canary)
            if if_unchanged is not ANY and self._decoded(seal, athlete_id, row.value) != if_unchanged:
                return False
            done = await self._write(scripts.DELETE, athlete_id, row, if_unchanged is ANY, "", Hidden(""))
            if done != "changed":
                return done == "done"
        raise self._restless(athlete_id)

    async def athlete_ids(self) -> list[int]:
        """Return the connected athletes, in ascending order. One round trip, some 20 ms for 10,000."""
        await self._enter()
        canary, fields = (await self._server.run(scripts.FIELDS, [self._tokens])).reveal()
        self._seal(canary)
        return sorted(int(field) for field in fields if field != _CANARY)

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
        if not self._ciphers:
            raise InputError("rotate() needs a key: pass key=[new, old] when making the store")
        await self._enter()
        for _ in range(WRITE_ATTEMPTS):
            rows = await self._server.run(scripts.EVERYTHING, [self._tokens])
            arguments = await finish_in_thread(partial(self._rotated, rows))
            done, doubt = await self._server.run_confirmed(
                scripts.ROTATE, [self._tokens], arguments, await self._look()
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
        if self._settings is None:
            await self._look()

    async def _look(self) -> Confirmation:
        """Look at the server's settings, and return who has to confirm a write."""
        info = await self._server.run(scripts.INFO, [self._tokens])
        settings = settings_of(info.reveal())
        settings.check(self._place)
        if settings.logs:
            settings = replace(settings, fsync=await self._server.fsync(self._tokens))
        if settings.loses and not self._has_warned:
            self._has_warned = True
            _logger.warning("a crash of %s %s", self._place, settings.loses)
        self._settings = settings
        return self._confirmation(settings)

    def _confirmation(self, settings: Settings) -> Confirmation:
        return Confirmation(settings.confirms, self._replicas)

    @asynccontextmanager
    async def _hold(self, name: str) -> AsyncGenerator[Lease]:
        await self._enter()
        self._seal((await self._row(0)).canary)  # without the key, nothing could be saved
        async with self._locks.hold(self._lock_key(name)) as lease:
            yield lease

    # Rows

    async def _row(self, athlete_id: int) -> _Row:
        found = await self._server.run(scripts.LOAD, [self._tokens], Hidden((athlete_id,)))
        return _Row(found.reveal()[0] or "", Hidden(found.reveal()[1] or ""))

    def _seal(self, canary: str) -> Seal:
        return Seal(self._ciphers, canary or None, self._place)

    def _decoded(self, seal: Seal, athlete_id: int, value: Hidden[str]) -> TokenSet | None:
        if not value.reveal():
            return None
        is_encrypted = not value.reveal().startswith(_PLAIN)
        return seal.decoded(self._application, athlete_id, value, is_encrypted=is_encrypted)

    def _rotated(self, rows: Hidden[list[str]]) -> Hidden[tuple[str | int, ...]]:
        """Return what the script needs for all rows; takes 0.1 ms for each."""
        values = Hidden(dict(zip(rows.reveal()[::2], rows.reveal()[1::2], strict=True)))
        canary = values.reveal().pop(_CANARY, "")
        seal = self._seal(canary)
        ids = sorted(map(int, values.reveal()))
        tokens = {each: self._decoded(seal, each, Hidden(values.reveal()[str(each)])) for each in ids}
        new_canary = seal.change()
        encoded = {
            each: seal.encoded(self._application, each, token) for each, token in tokens.items() if token is not None
        }
        return Hidden(
            (
                *(canary, new_canary),
                *(part for each in ids for part in (each, values.reveal()[str(each)], encoded[each].reveal())),
            )
        )

    async def _write(
        self, script: str, athlete_id: int, row: _Row, any_value: bool, canary: str, value: Hidden[str]
    ) -> str:
        """Have the server compare and write; return what it did.

        Raises:
            TokenStoreError: it is not confirmed, or the lock is another's by now.
        """
        keys = [self._tokens, self._lock_key(str(athlete_id))]
        compared = (athlete_id, self._locks.fence(keys[1]), row.canary, "any" if any_value else "this")
        arguments = Hidden[tuple[str | int, ...]]((*compared, row.value.reveal(), canary, value.reveal()))
        settings = self._settings
        confirmation = await self._look() if settings is None else self._confirmation(settings)
        before = frozenset(self._unconfirmed & {athlete_id})
        self._unconfirmed.add(athlete_id)  # until more is known, also if this is cancelled
        try:
            done, doubt = await self._server.run_confirmed(script, keys, arguments, confirmation)
        except RefusedError:
            self._unconfirmed -= {athlete_id} - before
            raise
        except TokenStoreError:
            self._settings = None  # it may be another server by now, or have been set otherwise
            raise
        if done == "done" and doubt:
            raise TokenStoreError(f"the tokens of athlete {athlete_id} are written, but {doubt}")
        self._unconfirmed -= {athlete_id} if done == "done" else {athlete_id} - before
        if done == "fenced":
            raise TokenStoreError(
                f"the lock on the tokens of athlete {athlete_id} has passed to another process while this one did not "
                "run: they were not saved; they are offered again at the next call"
            )
        return done

    async def _confirm(self, athlete_id: int) -> None:
        """Have what is there confirmed; it may be what this object has saved."""
        confirmation = await self._look()
        if confirmation == (False, 0):
            self._unconfirmed.discard(athlete_id)  # nobody will ever say so
            return
        _, doubt = await self._server.run_confirmed(scripts.TOUCH, [self._tokens], Hidden((athlete_id,)), confirmation)
        if doubt:
            raise TokenStoreError(f"the tokens of athlete {athlete_id} are written, but {doubt}")
        self._unconfirmed.discard(athlete_id)

    def _lock_key(self, name: str) -> str:
        return f"{self._prefix}:lock:{name}"

    def _restless(self, athlete_id: int) -> TokenStoreError:
        return TokenStoreError(
            f"the tokens of athlete {athlete_id} were changed whenever they had been read: try again"
        )


def _check(redis: object, application: object) -> None:
    """Raise InputError unless these are an async client and the name of an application."""
    if not isinstance(redis, Redis | RedisCluster):
        raise InputError(
            "RedisTokenStore takes a client of redis.asyncio, such as redis.asyncio.Redis.from_url(...): a sync one "
            "would stop the event loop"
        )
    if not isinstance(application, str) or not application or set(application) & set("{}"):
        raise InputError(
            "the application is a text without braces, such as the client id: it is in the name of each key"
        )
    try:
        application.encode()
    except UnicodeError as error:
        raise InputError("the name of the application is not valid Unicode") from error
