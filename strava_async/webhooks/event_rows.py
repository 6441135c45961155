"""What the transactions of ``SqliteEventStore`` do with its tables (``event_schema``): ``EventRows``.

All instants are those of the machine's wall clock. If that was set back, all that is in the file is set back with it.

SQLite before 3.35, as in RHEL 9, knows no ``returning``: several statements in one transaction do the same.
"""

from __future__ import annotations

import json
import logging
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from strava_async._concurrency.ttl_set import HOUR_SECONDS
from strava_async.clock import Clock
from strava_async.errors import InputError
from strava_async.webhooks.backlog import PersistedEvent
from strava_async.webhooks.base import Appended, Claim, EventState, StoredEvent, StoreStats
from strava_async.webhooks.event_schema import Limits
from strava_async.webhooks.events import WebhookEvent
from strava_async.webhooks.lanes import lane_key
from strava_async.webhooks.owners import OwnerState
from strava_async.webhooks.pending import PendingEvent, WaitReason

OWNER_SECONDS = 30 * 86_400.0
_logger = logging.getLogger("strava_async.webhooks")


class EventRows:
    """The tables in one transaction.

    Args:
        connection: in a transaction.
        clock: read once.
        expected: what it should show at least, by what this process saw of it before.
        limits: how many events may be unfinished.
    """

    def __init__(self, connection: sqlite3.Connection, clock: Clock, expected: float, limits: Limits) -> None:
        self._connection = connection
        self._clock = clock
        self._limits = limits
        self._expected = expected
        self.now = clock.time()

    def set_back(self) -> None:
        """Set all instants back, if the clock was; for a transaction that writes."""
        (latest,) = self._one("select latest from totals")
        if self.now < latest:
            seconds = max(latest, self._expected) - self.now
            self._run("update events set due_at = due_at - ? where due_at is not null", seconds)
            self._run("update keys set until = until - ?", seconds)
            self._run("update totals set latest = ?", self.now)

    def latest_turn(self) -> int:
        """Return a number that grows whenever something becomes due by what a process writes."""
        (turn,) = self._one("select turn from totals")
        return int(turn)

    def prove_room(self) -> None:
        """Write what an event does, and take it back: where there is no room for one, this transaction fails."""
        self._run(
            "insert into events (key, lane, owner_id, is_removal, accepted_at, value, due_at, turn) "
            "values ('', '', 0, 0, 0, zeroblob(2000), 0, 0)"
        )
        self._run("delete from events where key = ''")
        self._remember("")
        self._run("delete from keys where key = ''")
        self._run("update totals set latest = ?", self.now)

    def append(self, event: WebhookEvent) -> Appended:
        """See ``EventStore``."""
        self._run("delete from keys where until <= ?", self.now)
        key = event.key
        if self._one("select 1 from keys where key = ?", key) or self._one("select 1 from events where key = ?", key):
            return Appended.DUPLICATE
        persisted = PersistedEvent(event, self.now)
        if event.is_deauthorization and self._supersede(persisted):
            return Appended.SUPERSEDED
        (unfinished,) = self._one("select unfinished from totals")
        if unfinished >= self._limits.unfinished:
            return Appended.QUEUE_FULL
        if not event.is_deauthorization and self._count_of(event.owner_id) >= self._limits.of_owner:
            return Appended.OWNER_FULL
        self.put(persisted)
        return Appended.STORED

    def put(self, persisted: PersistedEvent) -> None:
        """Add an event at the end of its lane."""
        event, lane = persisted.event, _lane(persisted.event)
        is_first = not self._one("select 1 from events where lane = ?", lane)
        self._run(
            "insert into events (key, lane, owner_id, is_removal, accepted_at, value, due_at, turn) "
            "values (?, ?, ?, ?, ?, ?, ?, ?)",
            *(event.key, lane, event.owner_id, event.is_deauthorization, persisted.accepted_at, persisted.to_json()),
            *((self.now, self._next_turn()) if is_first else (None, 0)),
        )
        self._run("update totals set unfinished = unfinished + 1, latest = ?", self.now)
        self._remember(event.key)

    def claim(self, n: int, lease: float, *, is_removal: bool) -> tuple[list[Claim], float | None]:
        """Return claims of what is due; and if there are none, after how many seconds something is."""
        found = self._all(
            "select id, value, claim, accepted_at from events where is_removal = ? and due_at <= ? "
            "order by due_at, turn limit ?",
            *(is_removal, self.now, n),
        )
        claims: list[Claim] = []
        for row_id, value, earlier, accepted_at in found:
            try:
                pending = self._pending(value, accepted_at)
            except InputError:
                _logger.error("event %d of the webhook events was dropped: it cannot be read", row_id)
                self._remove(row_id)
                continue
            if earlier is not None:
                pending.note_interruption()
            claim = secrets.token_hex(8)
            self._run("update events set claim = ?, due_at = ? where id = ?", claim, self.now + lease, row_id)
            claims.append(Claim(pending, f"{row_id}-{claim}"))
        if claims:
            self._run("update totals set latest = ?", self.now)
            return claims, None
        after = self._one("select min(due_at) from events where is_removal = ? and due_at is not null", is_removal)
        return [], None if after is None or after[0] is None else max(after[0] - self.now, 0.0)

    def renew(self, claims: Sequence[Claim], lease: float) -> list[bool]:
        """See ``EventStore``."""
        update = "update events set due_at = ? where id = ? and claim = ?"
        return [self._run(update, self.now + lease, *_ids(claim)) > 0 for claim in claims]

    def ack(self, claim: Claim, *, confirmed: bool) -> bool:
        """See ``EventStore``."""
        row_id, name = _ids(claim)
        if not self._one("select 1 from events where id = ? and claim = ?", row_id, name):
            return False
        self._remove(row_id)
        if confirmed:
            self._confirm(claim.pending)
        return True

    def retry(self, claim: Claim, seconds: float) -> bool:
        """See ``EventStore``."""
        reason = claim.pending.waits_for
        update = (
            "update events set value = ?, waits_for = ?, due_at = ?, turn = ?, claim = null where id = ? and claim = ?"
        )
        value = PersistedEvent.of(claim.pending).to_json()
        due = (self.now + max(seconds, 0.0), self._next_turn())
        self._run("update totals set latest = ?", self.now)
        return self._run(update, value, None if reason is None else reason.value, *due, *_ids(claim)) > 0

    def turn(self, owner_id: int, *, unless_doubted: bool) -> float:
        """See ``EventStore``."""
        state = self._owner(owner_id)
        seconds = state.turn(self.now, unless_doubted=unless_doubted)
        if not seconds:
            self._keep_owner(owner_id, state)
        return seconds

    def not_found(self, owner_id: int) -> bool:
        """See ``EventStore``."""
        state = self._owner(owner_id)
        may_retry = state.note_not_found(self.now)
        self._keep_owner(owner_id, state)
        return may_retry

    def retry_now(self, key: str) -> bool:
        """See ``EventAdmin``."""
        update = "update events set due_at = ?, turn = ? where key = ? and claim is null and due_at > ?"
        return self._run(update, self.now, self._next_turn(), key, self.now) > 0

    def drop(self, key: str) -> bool:
        """See ``EventAdmin``."""
        found = self._one("select id, claim, due_at from events where key = ?", key)
        if found is None or (found[1] is not None and found[2] > self.now):
            return False
        self._remove(found[0])
        return True

    def stats(self) -> StoreStats:
        """See ``EventStore``."""
        (unfinished,) = self._one("select unfinished from totals")
        (claimed,) = self._one("select count(*) from events where claim is not null and due_at > ?", self.now)
        oldest = self._one("select accepted_at from events order by id limit 1")
        due = "select min(due_at) from events where is_removal = ? and due_at is not null"
        dues = [at for (at,) in (self._one(due, removal) for removal in (False, True)) if at is not None]
        ready = [self.now - at for at in dues if at <= self.now]
        return StoreStats(
            unfinished, claimed, None if oldest is None else max(self.now - oldest[0], 0.0), max(ready, default=None)
        )

    def events(self, limit: int) -> list[StoredEvent]:
        """See ``EventAdmin``."""
        rows = self._all("select value, accepted_at, due_at, claim from events order by id limit ?", limit)
        return [stored for row in rows if (stored := self._stored(*row)) is not None]

    def forget_quiet_owners(self) -> None:
        """Forget athletes of whom nothing came for a month."""
        self._run("delete from owners where seen_at < ?", self.now - OWNER_SECONDS)

    def _stored(self, value: str, accepted_at: float, due_at: float | None, claim: str | None) -> StoredEvent | None:
        """Return an event of a list; None if it cannot be read: the claim that drops it says so."""
        try:
            persisted = PersistedEvent.from_json(value)
        except InputError:
            return None
        if due_at is None:
            state = EventState.BEHIND
        elif due_at <= self.now:
            state = EventState.READY
        else:
            state = EventState.DELAYED if claim is None else EventState.CLAIMED
        waits = due_at is not None and state is EventState.DELAYED
        return StoredEvent(
            event=persisted.event,
            state=state,
            age_seconds=max(self.now - accepted_at, 0.0),
            due_seconds=due_at - self.now if waits and due_at is not None else None,
            waits_for=persisted.waits_for if waits else None,
            failures=persisted.failures,
            error=persisted.error,
        )

    def _pending(self, value: str, accepted_at: float) -> PendingEvent:
        return replace(PersistedEvent.from_json(value), accepted_at=accepted_at).pending(self._clock)

    def _supersede(self, persisted: PersistedEvent) -> bool:
        """Replace the last deauthorization of an athlete, if it waits behind another and nothing was done about it."""
        rows = self._all("select id, value from events where lane = ? order by id desc", _lane(persisted.event))
        if len(rows) < 2 or not self._pending(rows[0][1], self.now).is_untouched:
            return False
        update = "update events set key = ?, value = ?, accepted_at = ? where id = ?"
        self._run(update, persisted.event.key, persisted.to_json(), persisted.accepted_at, rows[0][0])
        self._remember(persisted.event.key)
        return True

    def _remove(self, row_id: int) -> None:
        """Remove an event; the next of its lane is due, if it was the first."""
        lane, due_at = self._one("select lane, due_at from events where id = ?", row_id)
        self._run("delete from events where id = ?", row_id)
        self._run("update totals set unfinished = unfinished - 1, latest = ?", self.now)
        if due_at is not None:
            first = "select min(id) from events where lane = ?"
            due = "update events set due_at = ?, turn = ? where id = (" + first + ")"
            self._run(due, self.now, self._next_turn(), lane)

    def _confirm(self, pending: PendingEvent) -> None:
        owner_id = pending.event.owner_id
        state = self._owner(owner_id)
        if state.confirm(was_not_found=pending.standing.was_not_found):
            hasten = (
                "update events set due_at = ? where owner_id = ? and is_removal = 0 and waits_for = ? and due_at > ?"
            )
            self._run(hasten + " and claim is null", self.now, owner_id, WaitReason.OWNER_TURN.value, self.now)
            self._keep_owner(owner_id, state)

    def _owner(self, owner_id: int) -> OwnerState:
        found = self._one("select state from owners where owner_id = ?", owner_id)
        try:
            return OwnerState() if found is None else OwnerState(**json.loads(found[0]))
        except (ValueError, TypeError):
            return OwnerState()  # a bound that is counted anew costs less than an athlete without webhooks

    def _keep_owner(self, owner_id: int, state: OwnerState) -> None:
        value = json.dumps(asdict(state))
        self._run("insert or replace into owners values (?, ?, ?)", owner_id, self.now, value)

    def _remember(self, key: str) -> None:
        self._run("insert or replace into keys values (?, ?)", key, self.now + HOUR_SECONDS)

    def _count_of(self, owner_id: int) -> int:
        (count,) = self._one("select count(*) from events where owner_id = ? and is_removal = 0", owner_id)
        return int(count)

    def _next_turn(self) -> int:
        self._run("update totals set turn = turn + 1")
        return self.latest_turn()

    def _one(self, statement: str, *values: object) -> Any:
        return self._connection.execute(statement, values).fetchone()

    def _all(self, statement: str, *values: object) -> list[Any]:
        return self._connection.execute(statement, values).fetchall()

    def _run(self, statement: str, *values: object) -> int:
        return self._connection.execute(statement, values).rowcount


def _lane(event: WebhookEvent) -> str:
    return json.dumps(lane_key(event))


def _ids(claim: Claim) -> tuple[int, str]:
    row_id, _, name = str(claim.id).partition("-")
    return int(row_id) if row_id.isdecimal() else 0, name
