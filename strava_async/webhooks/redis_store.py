"""Webhook events on a Redis server, shared by processes on any number of hosts (extra ``redis``)."""

from __future__ import annotations

import json
import logging
import math
from collections import OrderedDict
from collections.abc import AsyncGenerator, Hashable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import anyio
import sniffio
from redis.asyncio import Redis, RedisCluster

from strava_async._concurrency.loop_binding import LoopBinding
from strava_async._hidden import Hidden
from strava_async.clock import Clock, SystemClock
from strava_async.errors import EventStoreError, InputError
from strava_async.stores.redis_client import check_client, check_exchange, place, prefix, server_of
from strava_async.stores.redis_inspection import Inspection, Stakes
from strava_async.stores.redis_server import Confirmation
from strava_async.webhooks import redis_admin_scripts, redis_owner_scripts
from strava_async.webhooks import redis_scripts as scripts
from strava_async.webhooks.arguments import check_positive
from strava_async.webhooks.backlog import PersistedEvent
from strava_async.webhooks.base import Appended, Claim, StoredEvent, StoreStats
from strava_async.webhooks.events import WebhookEvent
from strava_async.webhooks.pending import WaitReason
from strava_async.webhooks.redis_polling import POLL_SECONDS, Answer, Poller
from strava_async.webhooks.redis_values import claims_of, lane_name, milliseconds, stats_of, stored_event

# So often a server is asked whether its settings are still those.
LOOK_SECONDS = 60.0
REMEMBERED_EVENTS = 100_000
MOST_DOUBTFUL = 1_000
EVENTS_AT_ONCE = 500  # a server does nothing else while it lists them

_logger = logging.getLogger("strava_async.webhooks")


