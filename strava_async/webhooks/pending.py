"""An event that was accepted and is not finished yet, and the states that it goes through.

An attempt to handle it ends in an ``AttemptResult``:

=====================  ==========================================================================
result                 what follows
=====================  ==========================================================================
``Outcome.HANDLED``    it is finished: the application has handled it
``Outcome.DROPPED``    it is finished: there was nothing to do
``Outcome.FAILED``     it is finished: given up, and logged
``Retry``              it is attempted again, after ``seconds``; ``reason`` says what it waits for
=====================  ==========================================================================

The ``GrantState`` of a deauthorization says what has been deleted:

===========  =====================================  ==============================================================
state        means                                  next
===========  =====================================  ==============================================================
``INTACT``   nothing was deleted for this event     ``UNKNOWN`` while Strava is queried
``UNKNOWN``  an attempt to delete was begun, and    ``DELETED`` if Strava confirms it, or the athlete is not
             its result is not known                connected at the next attempt; else ``INTACT``
``DELETED``  the tokens are gone, and               none: ``on_disconnect`` is called until it works, or the
             ``on_disconnect`` is left to be called  athlete connects again
===========  =====================================  ==============================================================

The position of an event among the others of its object is that of its lane: see ``lanes``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum

from strava_async.clock import Clock
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
        NOT_FOUND: Strava shows what was just created.
        TROUBLE: the network, Strava, a store or the application recovers.
        QUOTA: there is quota again.
        OWNER_TURN: its athlete may have another attempt; see ``owners``.
        DENIED: a minute is over since Strava said that the grant is valid.
    """

    NOT_FOUND = "not found"
    TROUBLE = "trouble"
    QUOTA = "quota"
    OWNER_TURN = "owner's turn"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Retry:
    """The result of an attempt after which the event is attempted again.

    Attributes:
        seconds: after how many.
        reason: what it waits for.
    """

    seconds: float
    reason: WaitReason


AttemptResult = Outcome | Retry


class GrantState(Enum):
    """What a deauthorization has deleted so far; see the table above.

    The values are those of the JSON that backlogs keep.
    """

    INTACT = False
    UNKNOWN = None
    DELETED = True


class BacklogState(Enum):
    """Whether an event is in the backlog, marked as held by this process.

    ``UNCERTAIN``: a write was begun, and its result is not known.
    """

    ABSENT = "absent"
    UNCERTAIN = "uncertain"
    STORED = "stored"


@dataclass(slots=True, eq=False)
class PendingEvent:
    """An event that was accepted, and its progress.

    An event store that outlives this process stores ``event``, ``accepted_at``, ``claimed``, ``grant_state``,
    ``standing``, ``waits_for``, ``failures`` and ``error``. The rest is of this process: ``accepted`` sets ``came_at``
    again.

    Attributes:
        event: the event.
        accepted_at: when it was received; Unix seconds.
        came_at: the same instant on the monotonic clock of this process.
        claimed: whether the application's ``claim`` has returned True for it; it is not called again then.
        grant_state: what a deauthorization has deleted so far.
        restored: whether it came from the backlog.
        backlog_state: whether it is in the backlog now.
        runs_on: whether a thread may still be working on it, although its handling was cancelled: no other process may
            have it before this one has ended.
        waits_for: what its next attempt waits for; None while it waits for none.
        ready_at: since when it waits for a worker, on the monotonic clock; None while it does not.
        standing: its state in the bounds of its athlete.
        traced: the steps whose errors were logged with a traceback.
        failures: how many attempts have failed, by the row of the table in ``retry``.
        error: the class of the error that the last failed attempt ended with; empty if none has failed.
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
    error: str = ""

    @classmethod
    def accepted(cls, event: WebhookEvent, accepted_at: float, clock: Clock) -> PendingEvent:
        """Return an event that was received at that Unix time, by this process or another."""
        return cls(event, accepted_at, clock.monotonic() - max(clock.time() - accepted_at, 0.0))

    @property
    def is_untouched(self) -> bool:
        """Whether nothing was done about it yet, by any process."""
        return not self.claimed and self.grant_state is GrantState.INTACT and not self.restored

    def note_interruption(self) -> None:
        """Note that its worker was lost, at a step that is not known: it may have claimed it, or deleted tokens."""
        self.claimed = True
        self.grant_state = after_interruption(self.event, self.grant_state)


def after_interruption(event: WebhookEvent, state: GrantState) -> GrantState:
    """Return the state of a grant after the worker of an event was lost."""
    return GrantState.UNKNOWN if event.is_deauthorization and state is GrantState.INTACT else state
