"""What an export notes of an athlete: what is in which file, by which it is known what has changed. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from strava_async.harvest.base import Held, State
from strava_async.harvest.export.base import KINDS, Written
from strava_async.harvest.kinds import Kind

_VERSION = 1  # of what is written of an activity: one more, and everything is written again
Stat = tuple[int, int, int]
"""The size, the time and the number of a file, by which it is known again."""


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition that was written.

    Attributes:
        version: stands for everything that is in it.
        oldest: when the oldest of it came from Strava; epoch seconds.
        held: the activities of which something is in it, and of each the kinds.
        files: what they were when they had been written, by their paths.
        content: how much is in it.
    """

    version: str
    oldest: float
    held: Mapping[int, tuple[Kind, ...]]
    files: Mapping[str, Stat]
    content: Written

    def is_stale(self, held: Mapping[int, frozenset[Kind]], older_than: float) -> bool:
        """Return whether something is in it that came before an instant, or is not held any more."""
        return self.oldest < older_than or any(
            activity_id not in held or not held[activity_id].issuperset(kinds)
            for activity_id, kinds in self.held.items()
        )


Notes = Mapping[str, Partition]
"""The partitions of an athlete, by key."""


def write_notes(notes: Notes) -> str:
    """Return notes as JSON."""
    partitions = {
        key: {
            **asdict(partition),
            "held": {str(activity_id): list(kinds) for activity_id, kinds in partition.held.items()},
        }
        for key, partition in notes.items()
    }
    return json.dumps({"partitions": partitions})


def read_notes(text: str) -> Notes:
    """Return what was written; nothing, if it is damaged."""
    try:
        partitions: dict[str, Any] = json.loads(text)["partitions"]
        return {
            key: Partition(
                version=each["version"],
                oldest=float(each["oldest"]),
                held={int(number): tuple(map(Kind, kinds)) for number, kinds in each["held"].items()},
                files={path: (stat[0], stat[1], stat[2]) for path, stat in each["files"].items()},
                content=Written(**each["content"]),
            )
            for key, each in partitions.items()
        }
    except (ValueError, LookupError, TypeError, AttributeError):
        return {}


class Version:
    """Makes the version of a partition from its activities, in their order."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(b"%d" % _VERSION, digest_size=16)

    def add(self, held: Held) -> None:
        """Add an activity that was read with its row."""
        row = held.row or b""
        states = [
            (found.state, found.fetched_at if found.state == State.STORED else 0)
            for kind in KINDS
            if (found := held.resources.get(kind))
        ]
        self._hash.update(repr((held.activity.id, len(row), states)).encode())
        self._hash.update(row)

    @property
    def text(self) -> str:
        """The version of what was added."""
        return self._hash.hexdigest()


def kinds_in(held: Held) -> tuple[Kind, ...]:
    """Return the kinds that an export has of an activity that was read with its bodies."""
    return tuple(kind for kind in KINDS if (found := held.resources.get(kind)) and found.body is not None)


def kinds_of(held: Held) -> frozenset[Kind]:
    """Return the kinds of an activity of which there may be a body; it was read without."""
    return frozenset(kind for kind in KINDS if (found := held.resources.get(kind)) and found.state != State.NONE)


def oldest_of(held: Held) -> float:
    """Return when the oldest came of what an export has of an activity."""
    return min([held.listed_at, *(held.resources[kind].fetched_at for kind in kinds_in(held))])
