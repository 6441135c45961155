"""What outlives a process: an event that was accepted and not finished, and who keeps it (``Backlog``)."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Protocol, TypeGuard

from strava_async._types import is_object
from strava_async.errors import InputError
from strava_async.webhooks import WebhookEvent, parse_event


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """An event that was accepted and not finished, and how far it has come.

    Attributes:
        event: what happened.
        accepted_at: when it came; Unix seconds.
        claimed: whether it was claimed, or may have been: it is not claimed again.
        forgotten: whether the athlete's tokens were deleted, so that only ``on_disconnect`` is left; None if that was
            cut off while it was found out.
        failures: how many attempts have failed, by what went wrong.
    """

    event: WebhookEvent
    accepted_at: float
    claimed: bool = False
    forgotten: bool | None = False
    failures: Mapping[str, int] = field(default_factory=dict[str, int], hash=False)

    def interrupted(self) -> KeptEvent:
        """Return it as it is to be taken after its holder was killed: nobody knows how far that one had come.

        A claim counts as made, because asked again it would say no; and whether tokens were deleted is found out.
        """
        unknown = None if self.event.is_deauthorization and not self.forgotten else self.forgotten
        return replace(self, claimed=True, forgotten=unknown)

    def merged(self, other: KeptEvent) -> KeptEvent:
        """Return one of two that are about the same event, which two processes have accepted: the further of each."""
        states = (self.forgotten, other.forgotten)
        return KeptEvent(
            self.event,
            min(self.accepted_at, other.accepted_at),
            self.claimed or other.claimed,
            True if True in states else None if None in states else False,
            {
                what: max(self.failures.get(what, 0), other.failures.get(what, 0))
                for what in {**self.failures, **other.failures}
            },
        )

    def to_json(self) -> str:
        """Return it as JSON in ASCII."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> KeptEvent:
        """Return what ``to_json`` made a text of; one that was made before failures were counted has none.

        Raises:
            InputError: it is no such text.
        """
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = None
        if not is_object(value):
            raise InputError("a kept webhook event is a JSON object")
        event = parse_event(json.dumps(value.get("event")).encode("ascii"))
        failures: object = value.get("failures", {})
        match value:
            case {
                "accepted_at": int() | float() as at,
                "claimed": bool() as claimed,
                "forgotten": bool() | None as left,
            } if _are_counts(failures):
                return cls(event, at, claimed, left, failures)
            case _:
                raise InputError("a kept webhook event says when it was accepted, and how far it has come")


class Backlog(Protocol):
    """Keeps events from one process of a service to the next; ``SqliteBacklog`` is one.

    An event in it is free, or held by the process that took it or is about to end. What a process holds is free as
    soon as that process is gone, however it ended, and no earlier: two that live never have the same. Each method is
    cancelled after four seconds. What it raises is logged, and the service goes on.
    """

    async def take(self) -> Sequence[KeptEvent]:
        """Return the events that are free, in the order of ``accepted_at``, and hold them until they are settled.

        Whoever else takes at the same time, in whatever process, gets none of these. What was held by a process that
        is gone is returned as ``KeptEvent.interrupted`` says.
        """
        ...

    async def hold(self, events: Sequence[KeptEvent]) -> None:
        """Put events there, or what is new of those that are held already, and hold them: all or, if it raises, none.

        It is called at the beginning of the end, for all that is unfinished.
        """
        ...

    async def settle(self, keys: Collection[str]) -> None:
        """Remove those of the events held here whose ``event.key`` is one of these. Others, and unknown ones, stay."""
        ...

    async def keep(self, events: Sequence[KeptEvent]) -> None:
        """Put events there, or what is new of those that are held, and let them be free: all or, if it raises, none.

        It is called at the end, for what is still unfinished.
        """
        ...


def check_backlog(backlog: object) -> None:
    """Raise InputError unless it has the methods of a ``Backlog``."""
    for name in ("take", "hold", "settle", "keep"):
        if not callable(getattr(backlog, name, None)):
            raise InputError(f"a backlog has the methods take, hold, settle and keep: this has no {name}")


def _are_counts(value: object) -> TypeGuard[dict[str, int]]:
    return is_object(value) and all(type(count) is int and count >= 0 for count in value.values())
