"""When a webhook event is handled again after an error, and when no more.

====================================================  =====================================================
what went wrong                                       again after
====================================================  =====================================================
404 for what was just created                         2, 10, 60 s: Strava tells of it before it shows it; see
                                                      ``owners`` for athletes with many of them
the network, Strava, the token store, ``claim``,      5, 30 s, 2, 10, 30 min, then each hour: eight times
finding out whether a grant lives, and what
``retry_on`` names: any OSError if nothing else
quota is spent                                        when there is some again, for two days
``on_disconnect``, whatever it raised                 as the network, and then each hour, without an end
a dead grant                                          never: the athlete has to connect again
whatever else ``on_event`` raised; a thread that      never
``on_event`` has not left when its time was over
====================================================  =====================================================

A group of errors counts as the one among them that is repeated least. The errors of a connection, and TimeoutError, are
OSErrors. The two days are counted on the monotonic clock; the wall clock tells how much of them a backlog took.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeGuard

import anyio

from strava_async.clock import Clock
from strava_async.errors import (
    NotFoundError,
    QuotaExceededError,
    RateLimitedError,
    ServerError,
    TokenStoreError,
    TransportError,
)
from strava_async.webhooks.events import WebhookEvent
from strava_async.webhooks.owners import Standing

NOT_FOUND_SECONDS = (2.0, 10.0, 60.0)
TROUBLE_SECONDS = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 3600.0, 3600.0)
UNKNOWN_QUOTA_SECONDS = 60.0
LEAST_QUOTA_SECONDS = 5.0
MOST_QUOTA_SECONDS = 86_400.0
QUOTA_AGE_SECONDS = 2 * 86_400.0


class Held(Enum):
    """Whether an event is in the backlog, marked as held by this process.

    ``PERHAPS``: it was to be written, and nobody knows whether it was.
    """

    NOT = "not"
    PERHAPS = "perhaps"
    SURELY = "surely"


@dataclass(slots=True, eq=False)
class Job:
    """An event that was accepted, and how far it has come.

    Attributes:
        event: what happened.
        accepted_at: when it came; Unix seconds.
        came_at: when that was on the monotonic clock of this process.
        claimed: whether this process has the event; not asked again then.
        forgotten: whether the athlete's tokens were found dead and deleted, so that only ``on_disconnect`` is left;
            None if that was begun, and nobody knows how it ended.
        taken_back: whether it came from the backlog.
        held: whether it is in the backlog now.
        goes_on: whether a thread may still be at it, although its handling was cut off: no other process is to have it
            before this one is gone.
        out_of_quota: whether quota was what it lacked last.
        ready_at: since when it waits for a worker, on the monotonic clock; None while it does not.
        standing: among the events of its athlete.
        traced: the steps of its handling of which the log has a traceback.
        failures: how many attempts failed, by the row of the table.
    """

    event: WebhookEvent
    accepted_at: float
    came_at: float
    claimed: bool = False
    forgotten: bool | None = False
    taken_back: bool = False
    held: Held = Held.NOT
    goes_on: bool = False
    out_of_quota: bool = False
    ready_at: float | None = None
    standing: Standing = field(default_factory=Standing)
    traced: set[str] = field(default_factory=set[str])
    failures: Counter[str] = field(default_factory=Counter[str])

    @property
    def is_untouched(self) -> bool:
        """Whether nothing was done about it yet, in no run."""
        return not self.claimed and self.forgotten is False and not self.taken_back

    def pause_after(self, error: Exception, clock: Clock, retry_on: tuple[type[Exception], ...]) -> float | None:
        """Return the seconds until ``on_event`` is called again after it raised this; None if it is not.

        Args:
            error: what it raised.
            clock: tells how old the event is.
            retry_on: the errors that count as trouble, beside those of the table.
        """
        pauses = [self._pause_after(leaf, clock, retry_on) for leaf in leaves(error)]
        self.out_of_quota = any(isinstance(leaf, QuotaExceededError | RateLimitedError) for leaf in leaves(error))
        known = [pause for pause in pauses if pause is not None]
        return max(known) if len(known) == len(pauses) else None

    def pause_after_trouble(self, *, endless: bool = False) -> float | None:
        """Return the seconds until the next attempt after a failure that is not the event's; None if none follows.

        Args:
            endless: whether one always follows.
        """
        self.out_of_quota = False
        pause = self._next("trouble", TROUBLE_SECONDS)
        return TROUBLE_SECONDS[-1] if pause is None and endless else pause

    def pause_after_not_found(self) -> float | None:
        """Return the seconds until what Strava did not find is looked at again; None if it is not."""
        return self._next("not found", NOT_FOUND_SECONDS)

    def _pause_after(self, error: BaseException, clock: Clock, retry_on: tuple[type[Exception], ...]) -> float | None:
        match error:
            case QuotaExceededError():
                return self._pause_for_quota(error.wait_seconds, clock)
            case RateLimitedError():
                seconds = UNKNOWN_QUOTA_SECONDS if error.resume_at is None else error.resume_at - clock.time()
                return self._pause_for_quota(seconds, clock)
            case TransportError() | ServerError() | TokenStoreError():
                return self.pause_after_trouble()
            case NotFoundError() if self.event.aspect_type == "create":
                return self.pause_after_not_found()
            case _:
                return self.pause_after_trouble() if isinstance(error, retry_on) else None

    def _pause_for_quota(self, seconds: float, clock: Clock) -> float | None:
        if clock.monotonic() - self.came_at > QUOTA_AGE_SECONDS:
            return None
        return min(max(LEAST_QUOTA_SECONDS, seconds), MOST_QUOTA_SECONDS)

    def _next(self, what: str, pauses: tuple[float, ...]) -> float | None:
        failures = self.failures[what]
        self.failures[what] += 1
        return pauses[failures] if failures < len(pauses) else None


def leaves(error: BaseException) -> Iterable[BaseException]:
    """Return the errors of a group, and of the groups in it; of any other error itself."""
    if _is_group(error):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


def passing(error: BaseException, *also: type[BaseException]) -> BaseException | None:
    """Return what of an error no event may hold up, or None: a cancellation, KeyboardInterrupt, and these kinds."""
    kinds = (anyio.get_cancelled_exc_class(), KeyboardInterrupt, GeneratorExit, *also)
    if _is_group(error):
        return error.subgroup(kinds)
    return error if isinstance(error, kinds) else None


def _is_group(error: BaseException) -> TypeGuard[BaseExceptionGroup[BaseException]]:
    return isinstance(error, BaseExceptionGroup)
