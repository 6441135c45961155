"""What goes wrong for real between processes that share a quota: how it is run, and what came of it.

Several processes send as fast as they can over the turn of a quarter hour, until the window after it is spent. Strava
is an emulator over loopback, in a process of its own, and counts. All clocks run so many times as fast as the
machine's; a tenth of that in the long runs, which have more processes. What each run has cost is printed (``-s``).
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.fleet_clock import Pace
from benchmarks.fleet_processes import (
    Fleet,
    MeetingPlace,
    Sent,
    Setup,
    limits_of,
    running_fleet,
)
from benchmarks.processes import Process
from tests.environment import clean_environment
from tests.redis_server import RedisServer, running

FAST = 30.0
LIMIT = 400
TASKS = 10
LATENCY = 1.0  # so that requests are under way when something happens
CALM_SECONDS = 10.0

Disturb = Callable[[Fleet], Awaitable[None]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=[pytest.param(FAST, id="fast"), pytest.param(3.0, marks=pytest.mark.long, id="slow")])
def setup(request: pytest.FixtureRequest) -> Setup:
    return Setup(
        sys.executable,
        limits_of(LIMIT),
        processes=2 if request.param == FAST else 3,
        pace=Pace(request.param),
        begins_in=24.0,
        latency=LATENCY,
        environ=clean_environment(),
    )


@dataclass
class Outcome:
    """What came of a run."""

    sent: Sent
    figures: list[dict[str, Any]]
    after_turn: Sequence[int]

    @property
    def used(self) -> list[int]:
        """The units of each window that were spent."""
        return [sum(counts) for _, counts in sorted(self.sent.served.items())]

    def messages(self, level: str, words: str) -> list[int]:
        """Return how many such messages each process has logged."""
        return [sum(kind == level and words in text for kind, text in each["messages"]) for each in self.figures]


async def run(
    setup: Setup,
    place: MeetingPlace,
    disturb: Disturb,
    *,
    spends: int | None = None,
    survivors: slice = slice(None),
    calm: float = CALM_SECONDS,
) -> Outcome:
    """Let all processes send while something goes wrong, and then until the window after the turn is spent.

    Args:
        setup: the processes.
        place: where they meet.
        disturb: makes something go wrong.
        spends: how many units of that window are spent at least; None means all.
        survivors: the processes that live to the end.
        calm: seconds at the end, in which nobody may send.
    """
    async with running_fleet(setup, place) as fleet:
        await fleet.ask_all("start", tasks=TASKS)
        await disturb(fleet)
        alive = fleet.workers[survivors]
        await until_spent(fleet, setup.limit if spends is None else spends)
        await until_back(fleet, alive)
        await fleet.clock.sleep(calm)
        sent, figures = await fleet.sent(), await fleet.ask_all("figures", alive)
        await fleet.ask_all("stop", alive)
    outcome = Outcome(sent, figures, sent.served[fleet.first + 1])
    print(f"\n{sent.refusals} 429s, used {outcome.used}, round trips {place.trips()}", end="")
    return outcome


async def until_spent(fleet: Fleet, units: int) -> None:
    """Wait until so many units of the window after the turn are spent, or it is over."""
    window = fleet.first + 1
    while fleet.clock.time() < 900 * (window + 1):
        if sum((await fleet.sent()).served.get(window, ())) >= units:
            return
        await fleet.clock.sleep(1.0)
    raise AssertionError(f"the window is over, but not spent: {(await fleet.sent()).served}")


async def until_back(fleet: Fleet, alive: Sequence[Process]) -> None:
    """Wait until no process believes that the meeting place is away."""
    while any(figures["state"] == "away" for figures in await fleet.ask_all("figures", alive)):
        await fleet.clock.sleep(3.0)


async def nothing(fleet: Fleet) -> None:
    """Let nothing go wrong."""


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of the test's own, which forgets all when it is killed."""
    with running(tmp_path / "redis", "--appendonly", "no") as server:
        yield server


async def over_a_turn(fleet: Fleet) -> None:
    """Wait until shortly before the turn."""
    await fleet.until(1, -15.0)


async def while_sending(fleet: Fleet) -> None:
    """Wait until some requests of the window after the turn are answered, whenever a busy machine comes to it."""
    await fleet.until(1)
    await until_spent(fleet, 10)


async def until_away(fleet: Fleet) -> None:
    """Wait until a process has found that the meeting place is away."""
    while not any(figures["state"] == "away" for figures in await fleet.ask_all("figures")):
        assert fleet.clock.time() < 900 * (fleet.first + 2), "the window is over, and nobody has missed it"
        await fleet.clock.sleep(3.0)


GONE = 75.0  # seconds; half a minute in the long runs, where a minute of the clock takes twenty seconds
OVER_A_TURN_AND_WHILE_SENDING = pytest.mark.parametrize(
    "begin",
    [
        pytest.param(over_a_turn, id="over a turn"),
        pytest.param(while_sending, id="while sending", marks=pytest.mark.long),
    ],
)


async def run_without_place(
    setup: Setup, place: MeetingPlace, begin: Disturb, take_away: Callable[[], None], bring_back: Callable[[], None]
) -> None:
    """Let a meeting place be away for some leases and what calls may take, and until that was noticed.

    Args:
        setup: the processes.
        place: where they meet.
        begin: waits until it is to be away.
        take_away: makes it be so.
        bring_back: ends that.
    """

    async def be_away(fleet: Fleet) -> None:
        await begin(fleet)
        take_away()
        await fleet.clock.sleep(GONE)
        await until_away(fleet)
        bring_back()

    limit = 100
    # Alone they leave some units; a refused request is one as well.
    spends = limit - 2 * setup.processes
    slow = replace(setup, limits=limits_of(limit), latency=4 * LATENCY)  # the window lasts as long as with more units
    outcome = await run(slow, place, be_away, spends=spends)
    assert not any(each["errors"] for each in outcome.figures)
    assert sum(each["answers"] for each in outcome.figures) == sum(map(sum, outcome.sent.served.values()))
    assert max(map(sum, zip(*outcome.sent.refused.values(), strict=True)), default=0) <= 1  # of each process
    # That an outage is one warning is seen in test_shared.py. Here the machine may stand still for as long as one.
    assert any(outcome.messages("WARNING", "is away"))
    assert outcome.messages("WARNING", "is away") == outcome.messages("INFO", "is back")
