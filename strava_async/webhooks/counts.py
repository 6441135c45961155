"""Counts what became of webhook events."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Offer(Enum):
    """What became of an event that came: accepted, known already, or rejected, so that Strava sends it again."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"


@dataclass(slots=True)
class WebhookCounts:
    """What became of the requests to the callback.

    ``accepted`` is the sum of ``handled``, ``dropped``, ``failed``, ``kept`` and ``waiting``.

    Attributes:
        refused: answered with 4xx: not an event, not ours, or not known to be Strava's.
        turned_away: answered with 503: the queue was full, or not running.
        duplicates: answered with 200, and known already.
        accepted: answered with 200, and queued; or taken from the backlog.
        handled: handled successfully, perhaps after several attempts.
        dropped: there was nothing to do: the athlete is not connected or the grant is dead, another process has it, or
            a deauthorization was false.
        failed: given up after an error, or cut off at the end and not kept; the log says why.
        kept: given to the backlog at the end.
        waiting: not finished: in the queue, under way, or to be tried again.
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
