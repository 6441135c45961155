"""What is done about one webhook event: is it ours, does the athlete exist, is it its turn, who is to be told."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Protocol, TypeVar

import anyio

from strava_async._concurrency.callbacks import is_async
from strava_async._concurrency.ttl_set import Seen
from strava_async.clock import Clock
from strava_async.errors import InputError, InvalidGrantError, NotFoundError, StravaError
from strava_async.webhooks.events import WebhookEvent
from strava_async.webhooks.handler_calls import HANDLER_SECONDS, Calls, LeftBehindError, OverTimeError
from strava_async.webhooks.owners import Owners
from strava_async.webhooks.retry import Job, leaves
from strava_async.webhooks.throttled_log import RareLog

T = TypeVar("T")
OnEvent = Callable[[WebhookEvent], object]
OnDisconnect = Callable[[int], object]
Claim = Callable[[WebhookEvent], bool | Awaitable[bool]]
RetryOn = tuple[type[Exception], ...]

DENIED_SECONDS = 60.0

_DENIALS = 10_000

_logger = logging.getLogger("strava_async.webhooks")


class Outcome(Enum):
    """How an event ended: handled, dropped because there was nothing to do, or failed for good."""

    HANDLED = "handled"
    DROPPED = "dropped"
    FAILED = "failed"


class Grants(Protocol):
    """What is to be known about athletes; ``Strava`` is one."""

    @property
    def clock(self) -> Clock:
        """The time that it goes by."""
        ...

    async def is_connected(self, athlete_id: int) -> bool:
        """See ``Strava``."""
        ...

    async def forget_if_revoked(self, athlete_id: int) -> bool:
        """See ``Strava``."""
        ...


class Handling:
    """Handles events, one attempt at a time; see ``webhook_router`` for the arguments.

    Args:
        grants: tells of athletes.
        on_event, on_disconnect, claim, retry_on: the application's.
        owners: the books of the athletes that events are about; the queue's too.
        handler_seconds: how long one of the functions may take.
        workers: how many threads may be left behind.
    """

    def __init__(
        self,
        grants: Grants,
        *,
        on_event: OnEvent,
        on_disconnect: OnDisconnect | None,
        claim: Claim | None,
        retry_on: RetryOn = (OSError,),
        owners: Owners | None = None,
        handler_seconds: float | None = HANDLER_SECONDS,
        workers: int = 1,
    ) -> None:
        _check_callable("on_event", on_event)
        _check_callable("on_disconnect", on_disconnect, or_none=True)
        _check_callable("claim", claim, or_none=True)
        _check_errors("retry_on", retry_on)
        self._grants = grants
        self._on_event = on_event
        self._on_disconnect = on_disconnect
        self._claim = claim
        self._retry_on = retry_on
        self._owners = owners or Owners()
        self._calls = Calls(grants.clock, handler_seconds, workers)
        self._denied = Seen(grants.clock, _DENIALS, DENIED_SECONDS)
        self._log = RareLog(grants.clock)

    @property
    def threads_left_behind(self) -> int:
        """How many threads of the application's functions go on although their time is over."""
        return self._calls.left_behind

    async def attempt(self, job: Job, last: bool) -> Outcome | float:
        """Try to handle an event, and log what does not work.

        Args:
            job: the event; what was done already is not done again.
            last: whether an attempt that fails ends it.

        Returns:
            how it ended, or the seconds until it is to be tried again.
        """
        job.standing.waits = False
        try:
            if not await self._is_due(job):
                return Outcome.DROPPED
            if not job.event.is_deauthorization and (held := self._hold(job, last)) is not None:
                return held
            if self._claim is not None and not (job.claimed or await self._claimed(self._claim, job)):
                return Outcome.DROPPED
        except Exception as error:
            pause = job.pause_after_trouble(endless=job.forgotten is not False)
            return _end_or_pause(job, "is_connected or claim", error, None if last else pause)
        if job.event.is_deauthorization:
            return await self._end_grant(job, last)
        return await self._tell(job, last)

    async def _is_due(self, job: Job) -> bool:
        connected = await self._grants.is_connected(job.event.owner_id)
        if job.forgotten is None:
            job.forgotten = not connected
        # An athlete who has connected again meanwhile is not to be told of as one who left.
        if connected is job.forgotten:
            state = "connected again" if job.forgotten else "not connected"
            _logger.info("%s: dropped, athlete %d is %s", name_of(job.event), job.event.owner_id, state)
            return False
        return True

    def _hold(self, job: Job, last: bool) -> Outcome | float | None:
        """Return how long an event waits for its athlete's turn, or that it is given up; None if it is its turn."""
        owner_id, standing, now = job.event.owner_id, job.standing, self._grants.clock.monotonic()
        if not standing.may_be_asked_again and self._owners.is_doubted(owner_id, now):
            wait = job.pause_after_not_found()
        elif standing.has_turn:
            return None
        else:
            wait = self._owners.turn(owner_id, now)
            standing.has_turn = not wait
            if standing.has_turn:
                return None
            text = f"athlete {owner_id} has more events than may be attempted before one was handled: they wait"
            self._log.say(logging.INFO, f"held {owner_id}", text)
        if wait is None or last:
            _logger.error("%s: failed, its athlete has too many that are not known to be Strava's", name_of(job.event))
            return Outcome.FAILED
        standing.waits = True
        return wait

    async def _claimed(self, claim: Claim, job: Job) -> bool:
        try:
            claimed = await self._calls(_naming("claim", job.event), claim, job.event)
        except (OverTimeError, anyio.get_cancelled_exc_class()):
            job.claimed = True  # it may be, and asked again it would say no: better twice than never
            raise
        if claimed is None:
            raise InputError("claim has to return whether the event is ours: True or False")
        job.claimed = bool(claimed)
        return job.claimed

    async def _tell(self, job: Job, last: bool) -> Outcome | float:
        try:
            await self._tell_of(job, "on_event", self._on_event, job.event)
        except InvalidGrantError:
            _logger.warning("%s: dropped, athlete %d has to connect again", name_of(job.event), job.event.owner_id)
            return Outcome.DROPPED
        except LeftBehindError as error:  # it may do yet what a second would do at the same time
            return _end_or_pause(job, "on_event", error, None)
        except Exception as error:
            self._note_failure(job, error)
            pause = job.pause_after(error, self._grants.clock, self._retry_on)
            return _end_or_pause(job, "on_event", error, None if last else pause)
        self._owners.confirm(job.event.owner_id, was_not_found=job.standing.was_not_found)
        return Outcome.HANDLED

    async def _tell_of(self, job: Job, name: str, function: Callable[[T], object], argument: T) -> None:
        try:
            await self._calls(_naming(name, job.event), function, argument)
        except anyio.get_cancelled_exc_class():
            job.goes_on = not is_async(function)
            raise

    def _note_failure(self, job: Job, error: Exception) -> None:
        owner_id, standing = job.event.owner_id, job.standing
        is_not_found = any(isinstance(leaf, NotFoundError) for leaf in leaves(error))
        if is_not_found and not standing.was_not_found:
            standing.was_not_found = True
            standing.may_be_asked_again = self._owners.not_found(owner_id, self._grants.clock.monotonic())
            if not standing.may_be_asked_again:
                text = f"athlete {owner_id} has had several events within an hour that Strava does not know"
                self._log.say(logging.WARNING, f"doubted {owner_id}", f"{text}: more are not asked for again")
        # What did not come as far as an answer has not had its first attempt yet.
        standing.has_turn = is_not_found and standing.may_be_asked_again

    async def _end_grant(self, job: Job, last: bool) -> Outcome | float:
        athlete_id = job.event.owner_id
        asked_at = self._denied.at(athlete_id) if job.forgotten is False and not last else None
        if asked_at is not None:
            if job.came_at <= asked_at:
                _logger.info("%s: dropped, Strava has denied it since", name_of(job.event))
                return Outcome.DROPPED
            return asked_at + DENIED_SECONDS - self._grants.clock.monotonic()  # who sends many makes us ask once
        try:
            if not job.forgotten and not await self._forget(job, athlete_id):
                return Outcome.DROPPED
        except Exception as error:
            return _end_or_pause(job, "forget_if_revoked", error, None if last else job.pause_after_trouble())
        # The tokens are gone, so no later event leads here: it is called until it works.
        try:
            if self._on_disconnect is not None:
                await self._tell_of(job, "on_disconnect", self._on_disconnect, athlete_id)
        except Exception as error:
            return _end_or_pause(job, "on_disconnect", error, None if last else job.pause_after_trouble(endless=True))
        _logger.info("athlete %d removed the application; the tokens were deleted", athlete_id)
        return Outcome.HANDLED

    async def _forget(self, job: Job, athlete_id: int) -> bool:
        began_at = self._grants.clock.monotonic()
        job.forgotten = None  # cut off or failed, it may have deleted them all the same
        job.forgotten = await self._grants.forget_if_revoked(athlete_id)
        if job.forgotten:
            return True
        if await self._grants.is_connected(athlete_id):
            self._denied.add(athlete_id, began_at)
            _logger.warning("an event says that athlete %d removed the application; Strava does not", athlete_id)
        else:  # disconnected here meanwhile: on_disconnect is theirs who did it
            _logger.info("%s: dropped, athlete %d is not connected", name_of(job.event), athlete_id)
        return False


