"""The tables of ``SqliteEventStore``.

The first event of each lane has a ``due_at``, the others have none. While it is claimed, that is when its lease ends:
so what is due is one range of one index, whether it waited for a worker, for its next attempt or for a lease.
"""

from __future__ import annotations

from dataclasses import dataclass

from strava_async.errors import EventStoreError
from strava_async.stores.sqlite_file import Schema

SCHEMA = Schema(
    application_id=0x53747262,  # "Strb": version 1 is a backlog
    version=2,
    error=EventStoreError,
    tables={
        "events": "create table events (id integer primary key, key text not null unique, lane text not null, "
        "owner_id integer not null, is_removal integer not null, accepted_at real not null, value text not null, "
        "waits_for text, due_at real, turn integer not null, claim text); "
        "create index events_due on events (is_removal, due_at, turn); "
        "create index events_lane on events (lane, id); "
        "create index events_owner on events (owner_id, is_removal); "
        "create index events_claim on events (claim) where claim is not null",
        "keys": "create table keys (key text primary key, until real not null); "
        "create index keys_until on keys (until)",
        "owners": "create table owners (owner_id integer primary key, seen_at real not null, state text not null)",
        "totals": "create table totals (unfinished integer not null, turn integer not null, latest real not null); "
        "insert into totals values (0, 0, 0)",
    },
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How many events may be unfinished, in all and of one athlete."""

    unfinished: int
    of_owner: int
