"""A queue over a store that outlives its process, which other processes may share: ``SharedBackend``.

Rules:

- What is claimed is leased for half a minute, and renewed while its handler runs. A worker that is lost leaves it to
  the others when the lease ends.
- A store that cannot be used ends no worker. What is claimed is handled, and settled when the store is back; meanwhile
  no event is accepted. One WARNING says so, and one INFO when it is over.
- What could not be stored within a second is rejected, so that Strava sends it again.
- The result of a handler is stored even if its task is cancelled. If the event was taken over meanwhile, that is
  counted and logged: another worker handles it, or has.
- At shutdown nothing more is claimed. What is being handled is finished, or cancelled when the time is over, and is
  everybody's at once. Nothing needs to be kept elsewhere.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import anyio

from strava_async.clock import Clock
from strava_async.webhooks.backlog_guard import run_to_the_end
from strava_async.webhooks.base import Appended, Claim, EventStore, StoreStats
from strava_async.webhooks.bounded import call_within
from strava_async.webhooks.events import WebhookEvent
from strava_async.webhooks.handler_errors import event_label
from strava_async.webhooks.pending import Retry
from strava_async.webhooks.run import Run
from strava_async.webhooks.store_health import StoreHealth

LEASE_SECONDS = 30.0
RENEW_SECONDS = 10.0
APPEND_SECONDS = 1.0
# A store may wait for another process's transaction, or for a network; then it has failed, and is tried again.
CALL_SECONDS = 4.0
STATS_SECONDS = 15.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 8.0

T = TypeVar("T")

_logger = logging.getLogger("strava_async.webhooks")


class SharedBackend:
    """See ``run.Backend``.

    Args:
        store: where the events are.
        clock: times calls, leases and pauses.
    """

    counts_waiting = False

    def __init__(self, store: EventStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._health = StoreHealth()
        self._stats: StoreStats | None = None
        self._held: dict[Hashable, Claim] = {}
        self._unsettled: dict[Hashable, Callable[[], Awaitable[bool]]] = {}
        self._settled: set[Hashable] = set()
        self._lost: set[Hashable] = set()
        self._run: Run | None = None

    @asynccontextmanager
    async def running(self, run: Run) -> AsyncGenerator[None]:
        """See ``run.Backend``."""
        self._run = run
        self._held.clear()  # what a run has left whose event loop ended: its leases end
        self._unsettled.clear()
        self._settled.clear()
        self._lost.clear()
        async with self._store.running():
            try:
                yield
            finally:
                if self._run is run:
                    self._stats = None  # nobody looks any more
                    await run_to_the_end(self._settle_the_rest)

    async def work(self) -> None:
        """See ``run.Backend``."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._renew)
            tasks.start_soon(self._look)

    async def append(self, event: WebhookEvent) -> Appended:
        """See ``run.Backend``. Raises EventStoreError."""
        append = partial(self._store.append, event)
        try:
            appended = await call_within(self._clock, APPEND_SECONDS, "to store an event", append)
        except Exception as error:
            self._health.note_failure(error)
            raise
        self._health.note_success()
        return appended

    async def claim(self, n: int, *, deauthorizations: bool) -> Sequence[Claim]:
        """See ``run.Backend``."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            while self._health.is_away and self._unsettled:
                await self._clock.sleep(FIRST_PAUSE_SECONDS)  # what is finished comes first, or it may be claimed again
            try:
                claims = await self._store.claim(n, LEASE_SECONDS, deauthorizations=deauthorizations)
            except Exception as error:
                self._health.note_failure(error)
            else:
                self._health.note_success()
                self._held.update((claim.id, claim) for claim in claims)
                if not self._is_draining:
                    return claims
                await self._release(claims)  # the shutdown began meanwhile
                return []
            await self._clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def ack(self, claim: Claim, *, confirmed: bool) -> bool:
        """See ``run.Backend``."""
        return await self._settle(claim, partial(self._store.ack, claim, confirmed=confirmed))

    async def retry(self, claim: Claim, again: Retry, *, attempted_while_draining: bool) -> bool:
        """See ``run.Backend``."""
        return await self._settle(claim, partial(self._store.retry, claim, again.seconds))

    def is_last(self, *, attempted_while_draining: bool) -> bool:
        """See ``run.Backend``."""
        return False

    async def drain(self, run: Run) -> None:
        """See ``run.Backend``."""
        await self._release([claim for pool in run.pools for claim in pool.stop()])

    @property
    def is_idle(self) -> bool:
        """See ``run.Backend``."""
        return not self._held

    @property
    def is_away(self) -> bool:
        """See ``run.Backend``."""
        return self._health.is_away

    def stats(self) -> StoreStats | None:
        """See ``run.Backend``; as of the last look, up to a quarter of a minute ago."""
        return self._stats

    @property
    def _is_draining(self) -> bool:
        return self._run is not None and self._run.draining

    async def _settle(self, claim: Claim, call: Callable[[], Awaitable[bool]]) -> bool:
        self._unsettled[claim.id] = call
        pause = FIRST_PAUSE_SECONDS
        while (is_done := await self._settle_once(claim, call)) is None:
            await self._clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        self._forget(claim)  # with no await before the queue counts it, or the shutdown would cancel that
        if not is_done:
            _logger.warning("%s: was taken over by another worker meanwhile", event_label(claim.pending.event))
        return is_done

    async def _settle_once(self, claim: Claim, call: Callable[[], Awaitable[bool]]) -> bool | None:
        """Store a result, even if this is cancelled; return None if that failed."""
        results: list[bool] = []

        async def settle() -> None:
            is_done = await self._call("to store the result of an event", call)
            if is_done is not None:
                results.append(is_done)
                self._unsettled.pop(claim.id, None)
                self._settled.add(claim.id)

        try:
            await run_to_the_end(settle)
        except anyio.get_cancelled_exc_class():
            if not results:
                raise
            # It is settled, and the queue has to count it. Its next await is cancelled again.
        return results[0] if results else None

    async def _call(self, what: str, call: Callable[[], Awaitable[T]]) -> T | None:
        try:
            result = await call_within(self._clock, CALL_SECONDS, what, call)
        except Exception as error:
            self._health.note_failure(error)
            return None
        self._health.note_success()
        return result

    def _forget(self, claim: Claim) -> None:
        self._held.pop(claim.id, None)
        self._settled.discard(claim.id)
        self._lost.discard(claim.id)

    async def _release(self, claims: Sequence[Claim]) -> None:
        """Make events free for all workers, with their progress, even if this is cancelled."""

        async def release(claim: Claim) -> None:
            await self._call("to give an event back", partial(self._store.retry, claim, 0.0))
            self._forget(claim)
            if self._run is not None and self._is_draining and self.is_idle:
                self._run.idle.set()

        async def release_all() -> None:
            async with anyio.create_task_group() as tasks:  # together: a store may write them at once
                for claim in claims:
                    tasks.start_soon(release, claim)

        if claims:
            await run_to_the_end(release_all)

    async def _settle_the_rest(self) -> None:
        finished = [
            (self._held[claim_id], call) for claim_id, call in self._unsettled.items() if claim_id in self._held
        ]
        async with anyio.create_task_group() as tasks:
            for claim, call in finished:
                tasks.start_soon(self._settle_once, claim, call)
        if self._unsettled:
            text = "%d finished webhook events may be handled again, because their store is away"
            _logger.error(text, len(self._unsettled))
        # What a thread is still working on is nobody else's while its lease lasts.
        left = [
            claim
            for claim_id, claim in self._held.items()
            if claim_id not in {*self._unsettled, *self._settled} and not claim.pending.runs_on
        ]
        if left:
            _logger.info("%d webhook events were given back, for another process or the next start", len(left))
        await self._release(left)

    async def _renew(self) -> None:
        """Renew the leases of what is claimed; never returns."""
        while True:
            await self._clock.sleep(RENEW_SECONDS)
            claims = [claim for claim_id, claim in self._held.items() if claim_id not in self._lost]
            if not claims:
                continue
            renewed = await self._call("to renew leases", partial(self._store.renew, claims, LEASE_SECONDS))
            for claim, is_valid in zip(claims, renewed or (), strict=False):
                if not is_valid and claim.id in self._held:
                    self._lost.add(claim.id)

    async def _look(self) -> None:
        """Look how many events wait, and whether the store is there; never returns."""
        while True:
            self._stats = await self._call("to count the events", self._store.stats)
            if self._run is not None and self._stats is not None and self._stats.ready_seconds is not None:
                self._run.watch.wake()
            await self._clock.sleep(FIRST_PAUSE_SECONDS if self._health.is_away else STATS_SECONDS)
