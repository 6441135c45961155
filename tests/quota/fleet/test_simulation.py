"""The figures of a shared quota, in virtual time; printed with ``-s``. A call to the meeting place takes 1 ms."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from strava_async.quota.values import Priority
from tests.quota.fleet.simulation import FleetDesk, Harvesters, percentile, poisson
from tests.quota.simulation import Job, Latency, ragged, slow, steady

pytestmark = pytest.mark.one_python
TRIPS = {600: 0.25, 3_000: 0.12}  # round trips for a request, at the most; at 100 they are counted by window
SEEDS = [
    pytest.param(limit, seed, marks=[pytest.mark.long] if seed > 1 or limit > 1_000 else [])
    for limit in (100, 600, 3_000)
    for seed in range(1, 5)
]


def figures(name: str, fleet: Harvesters, note: str = "") -> None:
    whole, worst = fleet.fairness()
    print(
        f"\n{name:34} 429s {fleet.refusals:3}  used {min(fleet.used()):.3f}  round trips {fleet.trips():.3f}"
        f"  fairness {whole:.2f} whole, {worst:.2f} worst {note}",
        end="",
    )


def at(fleet: Harvesters, seconds: float, action: Callable[[], None]) -> None:
    fleet.world.at(fleet.world.now + seconds, action)


def away(fleet: Harvesters, begin: float, seconds: float) -> None:
    at(fleet, begin, lambda: setattr(fleet.place, "is_down", True))
    at(fleet, begin + seconds, lambda: setattr(fleet.place, "is_down", False))


# -- undisturbed -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "seed"), SEEDS)
def test_nothing_is_refused_and_all_is_used_in_fair_parts(limit: int, seed: int) -> None:
    fleet = Harvesters(limit, seed=seed)
    fleet.run(4.1 if limit < 3_000 else 2.1)
    calls = fleet.place.calls / 8 / len(fleet.by_window())
    figures(f"8 x 50 at {limit}", fleet, f"calls {calls:.1f} for each process and window")
    assert fleet.refusals == 0
    assert fleet.place.breaches == 0
    assert min(fleet.used()) >= 0.995
    whole, worst = fleet.fairness()
    assert whole <= 1.05
    if limit >= 200:
        assert fleet.trips() <= TRIPS[limit]
        assert worst <= 1.3
    else:
        assert calls <= 7


@pytest.mark.parametrize("latency", [steady, pytest.param(ragged, marks=pytest.mark.long)])
@pytest.mark.parametrize(("limit", "seed"), SEEDS)
def test_one_request_at_a_time_costs_hardly_more_than_one_round_trip(limit: int, seed: int, latency: Latency) -> None:
    fleet = Harvesters(limit, processes=1, tasks=1, seed=seed, latency=latency)
    fleet.run(2.1)
    figures(f"1 x 1 at {limit}", fleet)
    assert fleet.trips() <= 1.2
    assert fleet.refusals == 0
    assert limit > 600 or min(fleet.used()) >= 0.995


@pytest.mark.parametrize("latency", [ragged, pytest.param(slow, marks=pytest.mark.long)])
def test_slow_answers_cost_round_trips_and_nothing_else(latency: Latency) -> None:
    fleet = Harvesters(600, latency=latency)
    fleet.run(3.1)
    figures(f"8 x 50 at 600, {latency.__name__}", fleet)
    assert fleet.refusals == 0
    assert min(fleet.used()) >= 0.995


@pytest.mark.parametrize(("limit", "seed"), SEEDS)
def test_interactive_calls_start_at_once_beside_seven_harvesters(limit: int, seed: int) -> None:
    fleet = Harvesters(limit, processes=7, priority=Priority.BACKGROUND, seed=seed)
    web = FleetDesk(fleet.place, "web")
    fleet.desks.append(web)
    start, windows = fleet.world.now, 4.1 if limit < 3_000 else 2.1
    instants = poisson(fleet.world.rng, limit / 9_000, start, start + 900 * windows)
    jobs = [Job(instant, priority=Priority.INTERACTIVE) for instant in instants]
    fleet.world.add(web, jobs)
    fleet.run(windows)
    turn = start + 900 - fleet.world.server_time(start) % 900
    first = [job.waited for job in jobs if job.asked_at < turn]
    later = [job.waited for job in jobs if turn <= job.asked_at < start + 900 * windows - 1]
    note = (
        f"interactive p99 {percentile(later, 0.99) * 1_000:.1f} ms, {percentile(first, 0.99) * 1_000:.1f} ms at first"
    )
    figures(f"7 x 50 and interactive at {limit}", fleet, note)
    assert fleet.refusals == 0
    assert percentile(later, 0.99) <= 1.0
    assert min(fleet.used()) >= 0.995


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 5))])
@pytest.mark.parametrize("processes", [2, 8])
def test_a_waiter_starts_within_a_second_after_another_process_gives_units_back(processes: int, seed: int) -> None:
    fleet = Harvesters(100, processes=processes, tasks=0, seed=seed)
    one, *others = fleet.desks
    fleet.world.add(one, [Job(fleet.world.now) for _ in range(12)])
    fleet.run(0.01)
    # All that is left is held by calls that are never sent.
    held = [Job(fleet.world.now) for _ in range(88)]
    fleet.world.add(one, held)
    for job in held:
        job.there = 900.0
    waiting = [Job(fleet.world.now + 5) for _ in others]
    for desk, job in zip(others, waiting, strict=True):
        fleet.world.add(desk, [job])
    fleet.run(fleet.world.rng.uniform(0.02, 0.3))
    assert [job.started_at for job in waiting] == [None] * len(waiting)
    one.release(held[0], now := fleet.world.now)
    fleet.world.at(now, lambda: None)
    fleet.run(0.01)
    waited = [job.started_at - now for job in waiting if job.started_at is not None]
    print(f"\n1 of {processes - 1} starts after {waited[0]:.2f} s", end="")
    assert len(waited) == 1
    assert waited[0] <= 1.0


# -- others, and a place that is away ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "seed"),
    [(100, 1), pytest.param(600, 1, marks=pytest.mark.long), pytest.param(600, 2, marks=pytest.mark.long)],
)
@pytest.mark.parametrize(("begin", "seconds"), [(0, 30), (100, 30), (595, 30), (602, 30), (900, 900)])
def test_a_place_that_is_away_costs_one_429_for_each_process_at_most(
    limit: int, seed: int, begin: float, seconds: float
) -> None:
    fleet = Harvesters(limit, seed=seed)
    away(fleet, begin, seconds)
    fleet.run(3.1)
    figures(f"away at {begin} for {seconds} s, {limit}", fleet)
    assert fleet.refusals <= len(fleet.desks)
    assert min(fleet.used()) >= 0.98


def test_away_may_mean_to_wait() -> None:
    fleet = Harvesters(600)
    fleet.desks[:] = []
    for index in range(4):
        desk = FleetDesk(fleet.place, f"waits {index}", away="wait")
        fleet.desks.append(desk)
        fleet.keep_busy(desk, 50)
    away(fleet, 595, 60)
    fleet.run(1.1)
    sent = [now for desk in fleet.desks for now, _ in desk.waits]
    begin = fleet.world.local_time(1_767_693_600.0 + 900)
    assert not [now for now in sent if begin + 10 < now < begin + 54]
    assert fleet.refusals == 0


@pytest.mark.parametrize("limit", [100, 600])
def test_a_stranger_who_spends_a_third_costs_next_to_nothing(limit: int) -> None:
    fleet = Harvesters(limit)
    start = fleet.world.now
    for instant in poisson(fleet.world.rng, limit / 2_700, start, start + 2_700):
        fleet.world.foreign(instant)
    fleet.run(3.1)
    figures(f"a stranger at {limit}", fleet)
    assert fleet.refusals <= 2


def test_counters_that_turn_late_cost_a_429_or_two_and_all_learn_of_it() -> None:
    fleet = Harvesters(600)
    fleet.world.late = (0.5, 2.0)
    fleet.run(3.1)
    figures("counters turn late", fleet)
    assert 0 < fleet.refusals <= 6
    assert min(fleet.used()) >= 0.995


@pytest.mark.parametrize("fields", [["Date"], []], ids=["no numbers", "nothing"])
def test_without_numbers_the_documented_limits_hold_for_all_together(fields: list[str]) -> None:
    fleet = Harvesters(100)
    fleet.world.spoil = lambda rng, headers: {name: headers[name] for name in fields}
    fleet.run(2.1)
    figures(f"answers with {fields}", fleet)
    assert fleet.refusals == 0
    assert min(fleet.used()) >= 0.995
    # Polls back off, and stop.
    assert fleet.trips() < 1
