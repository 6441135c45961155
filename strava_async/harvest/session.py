"""What the athletes of one run have in common: limits, counts, and how things are written."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from strava_async._concurrency.shield import InFlight, call_shielded
from strava_async.clock import Clock
from strava_async.errors import QuotaExceededError
from strava_async.harvest.agenda import Terms
from strava_async.harvest.base import Changes, HarvestStore, Resource, State
from strava_async.harvest.failures import InARow
from strava_async.harvest.kinds import Kind
from strava_async.harvest.listing import pass_seconds, renewal_seconds
from strava_async.harvest.outcome import MOST_FAILURES, Counts, Failure
from strava_async.harvest.plan import Plan
from strava_async.harvest.tally import Tally


@dataclass(frozen=True, slots=True)
class Limits:
    """When a run ends before everything is done.

    Attributes:
        until: no request is sent later; epoch seconds. None means no limit.
        max_requests: no more than these, but for the pages of a list of comments or kudos; None means no limit.
        max_wait: how long a request may wait for quota; seconds. None means as long as ``until`` allows.
        list_again_seconds: how long after a list was read it is read again.
    """

    until: float | None = None
    max_requests: int | None = None
    max_wait: float | None = None
    list_again_seconds: float = 0.0


class Session:
    """One run.

    Args:
        store: where everything goes.
        plan: what is wanted.
        keep: how long; seconds. None means until it is deleted.
        clock: tells the time.
        limits: when it ends.
        notify: called when something was stored or has failed.
        tally: counts how far each kind is; None where nobody asks.

    Attributes:
        store, plan, keep, clock, limits, tally: see above.
        row: the failures in a row.
        stopped: whether no more requests are to be begun.
        busy: how many requests of each athlete are under way, or wait for quota.
        quota_at: when there is quota again, if that has stopped it; epoch seconds.
        is_partial: whether something that is wanted did not come, now or before.
    """

    def __init__(
        self,
        store: HarvestStore,
        plan: Plan,
        keep: float | None,
        clock: Clock,
        limits: Limits,
        notify: Callable[[], None] = lambda: None,
        tally: Tally | None = None,
    ) -> None:
        self.store = store
        self.plan = plan
        self.keep = keep
        self.clock = clock
        self.limits = limits
        self.tally = tally
        self.busy: Counter[int] = Counter()
        self.row = InARow()
        self.stopped = False
        self.is_partial = False
        self.quota_at: float | None = None
        self._notify = notify
        self._writes = InFlight()
        self._requests = self._listed = self._gone = self._failed = self._purged = 0
        self._purged_at = -math.inf
        self._states: Counter[State] = Counter()
        self._stored: Counter[Kind] = Counter()
        self._failures: deque[Failure] = deque(maxlen=MOST_FAILURES)
        self._resume_at: list[float] = []

    @property
    def terms(self) -> Terms:
        """By what it is decided now whether something is due."""
        now, age = self.clock.time(), renewal_seconds(self.keep)
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
            purged=self._purged,
        )

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The last of them."""
        return tuple(self._failures)

    @property
    def resume_at(self) -> float | None:
        """When there is something to do again, as far as that is known."""
        return min(self._resume_at, default=None)

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

    def counter(self) -> Callable[[], None]:
        """Return what counts the requests of one job, of which the first is reserved."""
        sent = 0

        def count() -> None:
            nonlocal sent
            sent += 1
            self._requests += sent > 1

        return count

    def stop(self, resume_at: float | None = None) -> None:
        """Begin no more requests."""
        self.stopped = self.is_partial = True
        if resume_at is not None:
            self.quota_at = resume_at
            self.come_back(resume_at)

    def not_sent(self, error: QuotaExceededError) -> bool:
        """Note that a request was not sent; return whether it may be tried again at once."""
        until = self.limits.until
        if error.awaits and not self.stopped and (until is None or self.clock.time() < until):
            return True
        self._requests -= 1
        self.stop(error.resume_at)
        return False

    def come_back(self, at: float) -> None:
        """Note when there is something to do again."""
        self._resume_at.append(at)
        self._resume_at = [min(self._resume_at)]

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

    async def purge_if_due(self) -> None:
        """Delete what is older than ``keep``, and the traces of what was deleted, unless that was done a moment ago."""
        now = self.clock.monotonic()
        if now - self._purged_at >= pass_seconds(self.keep) / 2:
            self._purged_at = now
            self._purged += await self.store.purge(self.clock.time() - (self.keep or math.inf))

    async def write(self, changes: Changes, *, listed: int = 0) -> None:
        """Write, whatever is cancelled meanwhile: it has cost quota."""

        async def work() -> None:
            await self.store.write(changes)

        await call_shielded(work, self._writes.begin())
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
        await self._writes.wait_idle()

    def _count(self, resource: Resource) -> None:
        self._states[resource.state] += 1
        if resource.state == State.STORED:
            self._stored[resource.kind] += 1
        if resource.retry_at is not None:
            self.come_back(resource.retry_at)