class RedisEventStore:
    """An ``EventStore`` on Redis 7 or later, or a server that speaks as it does, such as Valkey. Runs on asyncio.

    ``redis`` is the caller's: a client of one server, of Sentinel (``master_for``) or of a cluster. TLS, password and
    timeouts are its affair, and it is never closed. The store belongs to the event loop that uses it. Each method is
    one round trip, and may be repeated after a lost answer. The first call, and one a minute, looks at the server's
    settings too: three more.

    What is stored is as safe as the server's settings: ``appendonly yes`` with ``appendfsync always`` loses nothing.
    Weaker settings are one WARNING of the logger ``strava_async.webhooks``, which says what a crash of the server
    loses; Strava does not send an event again that it was thanked for. Unlike a token, an event does not wait for the
    log with ``appendfsync everysec``: that takes up to a second, and Strava waits for two. With ``replicas`` it waits
    for them, so that a failover loses none. ``FLUSHALL`` loses all. A server that throws keys away when its memory is
    full is refused; a full one accepts no events, and what it has is handled.

    While nothing is due, a process asks twice a second. The clocks of the processes do not matter: time is the
    server's.

    A user that may do just this::

        ACL SETUSER NAME on >PASSWORD ~{strava:*}:events* +eval +info +time +config|get +get +set +hset +hmget
            +hdel +hlen +hincrby +zadd +zrem +zscore +zcard +zrange +lpop +rpop +rpush +llen +lindex +lrem +sadd +srem
            +smembers

    It needs ``+wait`` with ``replicas``; without ``+config|get`` the warning is that the server does not tell. The
    client of a cluster needs more by itself, such as ``+cluster``.

    Args:
        redis: a ``redis.asyncio.Redis`` or ``redis.asyncio.RedisCluster``.
        application: whose events these are, such as the client id; a text without braces. All keys begin with
            ``{strava:<application>}:events``.
        max_unfinished: how many events may be unfinished, in all processes.
        max_unfinished_of_owner: how many of one athlete.
        replicas: how many replicas have to confirm an event before Strava is answered.
        timeout: how long one exchange with the server may take; seconds, 60 at most.
        clock: for tests: its ``monotonic()`` takes the place of the server's time. None means the server's.

    Raises:
        InputError: an argument is invalid, or ``redis`` is a sync client. Methods raise it on trio and in another event
            loop; and EventStoreError where the server cannot be reached or refuses, with the remedy.
    """

    def __init__(
        self,
        redis: Redis | RedisCluster,
        *,
        application: str,
        max_unfinished: int = 100_000,
        max_unfinished_of_owner: int = 100,
        replicas: int = 0,
        timeout: float = 5.0,
        clock: Clock | None = None,
    ) -> None:
        check_client(redis, application, "RedisEventStore")
        check_exchange(timeout, replicas)
        check_positive("max_unfinished", max_unfinished)
        check_positive("max_unfinished_of_owner", max_unfinished_of_owner)
        self._application = application
        self._place = place(application)
        self._key = f"{prefix(application)}:events"
        self._keys = [self._key, f"{self._key}:none"]
        self._bounds = (max_unfinished, max_unfinished_of_owner, max(REMEMBERED_EVENTS, 2 * max_unfinished))
        self._replicas = replicas
        self._has_own_time = clock is not None
        self._clock = clock or SystemClock()
        self._server = server_of(
            redis, application=application, keys=":events*", timeout=timeout, error=EventStoreError
        )
        stakes = Stakes("events", "events accepted", waits=False, error=EventStoreError, logger=_logger)
        self._inspection = Inspection(self._server, self._key, self._place, stakes)
        self._loop = LoopBinding("this event store")
        self._begin_loop()

    @property
    def application(self) -> str:
        """The application whose events these are."""
        return self._application

    def __repr__(self) -> str:
        return f"<RedisEventStore {self._application!r}>"

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """See ``EventStore``. It keeps nothing: each claim asks for itself."""
        yield

    # -- EventStore

    async def append(self, event: WebhookEvent) -> Appended:
        """See ``EventStore``.

        Raises:
            EventStoreError: also where too few replicas have confirmed it; it is in the store then all the same.
        """
        await self._enter()
        row = PersistedEvent(event, self._clock.time()).to_json()
        arguments = self._arguments(event.key, row, lane_name(event), *self._bounds)
        confirmation = Confirmation(log=False, replicas=self._replicas)
        try:
            told, doubt = await self._server.run_confirmed(scripts.APPEND, self._keys, arguments, confirmation)
        except EventStoreError:
            self._look_again()
            raise
        if doubt and told in {"stored", "superseded", "duplicate"}:
            raise EventStoreError(f"{self._place} has the event, but {doubt}")
        self._pollers[event.is_deauthorization].wake()
        return Appended(told)

    async def claim(self, n: int, lease: float, *, deauthorizations: bool = False) -> Sequence[Claim]:
        """See ``EventStore``."""
        await self._enter()

        async def ask() -> Answer:
            await self._enter()
            return await self._claim(n, lease, deauthorizations)

        return await self._pollers[deauthorizations].claim(ask)

    async def renew(self, claims: Sequence[Claim], lease: float) -> Sequence[bool]:
        """See ``EventStore``."""
        if not claims:
            return []
        told = await self._run(scripts.RENEW, milliseconds(lease), *(str(claim.id) for claim in claims))
        return [each == "1" for each in told]

    async def ack(self, claim: Claim, *, confirmed: bool = False) -> bool:
        """See ``EventStore``."""
        was_not_found = claim.pending.standing.was_not_found
        arguments = (str(claim.id), int(confirmed), int(was_not_found))
        told = await self._run(redis_owner_scripts.ACK, *arguments, doubt=("ack", claim.id))
        if told == "2":
            self._wake()
        return bool(told != "0")

    async def retry(self, claim: Claim, seconds: float) -> bool:
        """See ``EventStore``."""
        pending = claim.pending
        row, waits_for_turn = PersistedEvent.of(pending).to_json(), pending.waits_for is WaitReason.OWNER_TURN
        arguments = (str(claim.id), milliseconds(seconds), row, int(waits_for_turn))
        told = await self._run(scripts.RETRY, *arguments, doubt=("retry", claim.id))
        if seconds < POLL_SECONDS:
            self._wake()
        return bool(told == "1")

    # -- OwnerBounds

    async def turn(self, owner_id: int, *, unless_doubted: bool = False) -> float:
        """See ``OwnerBounds``."""
        told = int(await self._run(redis_owner_scripts.TURN, owner_id, int(unless_doubted)))
        return math.inf if told < 0 else told / 1000

    async def not_found(self, owner_id: int) -> bool:
        """See ``OwnerBounds``."""
        return bool(await self._run(redis_owner_scripts.NOT_FOUND, owner_id) == "1")

    # -- EventAdmin

    async def stats(self) -> StoreStats:
        """See ``EventStore``."""
        return stats_of(*json.loads(await self._run(redis_admin_scripts.STATS)))

    async def events(self, *, limit: int = 100) -> Sequence[StoredEvent]:
        """See ``EventAdmin``. One round trip for 500."""
        check_positive("limit", limit)
        found: list[StoredEvent] = []
        for first in range(0, limit, EVENTS_AT_ONCE):
            last = min(first + EVENTS_AT_ONCE, limit) - 1
            rows = json.loads(await self._run(redis_admin_scripts.EVENTS, first, last))
            found += filter(None, (stored_event(*row) for row in rows))
            if len(rows) <= last - first:
                break
        return found

    async def retry_now(self, key: str) -> bool:
        """See ``EventAdmin``."""
        return await self._intervene(redis_admin_scripts.RETRY_NOW, key)

    async def drop(self, key: str) -> bool:
        """See ``EventAdmin``."""
        return await self._intervene(redis_admin_scripts.DROP, key)

    # What each method begins with

    def _begin_loop(self) -> None:
        self._pollers = dict(zip((False, True), Poller.pair(self._clock), strict=True))
        self._looking = anyio.Lock()
        self._looked_at = -math.inf
        self._doubtful: OrderedDict[Hashable, str] = OrderedDict()

    async def _enter(self) -> None:
        if sniffio.current_async_library() != "asyncio":
            raise InputError("RedisEventStore runs on asyncio, as redis-py does: use SqliteEventStore on trio")
        if self._loop.enter():
            self._begin_loop()
        if self._is_to_look:
            async with self._looking:
                if self._is_to_look:
                    await self._look()

    @property
    def _is_to_look(self) -> bool:
        return self._clock.monotonic() - self._looked_at >= LOOK_SECONDS

    def _look_again(self) -> None:
        self._looked_at = -math.inf  # it may be another server by now, or have been set otherwise

    async def _look(self) -> None:
        """Look at the server's settings, and try whether this user may do what is needed."""
        await self._inspection.look()
        await self._server.run(scripts.CHECK, self._keys, self._arguments())
        self._looked_at = self._clock.monotonic()

    # Calls

    async def _claim(self, n: int, lease: float, deauthorizations: bool) -> Answer:
        kind = "deauthorizations" if deauthorizations else "lanes"
        found, *waits = json.loads(await self._send(scripts.CLAIM, kind, n, milliseconds(lease), doubt=kind))
        seconds = (math.inf if wait < 0 else wait / 1000 for wait in waits)
        return Answer(claims_of(found or [], self._clock, self._place), *seconds)

    async def _intervene(self, script: str, key: str) -> bool:
        is_done = bool(await self._run(script, key) == "1")
        if is_done:
            self._wake()
        return is_done

    def _wake(self) -> None:
        for poller in self._pollers.values():
            poller.wake()

    async def _run(self, script: str, *arguments: str | int, doubt: Hashable = None) -> Any:
        await self._enter()
        return await self._send(script, *arguments, doubt=doubt)

    async def _send(self, script: str, *arguments: str | int, doubt: Hashable = None) -> Any:
        """Return what a script returns.

        Args:
            script: what to run.
            arguments: of the script.
            doubt: what the call is about: if its answer is lost, the next about the same gets that answer.
        """
        call = self._doubtful.pop(doubt, None) or uuid4().hex
        try:
            return (await self._server.run(script, self._keys, self._arguments(*arguments, call=call))).reveal()
        except BaseException as error:
            if doubt is not None:
                self._doubtful[doubt] = call
                while len(self._doubtful) > MOST_DOUBTFUL:
                    self._doubtful.popitem(last=False)
            if isinstance(error, EventStoreError):
                self._look_again()
            raise

    def _arguments(self, *arguments: str | int, call: str = "") -> Hidden[tuple[str | int, ...]]:
        now = str(round(self._clock.monotonic() * 1000)) if self._has_own_time else ""
        return Hidden((now, call or uuid4().hex, *arguments))
