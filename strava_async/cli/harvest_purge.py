"""``strava-async purge``: deletes what is held of an athlete, or what came long ago."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import anyio

from strava_async.cli.harvest_data import Data
from strava_async.cli.harvest_values import duration
from strava_async.cli.terminal import DONE, Terminal, UsageError, run
from strava_async.display.wording import plural
from strava_async.errors import InputError
from strava_async.harvest.deletion import delete_athlete, delete_older
from strava_async.harvest.store_sqlite import SqliteHarvestStore


@dataclass(frozen=True, slots=True)
class PurgeSettings:
    """What can be chosen.

    Attributes:
        data: where it is kept.
        older_than: how long ago what is deleted came at least, as it was given.
        athlete_id: of whom everything is deleted.
        yes: nobody is asked.
    """

    data: Data
    older_than: str | None = None
    athlete_id: int | None = None
    yes: bool = False


def purge(settings: PurgeSettings, terminal: Terminal, *, now: Callable[[], float]) -> int:
    """Delete and return the exit status. Makes no requests."""
    return run("purge", terminal, partial(_purge, settings, terminal, now))


def _purge(settings: PurgeSettings, terminal: Terminal, now: Callable[[], float]) -> int:
    if (settings.older_than is None) == (settings.athlete_id is None):
        raise UsageError("give either --older-than or --athlete")
    store = settings.data.existing_store()
    before = None
    if settings.older_than is not None:
        before = now() - duration(settings.older_than, "--older-than").total_seconds()
    what, count = anyio.run(_what, store, settings, before)
    if not count:
        terminal.say(f"Nothing was deleted: nothing is held that is {what}.")
        return DONE
    if not settings.yes:
        if terminal.ask is None:
            raise UsageError("nobody can be asked whether to delete it: give --yes")
        terminal.say(f"{plural(count, 'activity or resource', 'activities and resources')} {what}, in {store.path}.")
        if terminal.ask("Delete them? [y/N] ", False).strip().lower() not in ("y", "yes"):
            terminal.say("Nothing was deleted.")
            return DONE
    deleted = anyio.run(_delete, store, settings, before)
    terminal.say(f"Deleted: {plural(deleted, 'activity or resource', 'activities and resources')} {what}.")
    return DONE


async def _what(store: SqliteHarvestStore, settings: PurgeSettings, before: float | None) -> tuple[str, int]:
    if settings.athlete_id is not None and settings.athlete_id not in await store.athlete_ids():
        raise InputError(f"nothing is held of athlete {settings.athlete_id} in {store.path}")
    counts = await store.counts(settings.athlete_id, before=before)
    what = f"older than {settings.older_than}" if before is not None else f"of athlete {settings.athlete_id}"
    return what, counts.activities + sum(counts.resources.values())


async def _delete(store: SqliteHarvestStore, settings: PurgeSettings, before: float | None) -> int:
    if before is not None:
        return await delete_older(store, before)
    return await delete_athlete(store, settings.athlete_id or 0)
