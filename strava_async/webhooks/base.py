"""What an event store has to do: the ``EventStore`` Protocol, which ``MemoryEventStore`` implements.

To write one, derive its tests from ``tests/webhooks/event_store_contract.py``, which states every rule below as a test.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from strava_async.webhooks.events import WebhookEvent
from strava_async.webhooks.pending import PendingEvent


class Appended(Enum):
    """What became of an event that was to be stored.

    Attributes:
        STORED: it is in the store, behind the others of its object.
        SUPERSEDED: it is in the store, in place of an earlier one that asked for the same.
        DUPLICATE: it was stored within the last hour, finished or not.
        QUEUE_FULL: it was not stored: as many are unfinished as may be.
        OWNER_FULL: it was not stored: as many of its athlete's are unfinished as may be.
        CLOSED: it was not stored: the store accepts none, because its process ends.
    """

    STORED = "stored"
    SUPERSEDED = "superseded"
    DUPLICATE = "duplicate"
    QUEUE_FULL = "queue full"
    OWNER_FULL = "owner full"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Claim:
    """An event that one worker has until its lease ends.

    Attributes:
        pending: the event, and how far it has come. The worker notes there what it has done; ``retry`` stores it.
        id: tells this claim from an earlier or later one of the same event; the store chooses it.
    """

    pending: PendingEvent
    id: Hashable


class EventStore(Protocol):
    """Keeps webhook events from the answer to Strava until they are handled.

    - The events of one object form a **lane**. Only the first of a lane is ever claimed, by one worker at a time; the
      next follows when it is finished. Lanes are claimed in the order in which they became due.
    - Deauthorizations have lanes and claims of their own, so that a deletion waits for no other event. Two of one
      athlete are kept at most: a third takes the place of the second if nothing was done about that one yet.
    - An event is known for an hour by its ``key``, and stored once in that time.
    - A bounded number of events is unfinished, altogether and of each athlete (deauthorizations excepted).

    Each method may be cancelled, and has had its whole effect then or none. ``claim`` is the only one that waits for
    something to happen.

    Raises:
        EventStoreError: by every method: the store cannot be read or written. Strava gets 503 where it is ``append``,
            and sends the event again.
    """

    async def append(self, event: WebhookEvent) -> Appended:
        """Store an event, unless it is known or there is no room. Strava gets its 200 after this, and not before."""
        ...

    async def claim(self, n: int, lease: float, *, deauthorizations: bool = False) -> Sequence[Claim]:
        """Return the events whose turn it is; wait until there is one.

        Args:
            n: how many at most; at least 1.
            lease: for how many seconds they are the caller's. An event whose lease has ended without ``ack``,
                ``retry`` or ``renew`` is claimed by whoever asks next; ``math.inf`` means while this process runs.
            deauthorizations: whether to claim these, or the other events.
        """
        ...

    async def ack(self, claim: Claim) -> bool:
        """Remove an event that is finished; its ``key`` stays known.

        Returns:
            False if the lease had ended and the event was claimed by another, or finished: nothing was changed then.
        """
        ...

    async def retry(self, claim: Claim, at: float) -> bool:
        """Give an event back until its next attempt, with what was noted in ``claim.pending``. Its lane waits with it.

        An event that waits for ``WaitReason.OWNER_TURN`` is due before that as soon as its athlete may have more
        attempts than were allowed when it was given back.

        Args:
            claim: the event.
            at: when it is due; Unix seconds. An instant that has passed means now.

        Returns:
            as ``ack``.
        """
        ...

    async def renew(self, claim: Claim, lease: float) -> bool:
        """Let a lease end that many seconds from now; for handlers that take longer than it.

        Returns:
            as ``ack``.
        """
        ...
