"""An event that was accepted and is not finished yet, and the states that it goes through.

An attempt to handle it ends in an ``AttemptResult``:

=====================  ==========================================================================
result                 what follows
=====================  ==========================================================================
``Outcome.HANDLED``    it is finished: the application has done its part
``Outcome.DROPPED``    it is finished: there was nothing to do
``Outcome.FAILED``     it is finished: given up, and in the log
``Retry``              it is attempted again, after ``seconds``; ``reason`` says what it waits for
=====================  ==========================================================================

Of a deauthorization ``GrantState`` says how far the end of the grant has come:

===========  =====================================  ==============================================================
state        means                                  next
===========  =====================================  ==============================================================
``INTACT``   nothing was deleted for this event     ``UNKNOWN`` when Strava is asked
``UNKNOWN``  it was begun, and whoever began it     ``DELETED`` if Strava confirms it, or the athlete is not
             has not seen how it ended              connected at the next attempt; else ``INTACT``
``DELETED``  the tokens are gone, and               none: ``on_disconnect`` is called until it works, or the
             ``on_disconnect`` is left to be called  athlete connects again
===========  =====================================  ==============================================================

Where an event stands among the others of its object is a matter of its lane: see ``lanes``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum

from strava_async.webhooks.events import WebhookEvent
from strava_async.webhooks.owners import Standing


class Outcome(Enum):
    """How an event was finished: handled, dropped because there was nothing to do, or given up."""

    HANDLED = "handled"
    DROPPED = "dropped"
    FAILED = "failed"


class WaitReason(Enum):
    """What an event waits for before its next attempt.

    Attributes:
        NOT_FOUND: that Strava shows what was just created.
        TROUBLE: that the network, Strava, a store or the application recovers.
        QUOTA: that there is quota again.
        OWNER_TURN: that its athlete may have another attempt; see ``owners``.
        DENIED: that Strava may be asked again whether a grant is dead, which it has just denied.
    """

    NOT_FOUND = "not found"
    TROUBLE = "trouble"
    QUOTA = "quota"
    OWNER_TURN = "owner's turn"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Retry:
    """That an event is to be attempted again.

    Attributes:
        seconds: after how many.
        reason: what it waits for.
    """

    seconds: float
    reason: WaitReason


AttemptResult = Outcome | Retry


class GrantState(Enum):
    """How far the end of an athlete's grant has come, which an event says; see the table above.

    The values are those of the JSON that backlogs keep.
    """

    INTACT = False
    UNKNOWN = None
    DELETED = True


class BacklogState(Enum):
    """Whether an event is in the backlog, marked as held by this process.

    ``UNCERTAIN``: it was to be written, and nobody knows whether it was.
    """

    ABSENT = "absent"
    UNCERTAIN = "uncertain"
    STORED = "stored"


@dataclass(slots=True, eq=False)
class PendingEvent:
    """An event that was accepted, and how far it has come.

    Attributes:
        event: what happened.
        accepted_at: when it came; Unix seconds.
        came_at: when that was on the monotonic clock of this process.
        claimed: whether the application's ``claim`` gave it to this process; it is not asked again then.
        grant_state: how far the end of its athlete's grant has come.
        restored: whether it came from the backlog.
        backlog_state: whether it is in the backlog now.
        runs_on: whether a thread may still be working on it, although its handling was cut off: no other process may
            have it before this one has ended.
        waits_for: what its next attempt waits for; None while it waits for none.
        ready_at: since when it waits for a worker, on the monotonic clock; None while it does not.
        standing: where it stands among the events of its athlete.
        traced: the steps of its handling of which the log has a traceback.
        failures: how many attempts have failed, by the row of the table in ``retry``.
    """

    event: WebhookEvent
    accepted_at: float
    came_at: float
    claimed: bool = False
    grant_state: GrantState = GrantState.INTACT
    restored: bool = False
    backlog_state: BacklogState = BacklogState.ABSENT
    runs_on: bool = False
    waits_for: WaitReason | None = None
    ready_at: float | None = None
    standing: Standing = field(default_factory=Standing)
    traced: set[str] = field(default_factory=set[str])
    failures: Counter[str] = field(default_factory=Counter[str])

    @property
    def is_untouched(self) -> bool:
        """Whether nothing was done about it yet, by any process."""
        return not self.claimed and self.grant_state is GrantState.INTACT and not self.restored
