"""``Harvest``: brings a store up to date with what Strava has of an application's athletes."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import anyio

from strava_async.application import Strava
from strava_async.clock import Clock
from strava_async.errors import InputError
from strava_async.harvest import arguments
from strava_async.harvest.base import Changes, HarvestStore
from strava_async.harvest.callers import CALLERS, share
from strava_async.harvest.deletion import delete_athlete, delete_older
from strava_async.harvest.estimate import RESERVE, Estimate, estimated
from strava_async.harvest.lane import Lane
from strava_async.harvest.listing import DAY_SECONDS, spare_seconds
from strava_async.harvest.outcome import Followed, Outcome, Progress, Slice
from strava_async.harvest.plan import Plan
from strava_async.harvest.run_notes import noted
from strava_async.harvest.session import Limits, Session
from strava_async.harvest.survey import surveyed
from strava_async.harvest.tally import Tally
from strava_async.quota.values import Priority, QuotaClass
from strava_async.stores._values import check_athlete_id
from strava_async.webhooks.events import WebhookEvent

# Of all athletes of a run together, so many activities are looked at ahead.
_LOOKED_AT = 20_000
_DEFAULT_PLAN = Plan()
_SLICE_WAIT_SECONDS = 2.0
_SLICE_LIST_SECONDS = 12 * 3_600.0
_FEW_LIST_SECONDS = 3_600.0


class Harvest:
    """Fetches what a plan wants of an application's athletes, and keeps it in a store.

    Whatever stops it, the next one goes on from there. Requests are of ``Priority.BACKGROUND``, and leave a reserve of
    the quota to others. Usable on asyncio and trio.

    Args:
        strava: the application.
        store: where everything goes.
        keep: how long what came may be kept; it is fetched again before that, as long as it is wanted, and deleted
            then. None keeps it until Strava does not have it any more, or it is deleted. Strava allows seven days.
        plan: what is wanted.
        concurrency: how many requests are under way at once, at the most.
        clock: tells the time; None means the application's.

    Raises:
        InputError: ``keep`` is no time, ``concurrency`` is not from 1 to 1,000, or ``plan.since`` lies in the future.
    """

    def __init__(
        self,
        strava: Strava,
        store: HarvestStore,
        *,
        keep: timedelta | None,
        plan: Plan = _DEFAULT_PLAN,
        concurrency: int = CALLERS,
        clock: Clock | None = None,
    ) -> None:
        arguments.check_keep(keep)
        self._strava = strava.with_options(priority=Priority.BACKGROUND, max_wait=None)
        self._store = store
        self._keep = None if keep is None else keep.total_seconds()
        arguments.check_concurrency(concurrency)
        arguments.check_plan(plan)
        self._plan = plan
        self._concurrency = concurrency
        self._clock = clock or strava.clock
        plan.check(self._clock.time())

    async def run(
        self,
        athlete_ids: Iterable[int] | None = None,
        *,
        until: float | None = None,
        max_requests: int | None = None,
        max_wait: float | None = None,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> Outcome:
        """Fetch all that is wanted, and wait for quota as long as it takes: hours, or days.

        Athletes take turns, one request each; of each the newest activities come first. What is older than ``keep`` is
        deleted as soon as answers have confirmed the time, and each day. It costs a request for every 200 activities of
        a list, of which only the last weeks are read again within a week, and those that the plan names. What fails is
        asked for again after 15 minutes, an hour, six hours, a day. A run that lasts for days begins anew each day,
        where it is quickly through with what is there.

        Args:
            athlete_ids: whose; None means every connected athlete.
            until: no request is sent later; epoch seconds. None means no limit.
            max_requests: how many requests may be sent, in which no list is read twice in an hour; None means no limit.
            max_wait: seconds that a request may wait for quota; then the run ends, and ``Outcome.quota_at`` says when
                there is some. None means as long as it takes.
            on_progress: called on the event loop when something was stored or has failed, and at the end. With it all
                that is held of an athlete is counted once more after the list.

        Returns:
            how it ended; after ten failures in a row too, with ``complete`` False.

        Raises:
            InputError: an athlete is not connected, or a number is invalid; nothing was sent.
            StoreError: the store cannot be used, or another harvest uses it: it says which.
            StravaError: the application's credentials, its subscription, or the limiter is at fault. What was stored
                stays.
        """
        ids = await self._athletes(athlete_ids)
        arguments.check_count(max_requests, "max_requests")
        arguments.check_positive(max_wait, "max_wait")
        arguments.check_instant(until, "until")
        arguments.check_function(on_progress, "on_progress")
        lanes: dict[int, Lane] = {}

        def notify() -> None:
            if on_progress is not None:
                left = len(lanes) + sum(athlete_id not in lanes for athlete_id in session.busy)
                on_progress(self._progress(session, left, len(ids)))

        list_again = 0.0 if max_requests is None else _FEW_LIST_SECONDS  # few requests would be for lists alone
        limits = Limits(until, max_requests, max_wait, list_again)
        session = self._session(limits, notify, None if on_progress is None else Tally())
        async with self._held(ids), noted(self._store, session):
            await self._run(session, ids, lanes)
        notify()
        return Outcome(not session.is_partial, session.resume_at, session.counts, session.failures, session.quota_at)

    async def slice(self, athlete_id: int, *, seconds: float = 300.0, max_requests: int | None = None) -> Slice:
        """Fetch what is wanted of one athlete for a while, for a task of a queue. Never waits for a window.

        It costs what ``run`` costs, but the list is read at most every 12 hours.

        Args:
            athlete_id: whose.
            seconds: no request is sent later than that.
            max_requests: how many requests may be sent; None means no limit.

        Returns:
            how far it came, and when to call this again.

        Raises:
            InputError, StoreError, StravaError: as in ``run``.
        """
        ids = await self._athletes([athlete_id])
        arguments.check_positive(seconds, "seconds")
        arguments.check_count(max_requests, "max_requests")
        now = self._clock.time()
        session = self._session(Limits(now + seconds, max_requests, _SLICE_WAIT_SECONDS, _SLICE_LIST_SECONDS, True))
        async with self._held(ids):
            await self._run(session, ids, {})
        now = self._clock.time()
        resume_at = min(session.resume_at or math.inf, now + min(_SLICE_LIST_SECONDS, spare_seconds(self._keep)))
        if session.stopped:
            resume_at = session.stopped_until or now
        return Slice(not session.is_partial, max(resume_at, now), session.counts, session.failures)

    async def follow(self, event: WebhookEvent) -> Followed:
        """Let an event of a webhook become work for the next run, or for the one that is running.

        Anybody can send an event: none is believed. An activity is asked about, which costs a request, and deleted
        where Strava does not have it. Of an athlete's events 20 a day are followed so; of more the list is read again,
        twice a day at the most. A deauthorization has the tokens renewed, which costs no quota; if Strava refuses
        that, the tokens and everything of the athlete are deleted. Where the tokens were deleted by something else
        before, nothing is: call ``purge`` where that is done, such as in ``on_disconnect``. May be called while another
        process runs the harvest.

        Returns:
            what came of it.

        Raises:
            StoreError: it cannot be written.
            InvalidClientError, TransportError, ServerError: it could not be determined whether a grant is revoked; the
                event is to be followed again.
        """
        are_ids = 0 < event.owner_id < 2**63 and 0 < event.object_id < 2**63
        if not are_ids or await self._store.state(event.owner_id) is None:
            return Followed.IGNORED
        if event.object_type == "activity":
            day = int(self._clock.time() // DAY_SECONDS)
            await self._store.write(Changes(event.owner_id, check=[event.object_id], day=day))
            return Followed.QUEUED
        if not event.is_deauthorization:
            return Followed.IGNORED
        if not await self._strava.forget_if_revoked(event.owner_id):
            return Followed.UNCONFIRMED
        await delete_athlete(self._store, event.owner_id)
        return Followed.DELETED

    async def purge(self, *, athlete_id: int | None = None, older_than: timedelta | None = None) -> int:
        """Delete what is held of an athlete, or what came longer ago; no byte of it is left in the store's files.

        It leaves the store's exports, too. Makes no requests: an age is by the machine's clock here. What was deleted
        by age and is still wanted is fetched again by the next run.

        Args:
            athlete_id: whose; then everything is deleted.
            older_than: how long ago it came at least.

        Returns:
            how many activities and resources were deleted.

        Raises:
            InputError: neither or both are given, or the age is no time.
            StoreError: the store cannot be used.
        """
        if (athlete_id is None) == (older_than is None):
            raise InputError("purge takes either athlete_id or older_than")
        if athlete_id is not None:
            check_athlete_id(athlete_id)
            return await delete_athlete(self._store, athlete_id)
        age = arguments.checked_age(older_than, "older_than")
        return await delete_older(self._store, self._clock.time() - age.total_seconds())

    async def estimate(self, athlete_ids: Iterable[int] | None = None, *, reserve: float = RESERVE) -> Estimate:
        """Return how many requests a run would take from now on, and when it would be done. Makes no requests.

        It counts what is missing in the store, what is to be renewed because of ``keep`` until then, and the quota that
        is left, as if nobody else spent any.

        Args:
            athlete_ids: whose; None means every connected athlete.
            reserve: the limiter's.

        Raises:
            InputError, StoreError: as in ``run``.
        """
        arguments.check_share(reserve, "reserve")
        ids = await self._athletes(athlete_ids)
        survey = await surveyed(self._session(Limits()), ids)
        return estimated(survey.work, self._strava.quota, self._clock.time(), unlisted=survey.unlisted, reserve=reserve)

    def _session(
        self, limits: Limits, notify: Callable[[], None] = lambda: None, tally: Tally | None = None
    ) -> Session:
        return Session(
            self._store,
            self._plan,
            self._keep,
            self._clock,
            limits,
            quota=lambda: self._strava.quota,
            notify=notify,
            tally=tally,
        )

    def _progress(self, session: Session, athletes: int, athletes_total: int) -> Progress:
        tally = session.tally or Tally()
        blocked = self._strava.rate_limiter.blocked(QuotaClass.READ)
        return Progress(
            counts=session.counts,
            athletes=athletes,
            failures=session.failures,
            athletes_total=athletes_total,
            athletes_listed=tally.athletes,
            activities=tally.activities,
            kinds=tally.kinds,
            asking=session.busy.total(),
            blocked=None if blocked is None or blocked.awaits else blocked,
        )

    async def _athletes(self, athlete_ids: Iterable[int] | None) -> list[int]:
        self._plan.check(self._clock.time())
        if athlete_ids is None:
            return await self._strava.athlete_ids()
        ids = arguments.checked_ids(athlete_ids)
        for athlete_id in ids:
            if not await self._strava.is_connected(athlete_id):
                raise InputError(f"athlete {athlete_id} is not connected: connect the athlete first")
        return ids

    @asynccontextmanager
    async def _held(self, ids: Sequence[int]) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            for athlete_id in ids:
                await stack.enter_async_context(self._store.hold(athlete_id))
            yield

    async def _run(self, session: Session, ids: Sequence[int], lanes: dict[int, Lane]) -> None:
        """Run, while the athletes are held."""
        await session.retention.begin()
        chunk = max(5, min(100, _LOOKED_AT // max(1, len(ids))))
        for athlete_id in ids:
            state = await self._store.add_athlete(athlete_id)
            lanes[athlete_id] = Lane(athlete_id, self._strava.api(athlete_id), state, session, chunk)
        try:
            await share(session, lanes, self._concurrency)
        finally:
            with anyio.CancelScope(shield=True):
                await session.wait_idle()
        await session.end()
