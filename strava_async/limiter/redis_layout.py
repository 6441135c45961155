"""The order in which the records of a shared quota are packed for Redis, and in which its script has them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from typing import Any, cast

from strava_async.quota.fleet.messages import NONE, Reply, Report
from strava_async.quota.fleet.state import Fleet

_PAIRS, _FOURS = ("granted", "number_at", "lateness", "elsewhere"), ("usage", "limits")  # of a reply


class Layout:
    """The order of a record's numbers.

    Args:
        named: the fields, and how many numbers each has.

    Attributes:
        places: for each field the place of its first number, from 1 on, and how many it has.
        size: how many numbers there are.
    """

    def __init__(self, named: Iterable[tuple[str, int]]) -> None:
        self.places: dict[str, tuple[int, int]] = {}
        self.size = 0
        for name, size in named:
            self.places[name] = (self.size + 1, size)
            self.size += size

    def followed_by(self, *names: str) -> Layout:
        """Return a layout with further fields of one number each."""
        return Layout([*((name, size) for name, (_, size) in self.places.items()), *((name, 1) for name in names)])

    def with_all_of(self, other: Layout) -> Layout:
        """Return a layout with the fields of another one behind its own."""
        return Layout((name, size) for each in (self, other) for name, (_, size) in each.places.items())

    def flat(self, record: object) -> list[float]:
        """Return the numbers of a record."""
        numbers: list[float] = []
        for name, (_, size) in self.places.items():
            value: Any = getattr(record, name)
            numbers += value if size > 1 else (value,)
        return numbers

    def fields(self, numbers: Sequence[float], kinds: dict[str, Callable[..., Any]]) -> dict[str, Any]:
        """Return the fields that numbers are.

        Args:
            numbers: whole ones.
            kinds: what makes some of the fields from their number, or from their list of numbers.
        """
        found: dict[str, Any] = {}
        for name, (first, size) in self.places.items():
            whole = [int(number) for number in numbers[first - 1 : first - 1 + size]]
            kind = kinds.get(name, tuple if size > 1 else int)
            found[name] = kind(whole if size > 1 else whole[0])
        return found


def _sizes(kind: Any, *without: str) -> list[tuple[str, int]]:
    """Return the fields of a dataclass, and how many numbers their defaults are."""
    return [(each.name, _size(each.default)) for each in fields(kind) if each.name not in without]


def _size(default: object) -> int:
    return len(cast("tuple[int, ...]", default)) if isinstance(default, tuple) else 1


FLEET = Layout(_sizes(Fleet, "doubts", "lost", "rows"))
REPORT = Layout(_sizes(Report, "process", "unconfirmed"))
REPLY = Layout((each.name, 2 if each.name in _PAIRS else 4 if each.name in _FOURS else 1) for each in fields(Reply))
# In the order in which it is packed. ``asks``, ``lease`` and ``known`` are milliseconds from ``at`` on, and ``wanted``
# is one more than ``wanted_at``: so none is below zero.
ROW = Layout(
    [
        *((name, 1) for name in ("at", "count", "asks", "wanted", "lease", "known")),
        ("held", 2),
        ("done", 2),
        ("wants", 4),
        ("ahead", 1),
        ("entries", 1),
        ("slot", 1),
    ]
)

# With what the script adds: how many rows there are, when the keys were last told to expire, sums of the rows, until
# when they hold, and how much of the rest follows.
SUMS = Layout(
    [
        ("held", 2),
        ("done", 2),
        ("with_entries", 1),
        ("unused", 1),
        ("waiting", 1),
        ("urgent", 1),
        ("wished", 1),
        ("lease_ends_at", 1),
        ("sums_until", 1),
    ]
)
STATE = FLEET.followed_by("known_rows", "kept_at").with_all_of(SUMS).followed_by("doubts", "lost")
NEW_STATE = [*(int(number) for number in FLEET.flat(Fleet())), 0, NONE, *[0] * (SUMS.size + 2)]
REPORTED = REPORT.followed_by("entries")
REQUESTS = Layout([("read", 1), ("overall", 1), ("arrived_at", 1), ("in_window", 1), ("process", 1)])
DOUBT = Layout([("usage", 1), ("at", 1), ("process", 1)])
