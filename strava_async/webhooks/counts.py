"""Counts of webhook events, by how they ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Offer(Enum):
    """How an event was received: accepted, known already, or rejected, so that Strava sends it again."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"


@dataclass(slots=True)
class WebhookCounts:
    """How many requests the callback has received, by how they ended.

    ``accepted`` is the sum of ``handled``, ``dropped``, ``failed``, ``kept`` and ``waiting``. With a store that several
    processes share, each counts what it did itself, and ``waiting`` is what it has claimed; the store's ``stats`` says
    how many events there are.

    Attributes:
        refused: answered with 4xx: not an event, of another subscription, or not verified.
        turned_away: answered with 503: the queue was full, or not running.
        duplicates: answered with 200, and known already.
        accepted: answered with 200, and queued; or taken from the backlog.
        handled: handled successfully, perhaps after several attempts.
        dropped: nothing to do: the athlete is not connected or the grant is dead, another process claimed it, or a
            deauthorization was false.
        failed: given up after an error, or cancelled at shutdown and not kept; the log says why.
        kept: left in the backlog at shutdown.
        waiting: not finished: queued, being handled, or waiting for a retry.
        taken_over: handled here, and claimed by another process meanwhile, because this one did not renew its lease in
            time: it was suspended, or could not reach the store.
    """

    refused: int = 0
    turned_away: int = 0
    duplicates: int = 0
    accepted: int = 0
    handled: int = 0
    dropped: int = 0
    failed: int = 0
    kept: int = 0
    waiting: int = 0
    taken_over: int = 0
