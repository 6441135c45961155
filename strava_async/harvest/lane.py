"""One athlete in a run: what is next, and how it is done.

The order: the list, activities that are to be checked, what was never fetched or is due again from the newest activity
on, what is of no activity, what failed before; and then what has come to be checked meanwhile. What lasts for more than
a day is begun anew each day, so that what is new, or nearly too old, does not wait for the rest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from strava_async.errors import DecodeError, FaultError, QuotaExceededError, StravaError
from strava_async.harvest.agenda import Job, failed_jobs_of, is_waiting, jobs_of, other_jobs, waiting_of
from strava_async.harvest.base import Activity, Changes, Held
from strava_async.harvest.failures import AGAIN, Forbidden, Reach, reach_of
from strava_async.harvest.fetch import Fetcher, failed, printable
from strava_async.harvest.kinds import FAILED_SECONDS, RULES, Kind, failed_until
from strava_async.harvest.list_state import AthleteState, Walk
from strava_async.harvest.listing import after_page, list_due_at, next_walk, parameters, pass_seconds, state_after
from strava_async.harvest.outcome import Failure
from strava_async.harvest.presence import Presence
from strava_async.harvest.retries import Retries
from strava_async.harvest.rows import is_own, read_page
from strava_async.harvest.session import Session
from strava_async.harvest.survey import tallied
from strava_async.harvest.tasks import Check, Retry, Task
from strava_async.protocol import ApiV3

T = TypeVar("T")

_PAUSE_SECONDS = 0.25


class Lane:
    """An athlete.

    Args:
        athlete_id: who.
        api: makes the requests, as the athlete.
        state: of the athlete's list.
        session: the run.
        chunk: how many activities are looked at at a time.
    """

    def __init__(self, athlete_id: int, api: ApiV3, state: AthleteState, session: Session, chunk: int) -> None:
        self.athlete_id = athlete_id
        self._api = api
        self._state = state
        self._session = session
        self._chunk = chunk
        self._has_ended = False
        self._refused: set[Kind] = set()
        self._forbidden = Forbidden()
        self._was_wrong = False
        self._presence = Presence(session, athlete_id)
        self._page: int | None = None  # stands for the activities on the last page of the list
        self._begin()

    def _begin(self) -> None:
        """Begin at the list."""
        self._begun_at, self._walks = self._session.clock.monotonic(), self._state.walks
        self._is_listed = self._others_known = False
        self._ready: deque[Task] = deque()
        self._last: Activity | None = None
        self._gear_ids: set[str] = set()
        self._checked: set[int] = set()
        self._retries = Retries()
        self._failed_again = 0
        self._stages: deque[Callable[[], Awaitable[Sequence[Task]]]] = deque(
            [self._pages, self._checks, self._tally, self._jobs, self._others, self._failed, self._checks]
        )

    async def take(self) -> Task | None:
        """Return what is next; None if there is nothing more. One caller at a time.

        A ``Walk`` is to be done before this is called again.
        """
        while not self._has_ended:
            await self._session.retention.purge_if_due()
            is_over = self._session.clock.monotonic() - self._begun_at >= pass_seconds(self._session.keep)
            if is_over or self._session.timekeeper.was_wrong != self._was_wrong:
                self._was_wrong = self._session.timekeeper.was_wrong
                self._state = await self._session.store.state(self.athlete_id) or self._state
                self._begin()
            while self._ready:
                task = self._ready.popleft()
                if self._is_left_out(task):
                    self._session.is_partial = True
                else:
                    return task
            if not self._stages:
                await self._presence.lasts(is_end=True)
                return None
            found = await self._stages[0]()
            self._ready.extend(found)
            if not found:
                self._stages.popleft()
        return None

    async def do(self, task: Task) -> None:
        """Do what was taken.

        Raises:
            StravaError: it is about more than this athlete.
        """
        # What failed before says nothing about the rest: it fails one after the other at the end of each run.
        number = None if isinstance(task, Retry) else self._session.row.ask()
        try:
            match task:
                case Walk():
                    await self._list(task)
                case Check():
                    await self._check(task.activity_id)
                case Job():
                    await self._fetch(task)
                case Retry():
                    await self._fetch(task.job)
        except QuotaExceededError:
            if isinstance(task, Walk):
                self._is_listed = True
        except StravaError as error:
            await self._note(task, error, number)
        # Here and not before it was taken: athletes whose files are slow would get fewer turns.
        self._has_ended = self._has_ended or not await self._presence.lasts()

    async def _pages(self) -> Sequence[Task]:
        session, again = self._session, self._session.limits.list_again_seconds
        if self._is_listed or not session.plan.list:
            return []
        walk = next_walk(self._state, session.plan, session.now(), session.keep, again)
        if walk is None:
            session.come_back(list_due_at(self._state, session.plan, session.keep, again))
            return []
        return [walk]

    async def _checks(self) -> Sequence[Task]:
        state = await self._session.store.state(self.athlete_id)
        todo = [one for one in (state.checks if state else ()) if one not in self._checked]
        self._checked.update(todo)
        return [Check(activity_id) for activity_id in todo]

    async def _tally(self) -> Sequence[Task]:
        session = self._session
        if session.tally is not None:
            session.tally.set(self.athlete_id, await tallied(session, self.athlete_id))
        return []

    async def _jobs(self) -> Sequence[Task]:
        while held := await self._session.store.scan(self.athlete_id, self._last, self._chunk):
            self._last = held[-1].activity
            jobs = [job for each in held for job in self._jobs_of(each)]
            if jobs:
                return jobs
        return []

    def _jobs_of(self, held: Held) -> list[Job]:
        terms = self._session.terms
        if held.activity.gear_id:
            self._gear_ids.add(held.activity.gear_id)
        for resource in waiting_of(held, terms):
            self._session.await_retry(resource)
        for job in failed_jobs_of(held, terms):
            if not self._retries.add(held.activity, job):
                self._session.is_partial = True
        return list(jobs_of(held, terms))

    async def _others(self) -> Sequence[Task]:
        kinds = [kind for kind in self._session.plan.kinds if RULES[kind].belongs_to != "activity"]
        if not kinds or self._others_known:
            return []
        self._others_known = True
        resources = await self._session.store.resources(self.athlete_id, kinds=kinds)
        known = {(each.kind, each.key): each for each in resources}
        terms = self._session.terms
        for resource in resources:
            if is_waiting(resource, terms):
                self._session.await_retry(resource)
        return list(other_jobs(self.athlete_id, self._gear_ids, known, terms))

    async def _failed(self) -> Sequence[Task]:
        return [Retry(job) for job in self._retries.take()]

    def _is_left_out(self, task: Task) -> bool:
        """Say whether what was found is not asked for any more, by what came of the rest."""
        if isinstance(task, Retry):
            return self._failed_again >= AGAIN or task.job.kind in self._refused
        return isinstance(task, Job) and task.kind in self._refused

    async def _list(self, walk: Walk) -> None:
        items = await self._ask(lambda fetcher: fetcher.page(parameters(walk)))
        rows, unreadable = read_page(items)
        if items:
            await self._check_page(walk, hash(frozenset(row.activity.id for row in rows)))
        rest = after_page(walk, rows, len(items))
        state = state_after(self._state, walk, rest)
        changes = Changes(
            self.athlete_id,
            state,
            rows=rows,
            listed_at=self._session.now(),
            seen_in=walk.number,
            ended=walk if rest is None else None,
            is_list_begun=walk.is_complete and walk.number > self._state.walks,
        )
        await self._session.write(changes, listed=sum(row.activity.start < walk.before for row in rows))
        self._state = replace(state, is_list_due=state.is_list_due and not changes.is_list_begun)
        # One that was begun by an earlier run does not look for what is new since.
        self._is_listed = rest is None and walk.number > self._walks
        if unreadable:
            reason = f"{unreadable} of its activities lack their id or their start, or are nested too deeply"
            self._session.fail(Failure(self.athlete_id, None, "", reason))

    async def _check_page(self, walk: Walk, page: int) -> None:
        """Refuse a page with what was on the one before: such a list would never end. Later it goes on from there."""
        before, self._page = self._page, page
        if walk.page > 1 and before == page:
            await self._session.write(Changes(self.athlete_id, replace(self._state, walk=replace(walk, page=1))))
            raise DecodeError("each page of the list has the same activities")

    async def _check(self, activity_id: int) -> None:
        look = await self._ask(lambda fetcher: fetcher.look(activity_id, self._session.now))
        if look.row is None or look.detail is None or not is_own(look.row, self.athlete_id):
            await self._session.write(Changes(self.athlete_id, gone=[activity_id]))
            return
        wanted = Kind.DETAIL in self._session.plan.kinds and self._session.plan.includes(look.row.activity)
        changes = Changes(
            self.athlete_id,
            rows=[look.row],
            listed_at=self._session.now(),
            seen_in=self._state.walks,
            resources=[look.detail] if wanted else [],
            checked=[activity_id],
        )
        await self._session.write(changes)

    async def _fetch(self, job: Job) -> None:
        resource = await self._ask(lambda fetcher: fetcher.fetch(job, self._session.now))
        if resource is None:
            await self._session.write(Changes(self.athlete_id, gone=[int(job.key)]))
            return
        self._forbidden.answered(job.kind)
        await self._session.write(Changes(self.athlete_id, resources=[resource]))

    async def _ask(self, ask: Callable[[Fetcher], Awaitable[T]]) -> T:
        """Ask, and again where it could not yet be told whether there is quota."""
        session, count = self._session, self._session.counter()
        session.busy[self.athlete_id] += 1
        try:
            while True:
                max_wait, sent_at = session.max_wait(), session.clock.monotonic()
                api = self._api if max_wait is None else self._api.with_options(max_wait=max_wait)
                try:
                    found = await ask(Fetcher(api, count))
                except QuotaExceededError as error:
                    if not session.not_sent(error):
                        raise
                    await session.clock.sleep(_PAUSE_SECONDS)  # other answers are under way
                except (FaultError, DecodeError):
                    session.timekeeper.answered(sent_at)
                    raise
                else:
                    session.timekeeper.answered(sent_at)
                    return found
        finally:
            session.free(self.athlete_id)

    async def _note(self, task: Task, error: StravaError, number: int | None) -> None:
        job = task.job if isinstance(task, Retry) else task if isinstance(task, Job) else None
        kind = job.kind if job is not None else None
        reach = reach_of(error, kind)
        if reach is Reach.RUN:
            raise error
        session, row = self._session, self._session.row
        key = job.key if job is not None else str(task.activity_id) if isinstance(task, Check) else ""
        about = kind if kind is not None or not key else Kind.DETAIL
        if kind not in self._refused and not self._has_ended:  # what was under way then says the same
            failure = Failure(self.athlete_id, None if reach is Reach.ATHLETE else about, key, printable(str(error)))
            session.fail(failure)
        if reach is Reach.ATHLETE:
            self._has_ended = True
        elif reach is Reach.KIND and kind is not None:
            self._refused.add(kind)
        else:
            if number is not None:
                row.add(number)
            self._failed_again += isinstance(task, Retry)
            self._is_listed = self._is_listed or isinstance(task, Walk)
        if reach is Reach.ONE and job is not None:
            resource = failed(job, error, session.now())
            await session.write(Changes(self.athlete_id, resources=[resource]))
            if self._forbidden.add(job.kind, error):
                self._refused.add(job.kind)
        elif reach in (Reach.ONE, Reach.LATER):
            session.come_back(failed_until(session.now(), 1))
        if row.full:
            session.stop(FAILED_SECONDS[0])
