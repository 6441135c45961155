"""``strava-async harvest``: brings the data of connected athletes up to date, for days if need be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import anyio

from strava_async._concurrency.task_group import TaskGroup
from strava_async.application import Strava
from strava_async.cli.accounts import athlete_ids
from strava_async.cli.config import MakeStrava, Options, find_credentials, open_strava
from strava_async.cli.harvest_data import Data
from strava_async.cli.harvest_keep import Keep, chosen_keep, remember
from strava_async.cli.harvest_quota import limiter_of
from strava_async.cli.harvest_values import next_time, plan_of, share, since
from strava_async.cli.stopping import Stopper
from strava_async.cli.terminal import DONE, FAILED, INTERRUPTED, Terminal, run
from strava_async.cli.warnings_shown import warnings_shown
from strava_async.clock import Clock, SystemClock
from strava_async.display.events import EventScreen
from strava_async.display.frame import Heading, Result, Screen
from strava_async.display.observer import Observer
from strava_async.display.panel import LiveScreen
from strava_async.display.plain import PlainScreen
from strava_async.display.watch import shown
from strava_async.display.wording import date_and_time, noun, plural
from strava_async.errors import InputError
from strava_async.harvest.kinds import Kind
from strava_async.harvest.outcome import Outcome
from strava_async.harvest.plan import Plan
from strava_async.harvest.run import Harvest
from strava_async.harvest.store_sqlite import SqliteHarvestStore
from strava_async.request.options import RetryPolicy

SPENT = 75  # EX_TEMPFAIL of sysexits.h: try again later
TIMEOUT_SECONDS = 30.0
# A limiter may have to wait so long for an answer before it knows whether there is quota.
_NO_WAIT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class HarvestSettings:
    """What can be chosen. Its repr shows no URL: a password may be in it.

    Attributes:
        options: which application, and where its tokens are.
        data: where everything goes.
        keep: for how long, as it was given; None means as it is remembered.
        since: only activities from then on, as it was given.
        kinds: what is wanted, comma-separated; None means what is by default.
        athlete_ids: whose; empty means every connected athlete.
        until: the time of day at which it ends.
        max_requests: how many may be sent.
        reserve: the share of the quota that is left to others.
        wait: whether it waits for quota.
        quota: the file or server where processes share the quota.
        as_json: events are written.
        plain: lines are written, even on a terminal.
    """

    options: Options
    data: Data
    keep: str | None = None
    since: str | None = None
    kinds: str | None = None
    athlete_ids: Sequence[int] = ()
    until: str | None = None
    max_requests: int | None = None
    reserve: str = "20%"
    wait: bool = True
    quota: str | None = field(default=None, repr=False)
    as_json: bool = False
    plain: bool = False


def harvest(
    settings: HarvestSettings,
    terminal: Terminal,
    *,
    make: MakeStrava = Strava,
    clock: Clock | None = None,
) -> int:
    """Harvest and return the exit status: 0, 1, 2, 75 where the quota is spent, 130 after a signal."""
    return run("harvest", terminal, partial(_harvest, settings, terminal, make, clock or SystemClock()))


@dataclass(frozen=True, slots=True)
class _Job:
    """What is to be done, after all options were read."""

    settings: HarvestSettings
    terminal: Terminal
    store: SqliteHarvestStore
    keep: Keep
    plan: Plan
    until: float | None
    reserve: float
    client_id: int
    screen: Screen
    clock: Clock


def _harvest(settings: HarvestSettings, terminal: Terminal, make: MakeStrava, clock: Clock) -> int:
    store = settings.data.store()
    since_at = None if settings.since is None else since(settings.since, clock.time())
    plan = plan_of(settings.kinds, since_at)
    until = None if settings.until is None else next_time(settings.until, clock.time())
    reserve = share(settings.reserve)
    client_id, client_secret = find_credentials(settings.options, terminal.ask)
    kept = anyio.run(store.settings)
    keep = chosen_keep(settings.keep, kept, store.path, terminal)
    screen = _screen(settings, terminal, clock)
    job = _Job(settings, terminal, store, keep, plan, until, reserve, client_id, screen, clock)
    open_app = partial(
        open_strava, settings.options, client_id, client_secret, make, retry=RetryPolicy(), timeout=TIMEOUT_SECONDS
    )
    work = _Work(job, open_app)
    with warnings_shown(screen.say):
        outcome = anyio.run(work.run)
    stopped = outcome is None or work.stopper.is_stopped
    return work.stopper.finish() if outcome is None or stopped else _status(outcome, job, work.not_fetched)


class _Work:
    """The harvest and what watches it.

    Args:
        job: what is to be done.
        open_app: makes the application.
    """

    def __init__(self, job: _Job, open_app: Callable[..., Strava]) -> None:
        self.stopper = Stopper(self._last_words, INTERRUPTED)
        self._job = job
        self._open = open_app
        self._observer: Observer | None = None

    @property
    def not_fetched(self) -> int:
        """How many resources failed when they were asked for last."""
        progress = None if self._observer is None else self._observer.progress
        return 0 if progress is None else sum(part.failed for part in progress.kinds.values())

    async def run(self) -> Outcome | None:
        """Return how it ended; None if a signal ended it."""
        outcome: Outcome | None = None
        async with TaskGroup() as tasks:
            tasks.start_soon(self.stopper.watch, tasks.cancel_scope)
            outcome = await self._run()
            tasks.cancel_scope.cancel()
        return outcome

    async def _run(self) -> Outcome:
        job, settings = self._job, self._job.settings
        async with (
            limiter_of(settings.quota, settings.options, job.client_id, job.reserve, job.clock) as limiter,
            self._open(rate_limiter=limiter) as strava,
        ):
            ids = await _athletes(settings, strava)
            await remember(job.keep, job.store)
            if job.keep.notice:
                job.screen.say(job.keep.notice)
            keep = None if job.keep.seconds is None else timedelta(seconds=job.keep.seconds)
            work = Harvest(strava, job.store, keep=keep, plan=job.plan)
            heading = Heading("harvest", str(settings.data.path), remark=settings.options.emulator_url or "")
            self._observer = observer = Observer(heading, limiter, reserve=job.reserve)
            async with shown(observer, job.screen, estimate=lambda: work.estimate(ids, reserve=job.reserve)):
                outcome = await work.run(
                    ids,
                    until=job.until,
                    max_requests=settings.max_requests,
                    max_wait=None if settings.wait else _NO_WAIT_SECONDS,
                    on_progress=observer.note_progress,
                )
        job.screen.finish(Result(outcome, observer.frame()))
        return outcome

    def _last_words(self) -> None:
        """Say what was stored, and how to go on."""
        console = self._job.terminal.out
        if console.is_terminal:
            console.show_cursor()
        progress = None if self._observer is None else self._observer.progress
        stored: Mapping[Kind, int] = {} if progress is None else progress.counts.stored
        came = ", ".join(f"{stored[kind]:,} {noun(kind, stored[kind])}" for kind in Kind if stored.get(kind))
        done = f"{came} came into {self._job.settings.data.path}; the" if came else "The"
        self._job.terminal.complain(f"Stopped. {done} same command goes on from there.")


async def _athletes(settings: HarvestSettings, strava: Strava) -> list[int]:
    options = settings.options
    connected = await athlete_ids(options, strava.token_store)
    if not connected:
        raise InputError(f"nobody is connected; to connect somebody: {options.command('login')}")
    for athlete_id in settings.athlete_ids:
        if athlete_id not in connected:
            raise InputError(f"athlete {athlete_id} is not connected: {options.command('accounts')} lists who is")
    return list(dict.fromkeys(settings.athlete_ids)) or connected


def _screen(settings: HarvestSettings, terminal: Terminal, clock: Clock) -> Screen:
    console = terminal.out
    if settings.as_json:
        return EventScreen(terminal.say_whole, clock.time)
    lively = console.is_terminal and not console.is_dumb_terminal and console.encoding.startswith("utf")
    return LiveScreen(console) if lively and not settings.plain else PlainScreen(terminal.say)


def _status(outcome: Outcome, job: _Job, not_fetched: int) -> int:
    """Say how it ended, and return the exit status.

    Args:
        outcome: how.
        job: what was to be done.
        not_fetched: how many resources failed when they were asked for last, be it in an earlier run.
    """
    say = job.terminal.complain
    if outcome.quota_at is not None and not job.settings.wait:
        at = date_and_time(outcome.quota_at, job.clock.time(), None)
        say(f"strava-async harvest: the quota is spent until {at}; the same command goes on from there")
        return SPENT
    if outcome.counts.failed:
        last = f": {outcome.failures[-1]}" if outcome.failures else ""
        failed = plural(outcome.counts.failed, "request")
        say(f"strava-async harvest: {failed} failed, and will be tried again by the same command{last}")
        return FAILED
    if not_fetched:
        before = plural(not_fetched, "resource")
        say(f"strava-async harvest: {before} failed before: --status says why, and when it is tried again")
        return FAILED
    if not job.settings.as_json:
        job.terminal.say(_ending(outcome, job))
    return DONE


def _ending(outcome: Outcome, job: _Job) -> str:
    if outcome.complete:
        return "Complete. The same command fetches what is new."
    if job.settings.max_requests is not None and outcome.counts.requests >= job.settings.max_requests:
        return "As many requests were sent as were allowed. The same command goes on."
    if outcome.quota_at is not None:
        at = date_and_time(outcome.quota_at, job.clock.time(), None)
        return f"The quota is spent until {at}, and it was to end at {job.settings.until}. The same command goes on."
    if job.until is not None and job.clock.time() >= job.until:
        return f"It ended at {job.settings.until}, as it was told. The same command goes on."
    return "Some of it is not ready at Strava yet. The same command goes on."
