"""Unfinished events between two runs of a service: ``PersistedEvent``, and the ``Backlog`` that keeps them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Protocol, TypeGuard

from strava_async._types import is_object
from strava_async.clock import Clock
from strava_async.errors import InputError
from strava_async.webhooks.events import WebhookEvent, parse_event
from strava_async.webhooks.owners import Standing
from strava_async.webhooks.pending import GrantState, PendingEvent, WaitReason, after_interruption


@dataclass(frozen=True, slots=True)
class PersistedEvent:
    """An event that was accepted and not finished, and its progress.

    Attributes:
        event: the event.
        accepted_at: when it was received; Unix seconds.
        claimed: whether it was claimed, or may have been: it is not claimed again.
        grant_state: what a deauthorization has deleted so far.
        failures: how many attempts have failed, by what went wrong.
        standing: its state in the bounds of its athlete.
        waits_for: what its next attempt waits for; None if for none.
        error: the class of the error of the last attempt that failed; empty if none has.
    """

    event: WebhookEvent
    accepted_at: float
    claimed: bool = False
    grant_state: GrantState = GrantState.INTACT
    failures: Mapping[str, int] = field(default_factory=dict[str, int], hash=False)
    standing: Standing = field(default_factory=Standing, hash=False)
    waits_for: WaitReason | None = None
    error: str = ""

    @classmethod
    def of(cls, pending: PendingEvent) -> PersistedEvent:
        """Return what is to be kept of an event."""
        return cls(
            pending.event,
            pending.accepted_at,
            pending.claimed,
            pending.grant_state,
            dict(pending.failures),
            replace(pending.standing),
            pending.waits_for,
            pending.error,
        )

    def pending(self, clock: Clock) -> PendingEvent:
        """Return the event for an attempt in this process; it waits for nothing any more."""
        pending = PendingEvent.accepted(self.event, self.accepted_at, clock)
        pending.claimed, pending.grant_state = self.claimed, self.grant_state
        pending.failures, pending.standing = Counter(self.failures), replace(self.standing)
        pending.error = self.error
        return pending

    def interrupted(self) -> PersistedEvent:
        """Return it as it is taken after its holder was killed, at a step that is not known.

        It counts as claimed: a second ``claim`` would return False. Whether the tokens were deleted is looked up.
        """
        return replace(self, claimed=True, grant_state=after_interruption(self.event, self.grant_state))

    def merged(self, other: PersistedEvent) -> PersistedEvent:
        """Return one for two of the same event, which two processes have accepted, with the progress of both."""
        return replace(
            self,
            accepted_at=min(self.accepted_at, other.accepted_at),
            claimed=self.claimed or other.claimed,
            grant_state=max(self.grant_state, other.grant_state, key=list(GrantState).index),
            failures={
                what: max(self.failures.get(what, 0), other.failures.get(what, 0))
                for what in {**self.failures, **other.failures}
            },
        )

    def to_json(self) -> str:
        """Return it as JSON in ASCII."""
        value = {
            "event": asdict(self.event),
            "accepted_at": self.accepted_at,
            "claimed": self.claimed,
            "forgotten": self.grant_state.value,
            "failures": dict(self.failures),
            "standing": asdict(self.standing),
            "waits_for": None if self.waits_for is None else self.waits_for.value,
            "error": self.error,
        }
        return json.dumps(value)

    @classmethod
    def from_json(cls, text: str) -> PersistedEvent:
        """Return the event of a text of ``to_json``; what one of an earlier version lacks has its default.

        Raises:
            InputError: it is not such a text.
        """
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = None
        if not is_object(value):
            raise InputError("a persisted webhook event has to be a JSON object")
        event = parse_event(json.dumps(value.get("event")).encode("ascii"))
        failures: object = value.get("failures", {})
        match value:
            case {
                "accepted_at": int() | float() as at,
                "claimed": bool() as claimed,
                "forgotten": bool() | None as state,
            } if _are_counts(failures):
                standing, waits_for, error = _standing(value), _waits_for(value), value.get("error")
                known = error if isinstance(error, str) else ""
                return cls(event, at, claimed, GrantState(state), failures, standing, waits_for, known)
            case _:
                raise InputError(
                    "a persisted webhook event needs accepted_at, claimed and forgotten, and counts as failures"
                )


class Backlog(Protocol):
    """Keeps events from one process of a service to the next; ``SqliteBacklog`` is one.

    An event in it is free, or held by the process that took it or is shutting down. What a process holds is free as
    soon as that process has ended, however it ended, and no earlier: two running processes never hold the same event.
    Each method is cancelled after four seconds. What it raises is logged, and the service continues.
    """

    async def take(self) -> Sequence[PersistedEvent]:
        """Return the events that are free, in the order of ``accepted_at``, and hold them until they are settled.

        A concurrent ``take``, in any process, returns none of these. What was held by a process that has ended is
        returned as ``PersistedEvent.interrupted``.
        """
        ...

    async def hold(self, events: Sequence[PersistedEvent]) -> None:
        """Add events, or update those that are held already, and hold them: all or, if it raises, none.

        Called when the shutdown begins, for all that is unfinished.
        """
        ...

    async def settle(self, keys: Collection[str]) -> None:
        """Remove the events held by this object whose ``event.key`` is one of these; no others."""
        ...

    async def keep(self, events: Sequence[PersistedEvent]) -> None:
        """Add events, or update those that are held, and make them free: all or, if it raises, none.

        Called when the shutdown ends, for what is still unfinished.
        """
        ...


def check_backlog(backlog: object) -> None:
    """Raise InputError unless it has the methods of a ``Backlog``."""
    for name in ("take", "hold", "settle", "keep"):
        if not callable(getattr(backlog, name, None)):
            raise InputError(f"a backlog needs the methods take, hold, settle and keep: this has no {name}")


def _are_counts(value: object) -> TypeGuard[dict[str, int]]:
    return is_object(value) and all(type(count) is int and count >= 0 for count in value.values())


def _standing(value: Mapping[str, object]) -> Standing:
    found = value.get("standing")
    names = ("has_turn", "was_not_found", "retries_not_found")
    flags = {name: found.get(name) for name in names} if is_object(found) else {}
    return Standing(**{name: flag for name, flag in flags.items() if isinstance(flag, bool)})


def _waits_for(value: Mapping[str, object]) -> WaitReason | None:
    found = value.get("waits_for")
    return next((reason for reason in WaitReason if reason.value == found), None)
