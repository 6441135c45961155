"""One attempt to handle a webhook event: the checks, then the call of the application's function.

An attempt goes through these steps; each may end it:

1. ``is_connected``: an event of an athlete without tokens is dropped, and costs no request.
2. The athlete's turn, for which deauthorizations need not wait: see ``owners``.
3. ``claim``, once per event: whether this process is to handle it.
4. ``on_event``; or for a deauthorization ``forget_if_revoked``, and if Strava confirms it ``on_disconnect``.

When a step raises, the table of ``retry`` decides what follows.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import anyio

from strava_async._concurrency.callbacks import is_async
from strava_async._concurrency.ttl_set import TtlSet
from strava_async.clock import Clock
from strava_async.errors import EventStoreError, InputError, InvalidGrantError, NotFoundError
from strava_async.webhooks import retry
from strava_async.webhooks.arguments import check_callable, check_error_classes
from strava_async.webhooks.base import OwnerBounds
from strava_async.webhooks.events import WebhookEvent
from strava_async.webhooks.handler_calls import HANDLER_SECONDS, HandlerCalls
from strava_async.webhooks.handler_errors import (
    HandlerTimeoutError,
    ThreadLeftBehindError,
    event_label,
    flatten,
    log_error,
    needs_traceback,
)
from strava_async.webhooks.pending import AttemptResult, GrantState, Outcome, PendingEvent, Retry, WaitReason
from strava_async.webhooks.throttled_log import ThrottledLog

T = TypeVar("T")
OnEvent = Callable[[WebhookEvent], object]
OnDisconnect = Callable[[int], object]
ClaimFunction = Callable[[WebhookEvent], bool | Awaitable[bool]]
RetryOn = tuple[type[Exception], ...]

DENIED_SECONDS = 60.0

_MAX_DENIALS = 10_000

_logger = logging.getLogger("strava_async.webhooks")


class Grants(Protocol):
    """Knows whether athletes are connected; ``Strava`` is one."""

    @property
    def clock(self) -> Clock:
        """Its clock."""
        ...

    async def is_connected(self, athlete_id: int) -> bool:
        """See ``Strava``."""
        ...

    async def forget_if_revoked(self, athlete_id: int) -> bool:
        """See ``Strava``."""
        ...


class EventHandler:
    """Handles events, one attempt at a time; see ``webhook_router`` for the arguments.

    Args:
        grants: knows whether athletes are connected.
        on_event, on_disconnect, claim, retry_on: see ``webhook_router``.
        bounds: of the attempts of each athlete's events: the store that the events are in.
        handler_seconds: how long one of the functions may take.
        workers: how many threads may be left behind.
    """

    def __init__(
        self,
        grants: Grants,
        *,
        on_event: OnEvent,
        on_disconnect: OnDisconnect | None,
        claim: ClaimFunction | None,
        bounds: OwnerBounds,
        retry_on: RetryOn = (OSError,),
        handler_seconds: float | None = HANDLER_SECONDS,
        workers: int = 1,
    ) -> None:
        check_callable("on_event", on_event)
        check_callable("on_disconnect", on_disconnect, or_none=True)
        check_callable("claim", claim, or_none=True)
        check_error_classes("retry_on", retry_on)
        self._grants = grants
        self._on_event = on_event
        self._on_disconnect = on_disconnect
        self._claim = claim
        self._retry_on = retry_on
        self._bounds = bounds
        self._calls = HandlerCalls(grants.clock, handler_seconds, workers)
        self._denied = TtlSet(grants.clock, _MAX_DENIALS, DENIED_SECONDS)
        self._log = ThrottledLog(grants.clock)

    @property
    def threads_left_behind(self) -> int:
        """How many threads still run a function of the application that exceeded its time."""
        return self._calls.left_behind

    async def attempt(self, pending: PendingEvent, is_last: bool) -> AttemptResult:
        """Try to handle an event, and log what fails.

        Args:
            pending: the event; steps that were completed are not repeated.
            is_last: whether the event is given up if this attempt fails.
        """
        age = self._grants.clock.monotonic() - pending.came_at
        # A deauthorization asks for a deletion, and a backlog decides by itself what it gives back.
        if age > retry.KEPT_SECONDS and not (pending.event.is_deauthorization or pending.restored):
            _logger.error("%s: failed, it was kept for more than seven days", event_label(pending.event))
            return Outcome.FAILED
        try:
            if not await self._still_applies(pending):
                return Outcome.DROPPED
            if not pending.event.is_deauthorization and (waits := await self._check_turn(pending, is_last)) is not None:
                return waits
            if self._claim is not None and not (pending.claimed or await self._call_claim(self._claim, pending)):
                return Outcome.DROPPED
        except Exception as error:
            again = retry.after_trouble(pending, endless=pending.grant_state is not GrantState.INTACT)
            return _after_failure(pending, "is_connected or claim", error, None if is_last else again)
        if pending.event.is_deauthorization:
            return await self._end_grant(pending, is_last)
        return await self._call_on_event(pending, is_last)

    async def _still_applies(self, pending: PendingEvent) -> bool:
        connected = await self._grants.is_connected(pending.event.owner_id)
        if pending.grant_state is GrantState.UNKNOWN:
            pending.grant_state = GrantState.INTACT if connected else GrantState.DELETED
        is_deleted = pending.grant_state is GrantState.DELETED
        # on_disconnect must not be called for an athlete who has connected again meanwhile.
        if connected is is_deleted:
            state = "connected again" if is_deleted else "not connected"
            label, owner_id = event_label(pending.event), pending.event.owner_id
            _logger.info("%s: dropped, athlete %d is %s", label, owner_id, state)
            return False
        return True

    async def _check_turn(self, pending: PendingEvent, is_last: bool) -> AttemptResult | None:
        """Return ``Retry`` if an event has to wait for its athlete's turn, FAILED if it cannot, None to go on."""
        owner_id, standing = pending.event.owner_id, pending.standing
        if standing.has_turn and standing.retries_not_found:
            return None
        seconds = await self._bounds.turn(owner_id, unless_doubted=not standing.retries_not_found)
        standing.has_turn = not seconds
        if standing.has_turn:
            return None
        again: Retry | None = Retry(seconds, WaitReason.OWNER_TURN)
        if seconds == math.inf:
            again = retry.after_not_found(pending, WaitReason.OWNER_TURN)
        else:
            text = f"athlete {owner_id} has more events than may be attempted before one was handled: they wait"
            self._log.log(logging.INFO, f"held {owner_id}", text)
        if again is None or is_last:
            text = "%s: failed, its athlete has too many events that are not known to be Strava's"
            _logger.error(text, event_label(pending.event))
            return Outcome.FAILED
        return again

    async def _call_claim(self, claim: ClaimFunction, pending: PendingEvent) -> bool:
        try:
            claimed = await self._calls(_call_label("claim", pending.event), claim, pending.event)
        except (HandlerTimeoutError, anyio.get_cancelled_exc_class()):
            pending.claimed = True  # perhaps: a second call would return False, and twice is better than never
            raise
        if claimed is None:
            raise InputError("claim has to return True if this process is to handle the event, else False")
        pending.claimed = bool(claimed)
        return pending.claimed

    async def _call_on_event(self, pending: PendingEvent, is_last: bool) -> AttemptResult:
        event = pending.event
        try:
            await self._call(pending, "on_event", self._on_event, event)
        except InvalidGrantError:
            _logger.warning("%s: dropped, athlete %d has to connect again", event_label(event), event.owner_id)
            return Outcome.DROPPED
        except ThreadLeftBehindError as error:  # a second call would run beside it
            return _after_failure(pending, "on_event", error, None)
        except Exception as error:
            await self._note_failure(pending, error)
            again = retry.after_error(pending, error, self._grants.clock, self._retry_on)
            return _after_failure(pending, "on_event", error, None if is_last else again)
        return Outcome.HANDLED

    async def _call(self, pending: PendingEvent, name: str, function: Callable[[T], object], argument: T) -> None:
        try:
            await self._calls(_call_label(name, pending.event), function, argument)
        except anyio.get_cancelled_exc_class():
            pending.runs_on = not is_async(function)
            raise

    async def _note_failure(self, pending: PendingEvent, error: Exception) -> None:
        owner_id, standing = pending.event.owner_id, pending.standing
        is_not_found = any(isinstance(leaf, NotFoundError) for leaf in flatten(error))
        if is_not_found and not standing.was_not_found:
            standing.was_not_found = True
            standing.retries_not_found = await self._may_retry_not_found(owner_id)
            if not standing.retries_not_found:
                text = f"athlete {owner_id} has had several events within an hour that Strava does not know"
                self._log.log(logging.WARNING, f"doubted {owner_id}", f"{text}: more 404s are not tried again")
        # An attempt without an answer from Strava gives its turn back.
        standing.has_turn = is_not_found and standing.retries_not_found

    async def _may_retry_not_found(self, owner_id: int) -> bool:
        try:
            return await self._bounds.not_found(owner_id)
        except EventStoreError as error:  # one that is not counted costs less than an event that is given up
            _logger.warning("a 404 of athlete %d was not counted: %s", owner_id, error)
            return True

    async def _end_grant(self, pending: PendingEvent, is_last: bool) -> AttemptResult:
        athlete_id = pending.event.owner_id
        if not is_last and (denied := self._after_denial(pending)) is not None:
            return denied
        try:
            if pending.grant_state is not GrantState.DELETED and not await self._forget_if_revoked(pending, athlete_id):
                return Outcome.DROPPED
        except Exception as error:
            again = None if is_last else retry.after_trouble(pending)
            return _after_failure(pending, "forget_if_revoked", error, again)
        # The tokens are gone, so no later event would lead here: it is called until it works.
        try:
            if self._on_disconnect is not None:
                await self._call(pending, "on_disconnect", self._on_disconnect, athlete_id)
        except Exception as error:
            again = None if is_last else retry.after_trouble(pending, endless=True)
            return _after_failure(pending, "on_disconnect", error, again)
        _logger.info("athlete %d removed the application; the tokens were deleted", athlete_id)
        return Outcome.HANDLED

    def _after_denial(self, pending: PendingEvent) -> AttemptResult | None:
        """Return what follows if Strava has called the grant valid within the last minute; None if it has not."""
        if pending.grant_state is not GrantState.INTACT:
            return None
        denied_at = self._denied.added_at(pending.event.owner_id)
        if denied_at is None:
            return None
        if pending.came_at <= denied_at:
            _logger.info("%s: dropped, Strava has denied it since", event_label(pending.event))
            return Outcome.DROPPED
        # However many events arrive, Strava is queried once a minute.
        return Retry(denied_at + DENIED_SECONDS - self._grants.clock.monotonic(), WaitReason.DENIED)

    async def _forget_if_revoked(self, pending: PendingEvent, athlete_id: int) -> bool:
        began_at = self._grants.clock.monotonic()
        pending.grant_state = GrantState.UNKNOWN  # a call that fails or is cancelled may have deleted the tokens
        is_deleted = await self._grants.forget_if_revoked(athlete_id)
        pending.grant_state = GrantState.DELETED if is_deleted else GrantState.INTACT
        if is_deleted:
            return True
        if await self._grants.is_connected(athlete_id):
            self._denied.add(athlete_id, began_at)
            _logger.warning("an event says that athlete %d removed the application; Strava does not", athlete_id)
        else:  # disconnected here meanwhile: that call leads to on_disconnect
            _logger.info("%s: dropped, athlete %d is not connected", event_label(pending.event), athlete_id)
        return False


def _call_label(function: str, event: WebhookEvent) -> str:
    return f"{event_label(event)}: {function}"


def _after_failure(pending: PendingEvent, step: str, error: Exception, again: Retry | None) -> AttemptResult:
    """Log what a step raised, and return the result: ``again``, or FAILED if that is None."""
    if again is None:
        log_error(error, f"{event_label(pending.event)}: failed, and is not tried again{_reminder(pending)}")
        return Outcome.FAILED
    pending.error = type(error).__name__  # no more: the message of an error may hold what must not be logged
    trace = error if needs_traceback(error) and step not in pending.traced else None
    if trace is not None:
        pending.traced.add(step)
    text = "%s: %s in %s, to be tried again in %.0f s"
    _logger.warning(text, event_label(pending.event), pending.error, step, again.seconds, exc_info=trace)
    return again


def _reminder(pending: PendingEvent) -> str:
    is_left = pending.grant_state is GrantState.DELETED
    return f"; on_disconnect({pending.event.owner_id}) is left to be called" if is_left else ""