def name_of(event: WebhookEvent) -> str:
    """Return what a log calls an event: whatever was sent, it is one line."""
    return f"webhook event {event.aspect_type[:40]!r} of {event.object_type[:40]!r} {event.object_id}"


def _naming(function: str, event: WebhookEvent) -> str:
    return f"{name_of(event)}: {function}"


def log_error(error: Exception, text: str) -> None:
    """Log what an error has ended: those of our tree say all in a line, others need their traceback."""
    if _is_of_our_tree(error):
        _logger.error("%s: %s", text, ascii(error)[:300])
    else:
        _logger.error("%s", text, exc_info=error)


def _is_of_our_tree(error: Exception) -> bool:
    return all(isinstance(leaf, StravaError | OverTimeError) for leaf in leaves(error))


def _end_or_pause(job: Job, step: str, error: Exception, pause: float | None) -> Outcome | float:
    if pause is None:
        log_error(error, f"{name_of(job.event)}: failed, and is not tried again{_left_over(job)}")
        return Outcome.FAILED
    trace = None if _is_of_our_tree(error) or step in job.traced else error
    if trace is not None:
        job.traced.add(step)
    kind = type(error).__name__  # a text may hold what belongs in no log
    text = "%s: %s in %s, to be tried again in %.0f s"
    _logger.warning(text, name_of(job.event), kind, step, pause, exc_info=trace)
    return pause


def _left_over(job: Job) -> str:
    return f"; on_disconnect({job.event.owner_id}) is left to be called" if job.forgotten else ""


def _check_callable(name: str, function: object, *, or_none: bool = False) -> None:
    if not callable(function) and not (or_none and function is None):
        raise InputError(f"{name} is a function, sync or async")


def _check_errors(name: str, kinds: RetryOn) -> None:
    try:
        isinstance(Exception(), kinds)  # what it raises would come with the first error
    except TypeError:
        raise InputError(f"{name} is a tuple of classes of exceptions, such as (OSError,)") from None
