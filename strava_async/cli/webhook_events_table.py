"""How ``strava-async webhook events`` looks: a sentence or two, and a table; or a line of JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from strava_async.cli.quota_table import duration
from strava_async.cli.terminal import Terminal, plain_ascii
from strava_async.webhooks.base import EventState, StoredEvent, StoreStats

SHORTEST_KEY = 8
LONG_SECONDS = 60.0
_LONGEST_NAME = 24
_LONGEST_ERROR = 40
_DEAUTHORIZATION = "deauthorization"
_STATES = {
    EventState.READY: "a worker",
    EventState.CLAIMED: "its handler",
    EventState.BEHIND: "an earlier event of its object",
}


@dataclass(frozen=True, slots=True)
class Listing:
    """What a store of events has.

    Attributes:
        stats: how many events there are.
        events: those that were received first.
    """

    stats: StoreStats
    events: Sequence[StoredEvent]

    def as_json(self) -> str:
        """Return all of it as a line of JSON in ASCII."""
        stats = self.stats
        return json.dumps(
            {
                "unfinished": stats.unfinished,
                "claimed": stats.claimed,
                "oldest_seconds": stats.oldest_seconds,
                "ready_seconds": stats.ready_seconds,
                "events": [_values(stored) for stored in self.events],
            }
        )


def draw(listing: Listing, place: str, terminal: Terminal) -> None:
    """Write the table. Nothing that a stranger has sent gets to the terminal but printable ASCII.

    Args:
        listing: what there is to show.
        place: where it was read.
        terminal: where to.
    """
    terminal.say(f"{place}: {_sentence(listing.stats)}")
    ready = listing.stats.ready_seconds
    if ready is not None and ready >= LONG_SECONDS:
        terminal.say(f"One has waited for a worker for {duration(ready)}: there are too few workers, or none.")
    if not listing.events:
        return
    terminal.say()
    terminal.show(_table(listing.events))
    if len(listing.events) < listing.stats.unfinished:
        terminal.say()
        terminal.say(f"These are the oldest {len(listing.events):,}; --limit shows more.")


def named(stored: StoredEvent) -> str:
    """Return what an event is about, and whose, for a sentence."""
    return f"{_what(stored)} of athlete {stored.event.owner_id}"


def _sentence(stats: StoreStats) -> str:
    if not stats.unfinished:
        return "no event waits."
    count = "1 event is" if stats.unfinished == 1 else f"{stats.unfinished:,} events are"
    handled = f", {stats.claimed:,} of them being handled" if stats.claimed else ""
    since = "" if stats.oldest_seconds is None else f"; the oldest came {duration(stats.oldest_seconds)} ago"
    return f"{count} not finished{handled}{since}."


def _table(events: Sequence[StoredEvent]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Key", no_wrap=True)
    for title in ("Age", "Athlete"):
        table.add_column(title, no_wrap=True, justify="right")
    table.add_column("Event", overflow="fold", min_width=len(_DEAUTHORIZATION))
    table.add_column("Waits for", overflow="fold")
    if has_failed := any(stored.failures or stored.error for stored in events):
        table.add_column("Failed", overflow="fold")
    length = key_length([stored.event.key for stored in events])
    for stored in events:
        cells = [
            stored.event.key[:length],
            duration(stored.age_seconds),
            str(stored.event.owner_id),
            _what(stored),
            waits_for(stored),
        ]
        table.add_row(*cells, *([_failed(stored)] if has_failed else []))
    return table


def waits_for(stored: StoredEvent) -> str:
    """Return what an event waits for."""
    if stored.state is not EventState.DELAYED:
        return _STATES[stored.state]
    why = "" if stored.waits_for is None else f" ({stored.waits_for.value})"
    return f"attempt in {duration(max(stored.due_seconds or 0.0, 0.0))}{why}"


def _what(stored: StoredEvent) -> str:
    event = stored.event
    if event.is_deauthorization:
        return _DEAUTHORIZATION
    aspect, kind = (plain_ascii(name, _LONGEST_NAME) for name in (event.aspect_type, event.object_type))
    return f"{aspect} {kind} {event.object_id}"


def _failed(stored: StoredEvent) -> str:
    rows = ", ".join(f"{count:,} x {plain_ascii(row, _LONGEST_NAME)}" for row, count in stored.failures.items())
    return ": ".join(filter(None, (rows, plain_ascii(stored.error, _LONGEST_ERROR))))


def key_length(keys: Sequence[str]) -> int:
    """Return how many characters tell these keys apart."""
    different = set(keys)
    return next(n for n in range(SHORTEST_KEY, 65) if len({key[:n] for key in different}) == len(different))


def _values(stored: StoredEvent) -> dict[str, object]:
    event = stored.event
    return {
        "key": event.key,
        "athlete_id": event.owner_id,
        "object_type": event.object_type,
        "object_id": event.object_id,
        "aspect_type": event.aspect_type,
        "event_time": event.event_time,
        "subscription_id": event.subscription_id,
        "updates": dict(event.updates),
        "state": stored.state.value,
        "age_seconds": stored.age_seconds,
        "due_seconds": stored.due_seconds,
        "waits_for": None if stored.waits_for is None else stored.waits_for.value,
        "failures": dict(stored.failures),
        "error": stored.error or None,
    }
