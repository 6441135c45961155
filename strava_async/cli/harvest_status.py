"""``strava-async harvest --status``: what is held, and what waits. Makes no requests, and writes nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import anyio

from strava_async.cli.harvest_data import Data
from strava_async.cli.harvest_keep import SETTING, keep_text, remembered
from strava_async.cli.terminal import DONE, Terminal, run
from strava_async.display.frame import Row
from strava_async.display.wording import aligned, date_and_time, noun, plural, without_ids
from strava_async.errors import InputError
from strava_async.harvest.base import Resource, State, StoreCounts
from strava_async.harvest.kinds import Kind
from strava_async.harvest.runs import Run
from strava_async.harvest.store_sqlite import SqliteHarvestStore

WEEK_SECONDS = 7 * 86_400.0
MOST_REASONS = 10
_MOST_OF_AN_ATHLETE = 1000
_OUTCOMES = {"complete": "all was done", "partial": "something was left to do", "cancelled": "it was stopped"}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something failed.

    Attributes:
        text: the error, without the ids in it.
        count: how many failed of it.
        retry_at: when the first of them is tried again; epoch seconds. None if that is not known.
    """

    text: str
    count: int
    retry_at: float | None


@dataclass(frozen=True, slots=True)
class Status:
    """What is held.

    Attributes:
        place: where.
        now: epoch seconds.
        keep: how long it is kept; None means until it is deleted.
        keep_is_known: whether that was ever said.
        counts: what is held.
        old: what of it came longer than seven days ago.
        not_listed: of how many athletes the list was never read to its end.
        to_check: how many activities Strava is to be asked about, because an event or a list said that they changed or
            are gone.
        pending_at: when the first of what is not ready is asked for again; None if nothing is.
        reasons: why things failed, the most frequent first.
        last_run: the run that began last; None if none has.
    """

    place: str
    now: float
    keep: float | None
    keep_is_known: bool
    counts: StoreCounts
    old: StoreCounts
    not_listed: int
    to_check: int
    pending_at: float | None
    reasons: Sequence[Reason]
    last_run: Run | None

    @property
    def until(self) -> float | None:
        """When the oldest of it is deleted, unless it is fetched again before; epoch seconds. None for never."""
        oldest = self.counts.oldest
        return None if oldest is None or self.keep is None or not self.keep_is_known else oldest + self.keep

    @property
    def pending(self) -> int:
        """How many resources are not ready yet."""
        return sum(count for (_, state), count in self.counts.resources.items() if state == State.PENDING)


def status(data: Data, athlete_ids: Sequence[int], terminal: Terminal, *, as_json: bool, now: float) -> int:
    """Show what is held and return the exit status.

    Args:
        data: where.
        athlete_ids: of whom; empty means of all.
        terminal: where it is shown.
        as_json: whether as a line of JSON.
        now: epoch seconds.
    """
    return run("harvest", terminal, partial(_status, data, athlete_ids, terminal, as_json, now))


def _status(data: Data, athlete_ids: Sequence[int], terminal: Terminal, as_json: bool, now: float) -> int:
    found = anyio.run(status_of, data.existing_store(), list(athlete_ids), now)
    if as_json:
        terminal.say_whole(json.dumps(fields_of(found)))
    else:
        _draw(found, terminal)
    return DONE


async def status_of(store: SqliteHarvestStore, athlete_ids: Sequence[int], now: float) -> Status:
    """Look at a store, while another process may write into it.

    Raises:
        InputError: nothing is held of an athlete.
        StoreError: it cannot be read.
    """
    held = await store.athlete_ids()
    for athlete_id in athlete_ids:
        if athlete_id not in held:
            raise InputError(f"nothing is held of athlete {athlete_id} in {store.path}")
    ids = athlete_ids or held
    whose: Sequence[int | None] = athlete_ids or [None]
    counts = _sum([await store.counts(each) for each in whose])
    old = _sum([await store.counts(each, before=now - WEEK_SECONDS) for each in whose])
    settings = await store.settings()
    not_listed = to_check = 0
    pending_at: float | None = None
    failed: list[Resource] = []
    for athlete_id in ids:
        state = await store.state(athlete_id)
        not_listed += state is None or state.complete_at is None
        to_check += 0 if state is None else len(state.checks)
        failed += await store.resources(athlete_id, state=State.FAILED, limit=_MOST_OF_AN_ATHLETE)
        pending = await store.resources(athlete_id, state=State.PENDING, limit=_MOST_OF_AN_ATHLETE)
        pending_at = _earliest([pending_at, *(each.retry_at for each in pending)])
    known = SETTING in settings
    keep = remembered(settings, store.path) if known else None
    reasons, last_run = _reasons(failed), next(iter(await store.runs()), None)
    return Status(store.path, now, keep, known, counts, old, not_listed, to_check, pending_at, reasons, last_run)


