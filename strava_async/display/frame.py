"""What is shown of a harvest: a ``Frame`` while it runs, a ``Result`` at its end; and what shows them: ``Screen``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from strava_async.harvest.estimate import Estimate
from strava_async.harvest.outcome import Outcome, Progress
from strava_async.quota.readings import Quota


@dataclass(frozen=True, slots=True)
class Heading:
    """What does not change.

    Attributes:
        title: what runs, such as ``harvest``.
        place: the file or directory that everything goes to.
        zone: of the times that are shown; None means the machine's.
        remark: stands beside the time of day.
    """

    title: str
    place: str
    zone: tzinfo | None = None
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A wait for quota.

    Attributes:
        window: the meter without room, named as on ``Quota``.
        until: when it has room again; epoch seconds on Strava's clock.
        calls: how many wait.
        for_reserve: whether there is room, which background work leaves to others.
    """

    window: str
    until: float
    calls: int
    for_reserve: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """A harvest at an instant.

    Attributes:
        heading: what does not change.
        now: epoch seconds on Strava's clock.
        elapsed: seconds of real time since the beginning.
        progress: how far the harvest is; None before anything has come.
        quota: the four meters.
        waiting: None while no call waits for a window.
        estimate: what it will take, as it was estimated last; None if it was not yet.
        note: one more line; empty for none.
    """

    heading: Heading
    now: float
    elapsed: float
    progress: Progress | None
    quota: Quota
    waiting: Waiting | None = None
    estimate: Estimate | None = None
    note: str = ""


class Row(NamedTuple):
    """A row of the results: a name, a figure, and a remark."""

    name: str
    figure: str
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """A harvest that has ended.

    Attributes:
        outcome: how.
        frame: the last one.
        rows: what else there is to say, in rows.
    """

    outcome: Outcome
    frame: Frame
    rows: Sequence[Row] = ()


class Screen(Protocol):
    """Shows a harvest."""

    def say(self, text: str) -> None:
        """Show an event."""
        ...

    def show(self, frame: Frame) -> None:
        """Show the harvest as it is now; called several times a second."""
        ...

    def finish(self, result: Result) -> None:
        """Show the result."""
        ...

    def __enter__(self) -> Self:
        """Begin to show frames."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End showing frames; the last one stays."""
        ...
