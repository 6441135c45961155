"""What the athletes of one run have in common: limits, counts, and how things are written."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from strava_async.clock import Clock
from strava_async.errors import QuotaExceededError
from strava_async.harvest.agenda import Terms
from strava_async.harvest.base import Changes, HarvestStore, Resource, State
from strava_async.harvest.failures import InARow
from strava_async.harvest.kinds import Kind
from strava_async.harvest.listing import renewal_seconds
from strava_async.harvest.outcome import MOST_FAILURES, Counts, Failure
from strava_async.harvest.plan import Plan
from strava_async.harvest.retention import Retention
from strava_async.harvest.tally import Tally
from strava_async.harvest.timekeeper import Timekeeper
from strava_async.harvest.writer import Writer
from strava_async.quota.readings import Quota


@dataclass(frozen=True, slots=True)
class Limits:
    """When a run ends before everything is done.

    Attributes:
        until: no request is sent later; epoch seconds. None means no limit.
        max_requests: no more than these, but for the pages of a list of comments or kudos; None means no limit.
        max_wait: how long a request may wait for quota; seconds. None means as long as ``until`` allows.
        list_again_seconds: how long after a list was read it is read again; 0 where that is done in each run.
        is_slice: whether it is one of many short runs, which share what is done twice a day.
    """

    until: float | None = None
    max_requests: int | None = None
    max_wait: float | None = None
    list_again_seconds: float = 0.0
    is_slice: bool = False


class Session:
    """One run.

    Args:
        store: where everything goes.
        plan: what is wanted.
        keep: how long; seconds. None means until it is deleted.
        clock: tells the time.
        limits: when it ends.
        notify: called when something was stored or has failed.
        quota: returns the meters, by which the time is confirmed.
        tally: counts how far each kind is; None where nobody asks.

    Attributes:
        store, plan, keep, clock, limits, tally: see above.
        timekeeper: tells the time that is stored.
        retention: deletes what is too old.
        row: the failures in a row.
        stopped: whether no more requests are to be begun.
        busy: how many requests of each athlete are under way, or wait for quota.
        stopped_until: when it can go on, if something has stopped it for a time; epoch seconds by the machine's clock.
        quota_at: the same, if that is a want of quota.
        is_partial: whether something that is wanted did not come, now or before.
    """

    def __init__(
        self,
        store: HarvestStore,
        plan: Plan,
        keep: float | None,
        clock: Clock,
        limits: Limits,
        *,
        quota: Callable[[], Quota],
        notify: Callable[[], None] = lambda: None,
        tally: Tally | None = None,
    ) -> None:
        self.store = store
        self.plan = plan
        self.keep = keep
        self.clock = clock
        self.limits = limits
        self.tally = tally
        self.timekeeper = Timekeeper(clock, quota)
        self.retention = Retention(store, keep, clock, self.timekeeper, is_shared=limits.is_slice)
        self.busy: Counter[int] = Counter()
        self.row = InARow()
        self.stopped = False
        self.is_partial = False
        self.stopped_until: float | None = None
        self.quota_at: float | None = None
        self._notify = notify
        self._writer = Writer(store)
        self._requests = self._listed = self._gone = self._failed = 0
        self._states: Counter[State] = Counter()
        self._stored: Counter[Kind] = Counter()
        self._failures: deque[Failure] = deque(maxlen=MOST_FAILURES)
        self._due_at = math.inf  # by ``now``

    def now(self) -> float:
        """Return the time by which something is stored, and is due; epoch seconds."""
        return self.timekeeper.time()

    @property
    def terms(self) -> Terms:
        """By what it is decided now whether something is due."""
        now, age = self.now(), renewal_seconds(self.keep)
        return Terms(self.plan, now, None if age is None else now - age)

    @property
    def counts(self) -> Counts:
        """What it has done."""
        return Counts(
            requests=self._requests - self.busy.total(),
            listed=self._listed,
            stored=dict(self._stored),
            none=self._states[State.NONE],
            pending=self._states[State.PENDING],
            gone=self._gone,
            failed=self._failed,
            purged=self.retention.purged,
        )

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The last of them."""
        return tuple(self._failures)

    @property
    def resume_at(self) -> float | None:
        """When there is something to do again, as far as that is known; by the machine's clock."""
        due = None if self._due_at == math.inf else self.timekeeper.on_machine(self._due_at)
        return due if self.stopped_until is None else max(due or 0.0, self.stopped_until)

    def may_begin(self) -> bool:
        """Reserve a request, if there may be another one; else everything stops."""
        most, until = self.limits.max_requests, self.limits.until
        if (most is not None and self._requests >= most) or (until is not None and self.clock.time() >= until):
            self.stop()
        if self.stopped:
            return False
        self._requests += 1
        return True

    def max_wait(self) -> float | None:
        """Return how long a request that begins now may wait for quota."""
        bounds = [] if self.limits.until is None else [max(0.0, self.limits.until - self.clock.time())]
        if self.limits.max_wait is not None:
            bounds.append(self.limits.max_wait)
        return min(bounds, default=None)

    def counter(self) -> Callable[[], AbstractContextManager[None]]:
        """Return what counts the requests of one job, of which the first is reserved, and is entered around each."""
        sent = 0

        def count() -> AbstractContextManager[None]:
            nonlocal sent
            sent += 1
            self._requests += sent > 1
            return self._writer.asking()

        return count

    def stop(self, seconds: float | None = None) -> None:
        """Begin no more requests; after so many seconds they may begin again."""
        self.stopped = self.is_partial = True
        if seconds is not None:
            self.stopped_until = self.clock.time() + seconds
            self.come_back(self.now() + seconds)

    def not_sent(self, error: QuotaExceededError) -> bool:
        """Note that a request was not sent; return whether it may be tried again at once."""
        until = self.limits.until
        if error.awaits and not self.stopped and (until is None or self.clock.time() < until):
            return True
        self._requests -= 1
        self.stop(error.wait_seconds)
        self.quota_at = self.stopped_until
        return False

    def free(self, athlete_id: int) -> None:
        """Note that a request of an athlete's is not under way any more."""
        self.busy[athlete_id] -= 1
        if not self.busy[athlete_id]:
            del self.busy[athlete_id]

    def come_back(self, at: float) -> None:
        """Note when there is something to do again, by ``now``."""
        self._due_at = min(self._due_at, at)

    def await_retry(self, resource: Resource) -> None:
        """Note that something failed, or was not ready, and is asked for again later."""
        if resource.retry_at is not None:
            self.come_back(resource.retry_at)
        self.is_partial = self.is_partial or resource.state == State.FAILED

    def fail(self, failure: Failure) -> None:
        """Note a failure."""
        self._failed += 1
        self.is_partial = True
        self._failures.append(failure)
        self._notify()

    async def end(self) -> None:
        """Do what is to be done after the last request."""
        await self.retention.end(has_deleted=self._gone > 0)

    async def write(self, changes: Changes, *, listed: int = 0) -> None:
        """Write, whatever is cancelled meanwhile: it has cost quota."""
        await self._writer.write(changes)
        self._listed += listed
        self._gone += len(changes.gone)
        for resource in changes.resources:
            self._count(resource)
        if self.tally is not None:
            for resource in changes.resources:
                self.tally.add(changes.athlete_id, resource)
            for _ in changes.gone:
                self.tally.remove(changes.athlete_id)
        self._notify()

    async def wait_idle(self) -> None:
        """Wait until everything is written."""
        await self._writer.wait_idle()

    def _count(self, resource: Resource) -> None:
        self._states[resource.state] += 1
        if resource.state == State.STORED:
            self._stored[resource.kind] += 1
        if resource.retry_at is not None:
            self.come_back(resource.retry_at)
