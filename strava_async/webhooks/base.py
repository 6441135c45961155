"""The interface of an event store: ``EventStore``. ``MemoryEventStore`` implements it.

The tests of another store derive from ``tests/webhooks/contract.py``, which has the rules below as tests.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from strava_async.webhooks.events import WebhookEvent
from strava_async.webhooks.pending import PendingEvent


class Appended(Enum):
    """The result of ``append``.

    Attributes:
        STORED: it is in the store, behind the others of its object.
        SUPERSEDED: it is in the store, and has replaced an earlier deauthorization of the same athlete.
        DUPLICATE: it was stored within the last hour, finished or not.
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


class EventStore(Protocol):
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

    Each method may be cancelled, and then has had its whole effect or none; what a cancelled ``claim`` has claimed is
    free when its lease ends. ``claim`` is the only one that waits for something to happen.

    Raises:
        EventStoreError: by every method: the store cannot be read or written. An event that was not stored is not
            answered with 200, so Strava sends it again.
    """

    async def append(self, event: WebhookEvent) -> Appended:
        """Store an event, unless it is known or a bound is reached. Strava gets its 200 after this, never before."""
        ...

    async def claim(self, n: int, lease: float, *, deauthorizations: bool = False) -> Sequence[Claim]:
        """Lease events that are due to the caller; wait until there is one.

        Args:
            n: how many at most; at least 1.
            lease: seconds. An event whose lease has ended without ``ack``, ``retry`` or ``renew`` goes to the next
                ``claim``; ``math.inf`` means until this process ends.
            deauthorizations: whether to claim these, or the other events.
        """
        ...

    async def ack(self, claim: Claim) -> bool:
        """Remove an event that is finished; its ``key`` stays known.

        Returns:
            False if nothing was changed: the lease has ended, or the event is finished. A store may accept this after
            the lease, until another worker claims the event.
        """
        ...

    async def retry(self, claim: Claim, at: float) -> bool:
        """End the lease until the next attempt, and store the progress in ``claim.pending``. The whole lane waits.

        A store may let an event that waits for ``WaitReason.OWNER_TURN`` be due earlier, when its athlete may have
        more attempts.

        Args:
            claim: the event.
            at: when it is due; Unix seconds by the caller's clock. An instant that has passed means now. If that clock
                is set back meanwhile, it is due no later, and may be due earlier.

        Returns:
            as ``ack``.
        """
        ...

    async def renew(self, claim: Claim, lease: float) -> bool:
        """Extend a lease to that many seconds from now, for a handler that takes longer.

        Returns:
            as ``ack``.
        """
        ...
