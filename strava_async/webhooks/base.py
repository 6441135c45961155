"""The interfaces of an event store: ``EventStore`` for a service, ``EventAdmin`` for who looks after it.

The tests of a store derive from ``tests/webhooks/contract.py``, which has the rules below as tests, for one process and
for two.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, runtime_checkable

from strava_async.errors import InputError
from strava_async.webhooks.events import WebhookEvent
from strava_async.webhooks.pending import PendingEvent, WaitReason


class Appended(Enum):
    """The result of ``append``.

    Attributes:
        STORED: it is in the store, behind the others of its object.
        SUPERSEDED: it is in the store, and has replaced an earlier deauthorization of the same athlete.
        DUPLICATE: it was stored within the last hour, finished or not; or it is unfinished.
        QUEUE_FULL: it was not stored: the store has as many unfinished events as it may have.
        OWNER_FULL: it was not stored: its athlete has as many unfinished events as one may have.
        CLOSED: it was not stored: the store accepts no more events, because the process is shutting down.
    """

    STORED = "stored"
    SUPERSEDED = "superseded"
    DUPLICATE = "duplicate"
    QUEUE_FULL = "queue full"
    OWNER_FULL = "owner full"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Claim:
    """An event that is leased to one worker.

    Attributes:
        pending: the event and its progress, which the worker updates and ``retry`` stores; see ``PendingEvent`` for
            what of it is stored.
        id: distinguishes this claim from earlier and later ones of the same event; chosen by the store.
    """

    pending: PendingEvent
    id: Hashable


@dataclass(frozen=True, slots=True)
class StoreStats:
    """How many events wait, and since when; for metrics and alarms.

    Attributes:
        unfinished: how many are in the store.
        claimed: how many of them a worker has.
        oldest_seconds: how long ago the oldest was received; None if there is none.
        ready_seconds: for how long the event that has been due for longest has waited for a worker; None if no event
            is due. Above a minute there are too few workers, or none.
    """

    unfinished: int
    claimed: int
    oldest_seconds: float | None
    ready_seconds: float | None


class EventState(Enum):
    """What an event of a store waits for.

    Attributes:
        READY: a worker.
        CLAIMED: the end of its handler.
        DELAYED: the instant of its next attempt.
        BEHIND: the end of another event of its object.
    """

    READY = "ready"
    CLAIMED = "claimed"
    DELAYED = "delayed"
    BEHIND = "behind"


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An unfinished event, as ``EventAdmin.events`` lists it.

    Attributes:
        event: the event; ``event.key`` names it.
        state: what it waits for.
        age_seconds: how long ago it was received.
        due_seconds: after how long it is attempted again; None unless it is DELAYED.
        waits_for: why it is DELAYED; None unless it is.
        failures: how many attempts have failed, by the row of the table in ``webhooks.retry``.
        error: the class of the error that the last attempt failed with; empty if none has. Its message is not stored:
            it may hold what must not be shown.
    """

    event: WebhookEvent
    state: EventState
    age_seconds: float
    due_seconds: float | None
    waits_for: WaitReason | None
    failures: Mapping[str, int]
    error: str


class OwnerBounds(Protocol):
    """The bounds of each athlete's events, as the handler asks for them; ``webhooks.owners`` has the rules."""

    async def turn(self, owner_id: int, *, unless_doubted: bool = False) -> float:
        """Take a turn for the attempt of an event.

        Args:
            owner_id: the athlete.
            unless_doubted: whether a doubted athlete gets none.

        Returns:
            0 if it may be attempted now; else after how many seconds it may ask again; ``math.inf`` if the athlete is
            doubted, and ``unless_doubted``.
        """
        ...

    async def not_found(self, owner_id: int) -> bool:
        """Count an event that Strava did not find, once per event.

        Returns:
            whether it may be tried again: False if the athlete was doubted before.
        """
        ...


