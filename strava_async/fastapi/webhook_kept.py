"""What outlives a shutdown: the events that a queue could not finish, and who keeps them."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Protocol

import anyio
from sniffio import current_async_library

from strava_async._shapes import is_object
from strava_async._shield import run_to_end
from strava_async.clock import Clock
from strava_async.errors import InputError
from strava_async.fastapi.webhook_handling import log_error, name_of
from strava_async.webhooks import WebhookEvent, parse_event

BACKLOG_SECONDS = 5.0

NAMED_EVENTS = 20

_logger = logging.getLogger("strava_async.webhooks")


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """An event that was accepted and not finished, and how far it has come.

    Attributes:
        event: what happened.
        accepted_at: when it came; Unix seconds.
        claimed: whether it was claimed, or may have been: it is not claimed again.
        forgotten: whether the athlete's tokens were deleted, so that only ``on_disconnect`` is left; None if that was
            cut off while it was found out.
    """

    event: WebhookEvent
    accepted_at: float
    claimed: bool = False
    forgotten: bool | None = False

    def to_json(self) -> str:
        """Return it as JSON in ASCII."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> KeptEvent:
        """Return what ``to_json`` made a text of.

        Raises:
            InputError: it is no such text.
        """
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = None
        if not is_object(value):
            raise InputError("a kept webhook event is a JSON object")
        event = parse_event(json.dumps(value.get("event")).encode("ascii"))
        match value:
            case {
                "accepted_at": int() | float() as at,
                "claimed": bool() as claimed,
                "forgotten": bool() | None as left,
            }:
                return cls(event, at, claimed, left)
            case _:
                raise InputError("a kept webhook event says when it was accepted, and how far it has come")


class Backlog(Protocol):
    """Keeps events from one run of a service to the next; ``SqliteBacklog`` is one.

    Either method is cancelled after five seconds. What it raises is logged, and the service goes on.
    """

    async def keep(self, events: Sequence[KeptEvent]) -> None:
        """Keep events, next to those that are kept already: all of them or, if it raises, none."""
        ...

    async def take(self) -> Sequence[KeptEvent]:
        """Return the events that are kept, in the order of ``accepted_at``, and keep them no longer.

        Whoever else takes at the same time, in whatever process, gets none of these.
        """
        ...


class Keeper:
    """A backlog as the queue uses it: it has its time, and its errors end nothing.

    Args:
        backlog: where events are kept.
        clock: by which it has its time.
    """

    def __init__(self, backlog: Backlog, clock: Clock) -> None:
        self._backlog = backlog
        self._clock = clock

    async def take(self, put: Callable[[KeptEvent], None]) -> None:
        """Hand over what is kept, one by one."""

        async def take() -> None:
            for kept in await self._backlog.take():
                put(kept)

        await self._bounded(take, "no webhook events were taken back; what is kept stays for the next start")

    async def keep(self, events: Sequence[KeptEvent]) -> bool:
        """Keep events, and return whether that is done."""
        return await self._bounded(partial(self._backlog.keep, events), "the webhook events could not be kept")

    async def _bounded(self, work: Callable[[], Awaitable[None]], failure: str) -> bool:
        done = False
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._cut_off, tasks.cancel_scope, failure)
            try:
                await work()
                done = True
            except Exception as error:
                log_error(error, failure)
            tasks.cancel_scope.cancel()
        return done

    async def _cut_off(self, scope: anyio.CancelScope, failure: str) -> None:
        try:
            await self._clock.sleep(BACKLOG_SECONDS)
        except anyio.get_cancelled_exc_class():
            if scope.cancel_called or current_async_library() != "asyncio":
                raise
            return  # the end of the loop stopped this task, and is not to stop its group: ``carry_out`` bounds it now
        _logger.error("%s: the backlog took longer than %g s", failure, BACKLOG_SECONDS)
        scope.cancel()


def log_lost(events: Sequence[WebhookEvent]) -> None:
    """Name what was accepted and is lost: deauthorizations first, because no later event stands for them."""
    for event in sorted(events, key=lambda event: not event.is_deauthorization)[:NAMED_EVENTS]:
        left = "; on_disconnect may be left to be called" if event.is_deauthorization else ""
        _logger.error("%s: cut off, of athlete %d%s", name_of(event), event.owner_id, left)
    if events:
        _logger.error("%d webhook events were cut off at the end of the service", len(events))


async def carry_out(work: Callable[[], Awaitable[None]]) -> None:
    """Await ``work()`` to its end, whatever is cancelled meanwhile, and although the event loop ends. Raises nothing.

    Unlike ``_shield.run_to_end``, it is waited for on asyncio too: what the backlog needs is closed afterwards.
    """
    ended = anyio.Event()
    try:
        await run_to_end(work, ended.set, seconds=BACKLOG_SECONDS)
    finally:
        with anyio.CancelScope(shield=True):
            while not ended.is_set():
                with suppress(anyio.get_cancelled_exc_class()):  # ``Task.cancel()`` passes through shields
                    await ended.wait()
