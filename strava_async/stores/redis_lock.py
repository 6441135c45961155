"""The lock of the Redis store: a lease with a rising fence, renewed while it is held; and how its holder sees it.

Rules:

- The tasks of one object queue here; one of them at a time asks the server, again and again, with pauses.
- A lease is given up when it is left, also by a cancelled holder, and also if the server's answer was still under way.
- Where the server is away, a lease ends by itself: there by its clock, here by a monotonic one, which is a bit earlier.
- What is lost stays lost for this holder: somebody else may be inside.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, TypeVar
from uuid import uuid4

import anyio

from strava_async._concurrency.keyed_lock import KeyedLock
from strava_async._hidden import Hidden
from strava_async.clock import Clock
from strava_async.errors import TokenStoreError
from strava_async.stores import redis_scripts as scripts
from strava_async.stores.redis_server import Arguments, Confirmation, RedisServer

T = TypeVar("T")

# So long a fence is remembered after the last use of its lock: no holder is stopped for longer and goes on.
_FENCE_SECONDS = 86_400
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.02, 0.25


class RedisLease:
    """A ``Lease`` whose seconds are counted from before the server was asked.

    Args:
        clock: whose seconds count.
        key: of the lock.

    Attributes:
        key: see above.
        holder: what the server knows this holder by.
        fence: larger than that of any holder before; empty until there is one.
        attempt: the last question for it.
    """

    def __init__(self, clock: Clock, key: str) -> None:
        self.key = key
        self.holder = uuid4().hex
        self.fence = ""
        self.attempt: asyncio.Task[Hidden[Any]] | None = None
        self._clock = clock
        self._until = -math.inf
        self._has_ended = False

    def held(self) -> bool:
        """Return whether nobody else can have been let in so far."""
        return not self._has_ended and self._clock.monotonic() < self._until

    def extend(self, until: float) -> None:
        """Note until when the server keeps others out, on ``clock.monotonic()``."""
        self._until = until

    def end(self) -> None:
        """Note that it is over: it was given up, or somebody else has it."""
        self._has_ended = True


class RedisLocks:
    """One lock for each key.

    Args:
        server: keeps them.
        clock: for leases and pauses.
        seconds: how long a lease lasts.
        timeout: how long to wait for one; seconds.
        confirmation: says who has to confirm that the server could keep what a holder is going to save.
    """

    def __init__(
        self,
        server: RedisServer,
        clock: Clock,
        *,
        seconds: float,
        timeout: float,
        confirmation: Callable[[], Awaitable[Confirmation]],
    ) -> None:
        self._server = server
        self._clock = clock
        self._seconds = seconds
        self._timeout = timeout
        self._confirmation = confirmation
        self._queue = KeyedLock()
        self._held: dict[str, RedisLease] = {}
        self._ending = set[asyncio.Task[Any]]()

    def fence(self, key: str) -> str:
        """Return the fence of the lease that this object has; empty if it has none."""
        lease = self._held.get(key)
        return "" if lease is None else lease.fence

    async def wait_idle(self) -> None:
        """Wait until what is being given up is free."""
        while self._ending:
            await asyncio.wait(self._ending)

    @asynccontextmanager
    async def hold(self, key: str) -> AsyncGenerator[RedisLease]:
        """Return a context that one holder at a time is in, among all that share the server.

        Before it lets anybody in, a write is confirmed: Strava is not asked for tokens that could not be kept.

        Raises:
            TokenStoreError: somebody else has held it all that time, or the server cannot be written.
        """
        lease = RedisLease(self._clock, key)
        give_up_at = anyio.current_time() + self._timeout
        async with AsyncExitStack() as stack:
            with anyio.CancelScope(deadline=give_up_at) as waiting:
                await stack.enter_async_context(self._queue.hold(key))
            if waiting.cancelled_caught:
                raise self._taken(key)
            stack.push_async_callback(self._give_up, lease)
            await self._take(lease, give_up_at)
            await self.prove(lease, await self._confirmation())
            renewals = asyncio.create_task(self._keep(lease))
            stack.callback(renewals.cancel)
            self._held[key] = lease
            stack.callback(self._held.pop, key)
            yield lease

    async def prove(self, lease: RedisLease, confirmation: Confirmation) -> None:
        """Renew a lease, and make sure that it is confirmed.

        Raises:
            TokenStoreError: it is not, or the lease is another's.
        """
        asked_at = self._clock.monotonic()
        kept, doubt = await self._server.run_confirmed(scripts.RENEW, [lease.key], self._arguments(lease), confirmation)
        if doubt:
            raise TokenStoreError(f"Redis could not keep what is saved now: a write was made, but {doubt}")
        if kept != "1":
            raise self._taken(lease.key)
        lease.extend(asked_at + self._seconds)

    async def _take(self, lease: RedisLease, give_up_at: float) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            attempt = self._server.run(scripts.TAKE, [lease.key], self._arguments(lease))
            fence, busy_ms = (await self._settled(lease, attempt)).reveal()
            if fence:
                lease.fence = fence
                return
            if anyio.current_time() >= give_up_at:
                raise self._taken(lease.key)
            await self._clock.sleep(min(pause, busy_ms / 1000))
            pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)

    async def _settled(self, lease: RedisLease, attempt: Coroutine[Any, Any, Hidden[Any]]) -> Hidden[Any]:
        """Await it in a task: a cancelled caller leaves it to ``_release``, which has to know what came of it."""
        lease.attempt = asyncio.create_task(attempt)
        await asyncio.wait({lease.attempt})
        return lease.attempt.result()

    async def _keep(self, lease: RedisLease) -> None:
        pause = self._seconds / 3
        while True:
            await self._clock.sleep(pause)
            asked_at = self._clock.monotonic()
            try:
                kept = await self._server.run(scripts.RENEW, [lease.key], self._arguments(lease))
            except TokenStoreError:
                pause = self._seconds / 10  # it may be back before the lease has run out
                continue
            if not kept.reveal():
                lease.end()
                return
            lease.extend(asked_at + self._seconds)
            pause = self._seconds / 3

    async def _give_up(self, lease: RedisLease) -> None:
        # The scope holds off anyio's cancellation, the task asyncio's.
        lease.end()
        ending = asyncio.create_task(self._release(lease))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        with anyio.CancelScope(shield=True):
            await asyncio.wait({ending})

    async def _release(self, lease: RedisLease) -> None:
        """Give it up, if it was had; where the server is away it ends by itself."""
        if lease.attempt is None:
            return
        with suppress(TokenStoreError):
            await asyncio.wait({lease.attempt})
            if lease.attempt.result().reveal()[0]:
                await self._server.run(scripts.RELEASE, [lease.key], Hidden((lease.holder,)))

    def _arguments(self, lease: RedisLease) -> Arguments:
        return Hidden((lease.holder, int(self._seconds * 1000), int((self._seconds + _FENCE_SECONDS) * 1000)))

    def _taken(self, key: str) -> TokenStoreError:
        return TokenStoreError(f"the lock {key} was not free for {self._timeout:g} s: see who holds it")
