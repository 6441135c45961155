"""``strava-async webhook events``: what waits in a service's store of events, and what can be done about it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio

from strava_async.cli.config import Options, find_client_id
from strava_async.cli.places import expanded
from strava_async.cli.redis_url import REDIS_URL, needing_redis, redis_url
from strava_async.cli.terminal import DONE, Terminal, UsageError, run
from strava_async.cli.webhook_events_table import Listing, draw, named, waits_for
from strava_async.errors import InputError
from strava_async.webhooks.base import EventAdmin, EventState, StoredEvent
from strava_async.webhooks.event_store_admin import SqliteEventAdmin

T = TypeVar("T")
MOST_EVENTS = 1_000_000  # more than a store may have: a key is looked for in all of them
_KEY = re.compile(r"[0-9a-f]{4,64}")


@dataclass(frozen=True, slots=True)
class EventsSettings:
    """What can be chosen. Its repr shows no URL: a password may be in it.

    Attributes:
        options: which application, where a server has the events of several.
        file: that of a ``SqliteEventStore``.
        redis: the URL of the server of a ``RedisEventStore``, from the command line.
        application: whose events on that server; None means those of the client id.
        retry: the key of an event that is to be tried now, or its beginning.
        drop: the key of an event that is to be removed, or its beginning.
        yes: it is removed without a question.
        limit: how many events are listed.
        as_json: the result is a line of JSON.
    """

    options: Options
    file: Path | None = None
    redis: str | None = field(default=None, repr=False)
    application: str | None = None
    retry: str | None = None
    drop: str | None = None
    yes: bool = False
    limit: int = 100
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    """Where events are."""

    name: str
    opened: Callable[[], AbstractAsyncContextManager[EventAdmin]]

    def do(self, work: Callable[[EventAdmin], Awaitable[T]]) -> T:
        async def main() -> T:
            async with self.opened() as admin:
                return await work(admin)

        return anyio.run(main)


def events(settings: EventsSettings, terminal: Terminal) -> int:
    """List the unfinished events, or intervene, and return the exit status. Makes no requests to Strava."""
    return run("webhook events", terminal, partial(_events, settings, terminal))


def _events(settings: EventsSettings, terminal: Terminal) -> int:
    if settings.retry is not None and settings.drop is not None:
        raise UsageError("give one of --retry, --drop")
    if settings.as_json and (settings.retry or settings.drop):
        raise UsageError("--json is for the list: leave it out")
    place = _place(settings)
    if settings.retry is not None:
        terminal.say(_retry(place, _checked(settings.retry, "--retry")))
    elif settings.drop is not None:
        terminal.say(_drop(place, _checked(settings.drop, "--drop"), settings, terminal))
    else:
        listing = place.do(partial(_listing, limit=settings.limit))
        if settings.as_json:
            terminal.say(listing.as_json())
        else:
            draw(listing, place.name, terminal)
    return DONE


async def _listing(admin: EventAdmin, limit: int) -> Listing:
    return Listing(await admin.stats(), await admin.events(limit=limit))


# -- where the events are ----------------------------------------------------------------------------------------------


def _place(settings: EventsSettings) -> _Place:
    if settings.file is not None and settings.redis is not None:
        raise UsageError("give one of --file, --redis")
    if settings.file is not None:
        path = expanded(settings.file, "--file")
        return _Place(f"{path}", lambda: nullcontext(SqliteEventAdmin(path)))
    url = redis_url(settings.redis, settings.options.environment)
    if url is None:
        raise UsageError(f"say where the events are: --file PATH, --redis URL, or the variable {REDIS_URL}")
    with needing_redis("events on Redis need"):
        from strava_async.cli.redis import event_store
    application = settings.application or str(find_client_id(settings.options, None))
    return _Place(f"Redis, application {application}", partial(event_store, url, application))


# -- what can be done --------------------------------------------------------------------------------------------------


def _checked(key: str, option: str) -> str:
    if not _KEY.fullmatch(key):
        raise UsageError(f"{option} takes a key as the list shows it, or its first characters, four at least")
    return key


async def _find(admin: EventAdmin, key: str) -> StoredEvent:
    """Return the only event whose key begins so."""
    found = [stored for stored in await admin.events(limit=MOST_EVENTS) if stored.event.key.startswith(key)]
    if not found:
        raise InputError(f"no unfinished event has the key {key}: it is finished, or was never here")
    if len(found) > 1:
        raise UsageError(f"{len(found)} events have keys that begin with {key}: give more of it: {_keys(found)}")
    return found[0]


def _keys(found: Sequence[StoredEvent]) -> str:
    return ", ".join(stored.event.key for stored in found[:2])


def _retry(place: _Place, key: str) -> str:
    async def retry(admin: EventAdmin) -> tuple[StoredEvent, bool]:
        stored = await _find(admin, key)
        return stored, await admin.retry_now(stored.event.key)

    stored, is_done = place.do(retry)
    if is_done:
        return f"The next attempt is due now: {named(stored)}."
    if stored.state is EventState.READY:
        return f"It is due already, and waits for a worker: {named(stored)}."
    raise InputError(f"nothing was changed: {named(stored)} waits for {waits_for(stored)}")


def _drop(place: _Place, key: str, settings: EventsSettings, terminal: Terminal) -> str:
    stored = place.do(partial(_find, key=key))
    if not settings.yes:
        if terminal.ask is None:
            raise UsageError("nobody can be asked whether to remove it: give --yes")
        terminal.say(f"{named(stored)}, key {stored.event.key}")
        terminal.say("It will not be handled, and Strava does not send it again.")
        if terminal.ask("Remove it? [y/N] ", False).strip().lower() not in ("y", "yes"):
            return "Nothing was removed."

    async def drop(admin: EventAdmin) -> bool:
        return await admin.drop(stored.event.key)

    if not place.do(drop):
        raise InputError("nothing was removed: a worker has it, or it was finished meanwhile")
    return f"Removed: {named(stored)}."
