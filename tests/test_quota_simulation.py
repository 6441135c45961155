"""Simulated days: the library's limiter against an oracle that reads the server's books (``quota_simulation``).

``speed`` is the oracle's mean time from wish to answer, divided by ours. A 429 is foreseeable where this client is
alone and no limit is cut.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from strava_async.quota import Priority
from strava_async.testing.meters import MeterLimits, Meters
from tests.quota_simulation import (
    LARGE,
    MIDNIGHT,
    TEN_O_CLOCK,
    Client,
    Desk,
    Job,
    Oracle,
    World,
    mean_done,
    ragged,
    slow,
)

Build = Callable[[World, Client], list[Job]]


def backlog(count: int, *, uploads: int = 0, priority: Priority = Priority.NORMAL) -> Build:
    def build(world: World, client: Client) -> list[Job]:
        jobs = [Job(world.now, "upload" if i < uploads else "read", priority) for i in range(count)]
        world.rng.shuffle(jobs)
        return world.add(client, jobs)

    return build


def trickle(count: int, seconds: float) -> Build:
    def build(world: World, client: Client) -> list[Job]:
        return world.add(client, [Job(world.now + seconds * i / count) for i in range(count)])

    return build


def cancellations(world: World, client: Client) -> list[Job]:
    jobs = world.add(client, [Job(world.now + world.rng.uniform(0, 600)) for _ in range(1_000)])
    for job in world.rng.sample(jobs, 400):
        world.cancel(client, job, job.asked_at + world.rng.choice([0.01, 0.05, 0.1, 100.0, 900.2, 2_000.0]))
    return jobs


def neighbours(world: World, client: Client) -> list[Job]:
    at = world.now
    while at < world.now + 9_000:
        at += world.rng.expovariate(1 / 40)
        world.foreign(at)
    return backlog(600)(world, client)


def changing_limits(world: World, client: Client) -> list[Job]:
    def set_limits(limits: MeterLimits) -> Callable[[], None]:
        return lambda: setattr(world.meters, "limits", limits)

    # At boundaries: a raise in the middle of a full window is known to nobody who sends nothing.
    world.at(world.local_time(TEN_O_CLOCK + 1_800), set_limits(LARGE))
    world.at(world.local_time(TEN_O_CLOCK + 4_500), set_limits(MeterLimits()))
    return backlog(900)(world, client)


def used_up(world: World, client: Client) -> list[Job]:
    for _ in range(90):
        world.meters.count("read", world.server_time(world.now))
    return backlog(500)(world, client)


def several_days(world: World, client: Client) -> list[Job]:
    return backlog(2_500)(world, client)


def bursts(world: World, client: Client) -> list[Job]:
    jobs = [Job(world.now + 900 * i + world.rng.uniform(-3, 3) + 895, "read") for i in range(40) for _ in range(25)]
    return world.add(client, jobs)


def spoil_some(rng: random.Random, headers: dict[str, str]) -> dict[str, str] | None:
    """Let headers be missing, be nonsense, and answers be lost."""
    lot = rng.random()
    if lot < 0.03:
        return None
    if lot < 0.25:
        return {"Date": headers["Date"]} if lot < 0.15 else {}
    if lot < 0.35:
        name = rng.choice(list(headers))
        nonsense = rng.choice(
            ["", ",", "12", "-1,-1", "1,2,3", "١,٢", "9" * 5_000 + ",1", "100, 1000, 100, 1000", "0,0"]
        )
        return {**headers, name: nonsense}
    if lot < 0.45:
        del headers["Date"]
    return headers


@dataclass(frozen=True)
class Scenario:
    name: str
    build: Build
    foreseeable: bool = True
    least_speed: float = 0.998
    world: tuple[tuple[str, Any], ...] = ()


def scenario(
    name: str, build: Build, *, foreseeable: bool = True, least_speed: float = 0.998, **world: Any
) -> Scenario:
    return Scenario(name, build, foreseeable, least_speed, tuple(world.items()))


SCENARIOS = [
    scenario("a thousand waiters at once", backlog(1_000)),
    scenario("ten thousand, large limits", backlog(3_000), limits=LARGE),
    scenario("a day's trickle", trickle(1_400, 80_000.0)),
    scenario("two days and a half", several_days),
    scenario("cancellation storm", cancellations),
    scenario("clock 20 s ahead", backlog(500), skew=20.0, start=TEN_O_CLOCK + 885.5),
    scenario("clock 20 s behind", backlog(500), skew=-20.0, start=TEN_O_CLOCK + 885.5),
    scenario("clock 2 min ahead", backlog(500), skew=120.0, start=TEN_O_CLOCK + 850.9),
    scenario("clock 2 min behind", backlog(500), skew=-120.0, start=TEN_O_CLOCK + 850.9),
    scenario("headers missing and malformed", backlog(800), spoil=spoil_some, latency=ragged),
    scenario("neighbours spend", neighbours, foreseeable=False, least_speed=0.97),
    scenario("limits raised and cut", changing_limits, foreseeable=False),
    scenario("restart at 90 %", used_up),
    scenario("uploads and reads", backlog(1_000, uploads=300)),
    scenario("uploads only", backlog(1_000, uploads=1_000)),
    scenario("burst over midnight", backlog(1_200), start=MIDNIGHT - 2.4),
    scenario("bursts across boundaries", bursts),
    scenario("answers straddle resets", trickle(950, 7_500), latency=slow, least_speed=0.99),
    scenario("answers out of order", backlog(800), latency=ragged),
    scenario("background alone", backlog(500, priority=Priority.BACKGROUND), least_speed=0.7),
]


def play(case: Scenario, seed: int, make: Callable[[World], Client]) -> tuple[World, list[Job]]:
    options = dict(case.world)
    meters = Meters(options.pop("limits", None))
    world = World(seed=seed, meters=meters, now=1_000 + random.Random(seed).random(), **options)
    client = make(world)
    jobs = case.build(world, client)
    world.run(client)
    return world, jobs


def desk(world: World) -> Desk:
    return Desk(world.now, world.wall, seed=world.seed)


def speed(case: Scenario, seed: int) -> tuple[float, World, list[Job]]:
    world, jobs = play(case, seed, desk)
    _, ideal = play(case, seed, Oracle)
    return mean_done(ideal) / mean_done(jobs), world, jobs


@pytest.mark.parametrize("case", SCENARIOS, ids=lambda case: case.name)
def test_a_scenario_is_nearly_as_fast_as_the_oracle_and_causes_no_429(case: Scenario) -> None:
    ratio, world, jobs = speed(case, seed=1)
    assert all(job.done_at is not None or job.cancelled for job in jobs)
    assert ratio >= case.least_speed
    if case.foreseeable:
        assert world.rejections == []