def fields_of(status: Status) -> dict[str, Any]:
    """Return a status as JSON can hold it. Instants are epoch seconds; null stands for none, and for not known."""
    resources: dict[str, dict[str, int]] = {}
    for (kind, state), count in sorted(status.counts.resources.items()):
        resources.setdefault(kind, {})[state] = count
    return {
        "place": status.place,
        "at": status.now,
        "keep": "forever" if status.keep_is_known and status.keep is None else status.keep,
        "athletes": status.counts.athletes,
        "activities": status.counts.activities,
        "resources": resources,
        "since": status.counts.oldest,
        "until": status.until,
        "older_than_7_days": {
            "activities": status.old.activities,
            "resources": sum(status.old.resources.values()),
        },
        "not_listed": status.not_listed,
        "to_check": status.to_check,
        "pending": status.pending,
        "pending_at": status.pending_at,
        "failures": [
            {"reason": reason.text, "count": reason.count, "retry_at": reason.retry_at} for reason in status.reasons
        ],
        "last_run": None if status.last_run is None else asdict(status.last_run),
    }


def _sum(found: Sequence[StoreCounts]) -> StoreCounts:
    resources: Counter[tuple[Kind, State]] = Counter()
    for each in found:
        resources.update(each.resources)
    return StoreCounts(
        athletes=found[0].athletes if len(found) == 1 else len(found),
        activities=sum(each.activities for each in found),
        resources=dict(resources),
        oldest=_earliest([each.oldest for each in found]),
    )


def _earliest(instants: Sequence[float | None]) -> float | None:
    return min((at for at in instants if at is not None), default=None)


def _reasons(failed: Sequence[Resource]) -> list[Reason]:
    counted = Counter(without_ids(each.reason) for each in failed)
    return [
        Reason(text, count, _earliest([each.retry_at for each in failed if without_ids(each.reason) == text]))
        for text, count in counted.most_common(MOST_REASONS)
    ]


# -- how it looks ------------------------------------------------------------------------------------------------------


def _draw(status: Status, terminal: Terminal) -> None:
    counts = status.counts
    terminal.say(f"{status.place}\n")
    rows = [Row("athletes", f"{counts.athletes:,}", _of_lists(status)), Row("activities", f"{counts.activities:,}")]
    for kind in Kind:
        states = {state: counts.of(kind, state) for state in State}
        if any(states.values()):
            rows.append(Row(noun(kind), f"{states[State.STORED]:,}", _of_states(states)))
    for line in aligned(rows):
        terminal.say(line)
    terminal.say()
    for line in _sentences(status):
        terminal.say(line)
    for reason in status.reasons:
        terminal.say(f"  {reason.count:,} ×  {reason.text}{_again(reason.retry_at, status.now)}")


def _of_lists(status: Status) -> str:
    return f"{plural(status.not_listed, 'list')} not read to the end yet" if status.not_listed else ""


def _of_states(states: dict[State, int]) -> str:
    words = {State.NONE: "Strava has none", State.PENDING: "not ready yet", State.FAILED: "failed"}
    return ", ".join(f"{states[state]:,} {text}" for state, text in words.items() if states[state])


def _sentences(status: Status) -> list[str]:
    now, counts = status.now, status.counts
    runs = [] if status.last_run is None else [_of_run(status.last_run, now)]
    if counts.oldest is None:
        return [*runs, "Nothing is held."]
    lines = [*runs, f"Held since {date_and_time(counts.oldest, now, None)}, {_how_long(status)}."]
    old = status.old.activities + sum(status.old.resources.values())
    if old:
        lines.append(
            f"Older than the seven days that Strava allows: {plural(status.old.activities, 'activity', 'activities')}, "
            f"{plural(sum(status.old.resources.values()), 'resource')}. "
            "strava-async purge --older-than 7d deletes them."
        )
    else:
        lines.append("Nothing is older than the seven days that Strava allows.")
    if status.to_check:
        lines.append(
            f"May have changed or be gone, and is asked about: {plural(status.to_check, 'activity', 'activities')}."
        )
    if status.pending:
        lines.append(f"Not ready at Strava: {status.pending:,}{_again(status.pending_at, now)}.")
    if status.reasons:
        lines.append("Failed when it was asked for last:")
    return lines


def _of_run(run: Run, now: float) -> str:
    began = f"The last run began {date_and_time(run.began_at, now, None)}"
    if run.ended_at is None:
        return f"{began}, and has not ended, or was killed."
    how = _OUTCOMES.get(run.outcome, f"{run.outcome} ended it")
    return f"{began} and sent {plural(run.requests, 'request')}; {how}."


def _how_long(status: Status) -> str:
    if not status.keep_is_known:
        return "and nobody has said for how long: give --keep"
    if status.until is None:
        return "until it is deleted"
    until = date_and_time(status.until, status.now, None)
    return f"kept {keep_text(status.keep)}: the oldest until {until}, unless it is fetched again before"


def _again(at: float | None, now: float) -> str:
    if at is None:
        return ""
    return "; due again now" if at <= now else f"; due again {date_and_time(at, now, None)}"
