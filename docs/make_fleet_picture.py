"""Draws ``docs/fleet.svg``, a quota that eight processes share beside one that they do not.

``python -m docs.make_fleet_picture`` takes the figures from the simulation in ``tests/quota``, two hours of it.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strava_async.testing.meters import MeterLimits, Meters
from tests.quota.fleet.simulation import FleetDesk, Place
from tests.quota.simulation import Desk, Job, World

PICTURE = Path(__file__).parent / "fleet.svg"
PROCESSES, TASKS, LIMIT, WINDOWS = 8, 50, 100, 8
START = 1_767_693_600.0 + 300  # in the middle of a window, which is not drawn


@dataclass(frozen=True)
class Window:
    """A quarter hour.

    Attributes:
        served: how many requests of each process Strava served.
        refused: how many it answered with 429.
    """

    served: tuple[int, ...]
    refused: int


class Recorded(World):
    """A world that remembers what the server answered, by window."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.served: Counter[tuple[int, Any]] = Counter()
        self.refused: Counter[int] = Counter()

    def _arrive(self, client: Any, job: Job) -> None:
        before = len(self.rejections)
        super()._arrive(client, job)
        window = int(self.server_time(self.now) // 900)
        if len(self.rejections) > before:
            self.refused[window] += 1
        else:
            self.served[window, client] += 1


class Again(Job):
    """A call that is made again as soon as it has ended."""

    then: Callable[[], None]

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "done_at" and value is not None:
            self.then()


def simulate(shared: bool) -> list[Window]:
    """Return what happens to processes that always have calls to make."""
    limits = MeterLimits(2 * LIMIT, 40 * LIMIT, LIMIT, 20 * LIMIT)
    world = Recorded(seed=1, meters=Meters(limits), start=START)
    place = Place(world)
    desks: list[Any] = [
        FleetDesk(place, f"p{index}") if shared else Desk(world.now, world.wall, seed=index)
        for index in range(PROCESSES)
    ]

    def make(desk: Any) -> None:
        job = Again(world.now)
        job.then = lambda: make(desk)
        world.add(desk, [job])

    for desk in desks:
        for _ in range(TASKS):
            world.at(world.now + world.rng.random(), lambda desk=desk: make(desk))
    world.run(*desks, until=world.now + 600 + 900 * WINDOWS - 1)
    first = int(START // 900) + 1
    return [
        Window(tuple(world.served[window, desk] for desk in desks), world.refused[window])
        for window in range(first, first + WINDOWS)
    ]


# -- drawing -----------------------------------------------------------------------------------------------------------

PANEL, LEFT, TOP, HEIGHT, BAR, GAP = 372, 44, 58, 210, 28, 10
SHADES = ("#0b3c5d", "#14527a", "#1f6896", "#2f7fb0", "#4896c6", "#68add7", "#8fc4e4", "#b8daef")
RED, INK, FAINT = "#c62828", "#1f2328", "#8c959f"


def picture(alone: list[Window], shared: list[Window]) -> str:
    """Return the picture."""
    most = max(sum(window.served) + window.refused for window in (*alone, *shared))
    scale = HEIGHT / max(most, LIMIT * 1.1)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * PANEL}" height="{TOP + HEIGHT + 62}" '
        f'viewBox="0 0 {2 * PANEL} {TOP + HEIGHT + 62}" font-family="system-ui, sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        *panel(0, "RateLimiter in each process", alone, scale),
        *panel(PANEL, "SqliteRateLimiter or RedisRateLimiter", shared, scale),
        *legend(TOP + HEIGHT + 46),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def panel(x: int, title: str, windows: list[Window], scale: float) -> Iterator[str]:
    """Yield one half of the picture."""
    refused = sum(window.refused for window in windows)
    base = TOP + HEIGHT
    yield f'<text x="{x + LEFT}" y="22" font-size="14" font-weight="600" fill="{INK}">{title}</text>'
    result = f"{refused} requests answered with 429" if refused else "no 429"
    yield f'<text x="{x + LEFT}" y="41" fill="{RED if refused else INK}">{result}, in two hours</text>'
    for number, window in enumerate(windows):
        yield from bar(x + LEFT + 4 + number * (BAR + GAP), base, window, scale)
    y, end = base - LIMIT * scale, x + LEFT + WINDOWS * (BAR + GAP)
    yield f'<line x1="{x + LEFT}" y1="{y:.1f}" x2="{end}" y2="{y:.1f}" stroke="{INK}" stroke-dasharray="4 3"/>'
    yield f'<text x="{x + LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="{INK}">{LIMIT}</text>'
    yield f'<line x1="{x + LEFT}" y1="{base}" x2="{end}" y2="{base}" stroke="{FAINT}"/>'
    yield f'<text x="{x + LEFT}" y="{base + 18}" fill="{FAINT}">eight quarter hours, one after the other</text>'


def bar(x: int, base: int, window: Window, scale: float) -> Iterator[str]:
    """Yield what became of one window: a piece for each process, and the refusals on top."""
    y = float(base)
    for count, shade in zip((*window.served, window.refused), (*SHADES, RED), strict=True):
        y -= count * scale
        yield f'<rect x="{x}" y="{y:.1f}" width="{BAR}" height="{count * scale:.1f}" fill="{shade}"/>'
    if window.refused:
        yield f'<text x="{x + BAR / 2}" y="{y - 4:.1f}" text-anchor="middle" fill="{RED}">{window.refused}</text>'


def legend(y: int) -> Iterator[str]:
    """Yield what the colours mean."""
    x = LEFT
    for shade in SHADES:
        yield f'<rect x="{x}" y="{y - 10}" width="12" height="12" fill="{shade}"/>'
        x += 14
    yield f'<text x="{x + 4}" y="{y}" fill="{INK}">served, by process</text>'
    x += 124
    yield f'<rect x="{x}" y="{y - 10}" width="12" height="12" fill="{RED}"/>'
    yield f'<text x="{x + 18}" y="{y}" fill="{INK}">answered with 429</text>'
    yield f'<text x="{x + 140}" y="{y}" fill="{INK}">- - -</text>'
    yield f'<text x="{x + 170}" y="{y}" fill="{INK}">Strava\'s limit: {LIMIT} reads in a quarter hour</text>'


def main() -> int:
    """Write the picture."""
    PICTURE.write_text(picture(simulate(shared=False), simulate(shared=True)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
