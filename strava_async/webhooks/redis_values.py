"""What ``RedisEventStore`` sends and gets, in terms of events. Pure."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from typing import Any

from strava_async.clock import Clock
from strava_async.errors import EventStoreError, InputError
from strava_async.webhooks.backlog import PersistedEvent
from strava_async.webhooks.base import Claim, EventState, StoredEvent, StoreStats
from strava_async.webhooks.events import WebhookEvent
from strava_async.webhooks.lanes import lane_key


def lane_name(event: WebhookEvent) -> str:
    """Return the name of an event's lane: short, and of known characters, whatever a stranger has sent."""
    is_deauthorization, object_type, object_id, owner_id = lane_key(event)
    if is_deauthorization:
        return f"d{owner_id}"
    digest = hashlib.sha256(json.dumps([object_type, object_id]).encode("ascii")).hexdigest()
    return f"e{owner_id}/{digest[:32]}"


def claims_of(found: list[list[Any]], clock: Clock, place: str) -> list[Claim]:
    """Return the claims of an answer; those of rows that cannot be read are left until their leases end.

    Args:
        found: of each its id, row, age in milliseconds, and whether a lease on it had ended.
        clock: of this process, for its instants.
        place: where they are, for the message.

    Raises:
        EventStoreError: none of them can be read.
    """
    claims: list[Claim] = []
    unreadable: InputError | None = None
    for claim_id, row, age, was_claimed in found:
        try:
            persisted = PersistedEvent.from_json(row)
        except InputError as error:
            unreadable = error
            continue
        pending = replace(persisted, accepted_at=clock.time() - age / 1000).pending(clock)
        if was_claimed:
            pending.note_interruption()
        claims.append(Claim(pending, claim_id))
    if unreadable is not None and not claims:
        raise EventStoreError(f"{place} has an event that is none: see which program shares the server") from unreadable
    return claims


def stored_event(row: str, state: str, age: float, due: float) -> StoredEvent | None:
    """Return an event of a list; None if its row cannot be read.

    Args:
        row: what was stored.
        state: see ``EventState``.
        age: milliseconds since it was received.
        due: milliseconds until its lane is due.
    """
    try:
        persisted = PersistedEvent.from_json(row)
    except InputError:
        return None
    is_delayed = state == EventState.DELAYED.value
    return StoredEvent(
        persisted.event,
        EventState(state),
        age / 1000,
        due / 1000 if is_delayed else None,
        persisted.waits_for if is_delayed else None,
        persisted.failures,
        persisted.error,
    )


def stats_of(unfinished: int, claimed: int, oldest: float, ready: float) -> StoreStats:
    """Return statistics; of milliseconds, and -1 for none."""
    return StoreStats(unfinished, claimed, _seconds(oldest), _seconds(ready))


def milliseconds(seconds: float) -> int:
    """Return a duration, rounded up: nothing is due too early."""
    return math.ceil(seconds * 1000)


def _seconds(milliseconds: float) -> float | None:
    return None if milliseconds < 0 else milliseconds / 1000