class EventStore(OwnerBounds, Protocol):
    """Keeps webhook events from the answer to Strava until they are handled.

    - The events of one object (``lanes.lane_key``) form a **lane**, in the order of ``append``, in whatever process
      that was. Only the first of a lane is ever claimed, by one worker at a time; the next follows when it is finished.
      Lanes are claimed in the order in which they became due.
    - Deauthorizations have lanes and claims of their own, so that a deletion waits for no other event. Two of one
      athlete are kept at most: a third replaces the second if nothing was done about that one yet.
    - An event is known for an hour by its ``key``, and stored once in that time.
    - The number of unfinished events is bounded, in total and for each athlete (deauthorizations excepted).
    - An event whose lease has ended is claimed again as ``PendingEvent.note_interruption`` leaves it: nobody knows how
      far the worker before had come.
    - The bounds of an athlete (``turn``, ``not_found``, ``ack``) hold for all processes of the store.

    All times are durations, counted by the clock of the store: the clocks of its processes may differ.

    Each method may be cancelled, and then has had its whole effect or none; what a cancelled ``claim`` has claimed is
    free when its lease ends. ``claim`` is the only one that waits for something to happen. A store that is shared is
    durable too: what ``append`` has stored survives the process.

    Raises:
        EventStoreError: by every method but ``running``: the store cannot be read or written. An event that was not
            stored is not answered with 200, so Strava sends it again. The store is usable again when the cause is gone.
    """

    def running(self) -> AbstractAsyncContextManager[None]:
        """Return a context for a service: the store may keep a connection or a task in it. Raises nothing by itself.

        A service enters it before its first call and leaves it after its last, and calls ``claim`` in it only. The
        other methods work outside of it too.
        """
        ...

    async def append(self, event: WebhookEvent) -> Appended:
        """Store an event, unless it is known or a bound is reached. Strava gets its 200 after this, never before."""
        ...

    async def claim(self, n: int, lease: float, *, deauthorizations: bool = False) -> Sequence[Claim]:
        """Lease events that are due to the caller; wait until there is one.

        What becomes due by a call in this process is claimed at once (within 50 ms), by one in another within a second.

        Args:
            n: how many at most; at least 1.
            lease: seconds, finite. An event whose lease has ended without ``ack``, ``retry`` or ``renew`` goes to the
                next ``claim``.
            deauthorizations: whether to claim these, or the other events.
        """
        ...

    async def renew(self, claims: Sequence[Claim], lease: float) -> Sequence[bool]:
        """Extend leases to that many seconds from now, for handlers that take longer.

        Returns:
            for each, as ``ack``.
        """
        ...

    async def ack(self, claim: Claim, *, confirmed: bool = False) -> bool:
        """Remove an event that is finished; its ``key`` stays known.

        Args:
            claim: the event.
            confirmed: whether ``on_event`` has returned for it; that lifts bounds of its athlete. What its
                ``pending.standing.was_not_found`` says counts. It has no effect where this returns False.

        Returns:
            False if nothing was changed: the lease has ended, or the event is finished. A store may accept this after
            the lease, until another worker claims the event.
        """
        ...

    async def retry(self, claim: Claim, seconds: float) -> bool:
        """End the lease until the next attempt, and store the progress in ``claim.pending``. The whole lane waits.

        An event that waits for ``WaitReason.OWNER_TURN`` (``pending.waits_for``) is due earlier if its athlete's bounds
        are lifted meanwhile.

        Args:
            claim: the event.
            seconds: after how many it is due; 0 or less means now.

        Returns:
            as ``ack``.
        """
        ...

    async def stats(self) -> StoreStats:
        """Return how many events wait, and since when. Its cost does not grow with their number by much."""
        ...


@runtime_checkable
class EventAdmin(Protocol):
    """What ``strava-async webhook events`` does with a store: look, and intervene. Raises EventStoreError."""

    async def stats(self) -> StoreStats:
        """As in ``EventStore``."""
        ...

    async def events(self, *, limit: int = 100) -> Sequence[StoredEvent]:
        """Return the unfinished events that were received first.

        Args:
            limit: how many at most; at least 1.
        """
        ...

    async def retry_now(self, key: str) -> bool:
        """Make a DELAYED event READY.

        Returns:
            False if there is no such event, or it is not DELAYED.
        """
        ...

    async def drop(self, key: str) -> bool:
        """Remove an unfinished event, without handling it. Its ``key`` stays known; the next of its object follows.

        Returns:
            False if there is no such event, or a worker has it.
        """
        ...


def check_store(store: object) -> None:
    """Raise InputError unless it has the methods of an ``EventStore``."""
    names = ("running", "append", "claim", "renew", "ack", "retry", "turn", "not_found", "stats")
    missing = [name for name in names if not callable(getattr(store, name, None))]
    if missing:
        raise InputError(f"events has to be an EventStore: this has no {missing[0]}")
