"""What goes wrong around processes that share a quota, in virtual time, at instants that differ by seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from strava_async.quota.fleet.state import Fleet
from strava_async.testing.meters import MeterLimits
from tests.quota.fleet.simulation import FleetDesk, Harvesters
from tests.quota.simulation import MIDNIGHT, TEN_O_CLOCK, Job, ragged, steady

pytestmark = pytest.mark.one_python
Fault = Callable[[Harvesters, random.Random], None]
Fields = dict[str, str]

USAGE = {"X-RateLimit-Usage": 2, "X-ReadRateLimit-Usage": 1}  # times the limit of the reads
SKEWS = (-60.0, 60.0, -30.0, 30.0, -59.0, 59.0, 1.0, -1.0)
LONG_SEEDS = [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 5))]
LIMITS = [100, pytest.param(600, marks=pytest.mark.long)]


def at(fleet: Harvesters, seconds: float, action: Callable[[], object]) -> None:
    fleet.world.at(fleet.world.now + seconds, lambda: void(action()))


def void(_: object) -> None:
    pass


def instants(rng: random.Random, count: int) -> Iterator[float]:
    """Yield instants of three windows: many are in the seconds after the start, or around a turn."""
    for _ in range(count):
        yield rng.choice((rng.uniform(0, 3), rng.uniform(598, 606), rng.uniform(1_498, 1_506), rng.uniform(0, 2_400)))


def figures(name: str, fleet: Harvesters, note: str = "") -> None:
    print(
        f"\n{name:28} {fleet.limit:4}  429s {fleet.refusals:3}  used {min(fleet.used()):.3f}"
        f"  round trips {fleet.trips():.3f} {note}",
        end="",
    )


def run(fault: Fault, limit: int, seed: int, windows: float = 3.1, **changes: Any) -> Harvesters:
    fleet = Harvesters(limit, seed=seed, **changes)
    fault(fleet, random.Random(f"{fault.__name__} {seed}"))
    fleet.run(windows)
    figures(f"{fault.__name__}, seed {seed}", fleet)
    return fleet


# -- the meeting place and the processes -------------------------------------------------------------------------------


def flush(fleet: Harvesters, rng: random.Random) -> None:
    for seconds in instants(rng, 5):
        at(fleet, seconds, lambda: setattr(fleet.place, "fleet", Fleet()))


def fail_over(fleet: Harvesters, rng: random.Random) -> None:
    """Put a replica in place that misses up to a second of writes."""
    fleet.place.keeps_history = True
    for seconds in instants(rng, 5):
        at(fleet, seconds, lambda: promote(fleet, rng.uniform(0, 1)))


def promote(fleet: Harvesters, missing: float) -> None:
    known = [state for state in fleet.place.history if state.wall <= int((fleet.world.now - missing) * 1_000)]
    fleet.place.fleet = known[-1] if known else Fleet()


def stop_some(fleet: Harvesters, rng: random.Random) -> None:
    """Stop processes, or the machines they are on, for shorter and for longer than a lease."""
    for desk in fleet.desks[:5]:
        seconds = 0.0
        for _ in range(4):
            seconds += rng.uniform(1, 400)
            at(fleet, seconds, rng.choice((desk.pause, desk.suspend)))
            seconds += rng.choice((rng.uniform(1, 20), rng.uniform(1, 300)))
            at(fleet, seconds, desk.go_on)


def lose_replies(fleet: Harvesters, rng: random.Random) -> None:
    fleet.place.loses = 0.2
    fleet.place.rtt = rng.choice((0.001, 0.05))


def lose_replies_of_a_client_that_repeats(fleet: Harvesters, rng: random.Random) -> None:
    lose_replies(fleet, rng)
    fleet.place.repeats = True


@pytest.mark.parametrize("seed", LONG_SEEDS)
@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("latency", [steady, pytest.param(ragged, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "fault",
    [flush, fail_over, stop_some, lose_replies, lose_replies_of_a_client_that_repeats],
    ids=lambda each: each.__name__,
)
def test_what_happens_to_processes_and_their_meeting_place_costs_no_429(
    fault: Fault, limit: int, latency: Any, seed: int
) -> None:
    fleet = run(fault, limit, seed, latency=latency)
    assert fleet.refusals == 0
    assert fleet.place.breaches == 0
    assert min(fleet.used()) >= 0.995


@pytest.mark.parametrize("seed", LONG_SEEDS)
@pytest.mark.parametrize("limit", LIMITS)
def test_two_of_eight_that_are_killed_cost_what_they_held_at_most(limit: int, seed: int) -> None:
    held: list[int] = []

    def kill_two(fleet: Harvesters, rng: random.Random) -> None:
        def kill(desk: FleetDesk) -> None:
            row = fleet.place.fleet.rows.get(desk.name)
            held.append(0 if row is None else row.held.overall)
            desk.kill()

        for desk, seconds in zip(rng.sample(fleet.desks, 2), instants(rng, 2), strict=True):
            at(fleet, seconds, partial(kill, desk))

    fleet = run(kill_two, limit, seed)
    assert fleet.refusals == 0
    assert fleet.place.breaches == 0
    # It may have been sent, and then there is no room: nobody asks.
    assert min(fleet.used()) >= 0.995 - sum(held) / limit
    assert fleet.used()[-1] >= 0.995


@pytest.mark.parametrize("seed", LONG_SEEDS)
@pytest.mark.parametrize("limit", LIMITS)
def test_thirty_seconds_without_a_meeting_place_over_a_boundary_cost_one_429_for_each_process_at_most(
    limit: int, seed: int
) -> None:
    def away(fleet: Harvesters, rng: random.Random) -> None:
        begin = 600 - rng.uniform(1, 29)
        at(fleet, begin, lambda: setattr(fleet.place, "is_down", True))
        at(fleet, begin + 30, lambda: setattr(fleet.place, "is_down", False))

    fleet = run(away, limit, seed)
    assert fleet.refusals <= len(fleet.desks)
    assert min(fleet.used()) >= 0.98


# -- answers -----------------------------------------------------------------------------------------------------------


def refuse_some(fleet: Harvesters, rng: random.Random) -> None:
    fleet.world.refuses = lambda: rng.random() < 1 / 200


def refuse_for_a_while(fleet: Harvesters, rng: random.Random) -> None:
    begin = fleet.world.now + rng.choice((0.5, 600.5, 610))
    fleet.world.refuses = lambda: begin <= fleet.world.now < begin + 30


def forget_fields(fleet: Harvesters, rng: random.Random) -> None:
    fleet.world.spoil = lambda _, fields: {name: value for name, value in fields.items() if rng.random() > 0.2}


def malform(fleet: Harvesters, rng: random.Random) -> None:
    bad = ("", "abc", "1", "1,2,3", "-1,5", "9999999999,1", "١,٢", "0,0")
    fleet.world.spoil = lambda _, fields: {
        name: rng.choice(bad) if rng.random() < 0.2 else value for name, value in fields.items()
    }


def lose_answers(fleet: Harvesters, rng: random.Random) -> None:
    fleet.world.spoil = lambda _, fields: None if rng.random() < 0.05 else fields


def be_late(fleet: Harvesters, rng: random.Random) -> None:
    """Let one answer of a hundred take longer than a minute, many of them over a turn."""
    fleet.world.latency = lambda _: rng.uniform(60, 1_000) if rng.random() < 0.005 else rng.uniform(0.05, 0.2)


@pytest.mark.parametrize("seed", LONG_SEEDS)
@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize(
    "fault",
    [refuse_some, refuse_for_a_while, forget_fields, malform, lose_answers, be_late],
    ids=lambda each: each.__name__,
)
def test_odd_answers_cost_no_429(fault: Fault, limit: int, seed: int) -> None:
    fleet = run(fault, limit, seed)
    assert fleet.refusals == 0
    # What has been under way for minutes is missing at the end of a window, as nobody knows where it will be counted.
    assert min(fleet.used()) >= (0.97 if fault is be_late else 0.995)


def repeat_old_counts(limit: int, fields: Fields, seen: list[Fields], rng: random.Random) -> Fields:
    return {name: rng.choice(seen[-2_000:])[name] for name in USAGE}


def say_full(limit: int, fields: Fields, seen: list[Fields], rng: random.Random) -> Fields:
    return {name: f"{limit * times},{fields[name].partition(',')[2]}" for name, times in USAGE.items()}


def say_anything(limit: int, fields: Fields, seen: list[Fields], rng: random.Random) -> Fields:
    share = rng.uniform(0, 1.2)
    return {name: f"{int(share * limit * times)},{fields[name].partition(',')[2]}" for name, times in USAGE.items()}


def say_the_day_is_full(limit: int, fields: Fields, seen: list[Fields], rng: random.Random) -> Fields:
    return {name: f"{fields[name].partition(',')[0]},{20 * limit * times}" for name, times in USAGE.items()}


def say_one(limit: int, fields: Fields, seen: list[Fields], rng: random.Random) -> Fields:
    return dict.fromkeys(USAGE, "1,1")


def cut_the_limits(limit: int, fields: Fields, seen: list[Fields], rng: random.Random) -> Fields:
    return {"X-RateLimit-Limit": "4,40", "X-ReadRateLimit-Limit": "2,20"}


@pytest.mark.parametrize("seed", LONG_SEEDS)
@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize(
    "lie",
    [repeat_old_counts, say_full, say_anything, say_the_day_is_full, say_one, cut_the_limits],
    ids=lambda each: each.__name__,
)
def test_a_wrong_number_now_and_then_costs_next_to_nothing(
    lie: Callable[[int, Fields, list[Fields], random.Random], Fields], limit: int, seed: int
) -> None:
    def fault(fleet: Harvesters, rng: random.Random) -> None:
        seen: list[Fields] = []

        def spoil(_: random.Random, fields: Fields) -> Fields:
            seen.append(fields)
            return {**fields, **lie(limit, fields, seen, rng)} if rng.random() < 1 / limit else fields

        fleet.world.spoil = spoil

    fault.__name__ = lie.__name__
    fleet = run(fault, limit, seed)
    assert fleet.refusals <= 1
    # Two within a round trip are witnesses of each other, and may cost the rest of a window, which is a matter of luck.
    used = sorted(fleet.used())
    assert used[1] >= 0.97
    assert sum(used) / len(used) >= 0.85


@pytest.mark.parametrize("seed", LONG_SEEDS)
@pytest.mark.parametrize("limit", LIMITS)
def test_three_seconds_in_which_all_answers_say_full_cost_no_window(limit: int, seed: int) -> None:
    def say_full_for_a_while(fleet: Harvesters, rng: random.Random) -> None:
        def spoil(_: random.Random, fields: Fields) -> Fields:
            seconds = fleet.world.server_time(fleet.world.now) % 900
            return {**fields, **say_full(limit, fields, [], rng)} if 0.5 < seconds < 3.5 else fields

        fleet.world.spoil = spoil

    fleet = run(say_full_for_a_while, limit, seed)
    assert fleet.refusals == 0
    assert min(fleet.used()) >= 0.995


# -- limits, classes, clocks -------------------------------------------------------------------------------------------


def set_limits(fleet: Harvesters, limit: int) -> None:
    fleet.world.meters.limits = MeterLimits(2 * limit, 40 * limit, limit, 20 * limit)


@pytest.mark.parametrize("seed", LONG_SEEDS)
@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("times", [0.5, 1.5])
@pytest.mark.parametrize("seconds", [100.0, 599.5, 620.0])
def test_limits_that_change_at_rest_cost_nothing(limit: int, times: float, seconds: float, seed: int) -> None:
    resting: list[bool] = []

    def change(fleet: Harvesters, rng: random.Random) -> None:
        def now() -> None:
            resting.append(fleet.used_now() == limit)  # nothing is out, and nothing may start in this window
            set_limits(fleet, int(limit * times))

        at(fleet, seconds, now)

    fleet = run(change, limit, seed)
    assert resting == [True]
    assert fleet.refusals == 0
    assert fleet.used()[-1] >= 0.995 * times


@pytest.mark.parametrize("seed", LONG_SEEDS)
@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("times", [0.5, 0.25])
def test_limits_that_are_cut_before_a_burst_cost_what_goes_before_its_first_answer(
    limit: int, times: float, seed: int
) -> None:
    # Nothing is out, but there is room by all that anybody knows: no answer can have told.
    fleet = Harvesters(limit, tasks=0, seed=seed)
    world = fleet.world

    def burst(seconds: float, count: int) -> None:
        for desk in fleet.desks:
            world.add(desk, [Job(world.now + seconds + world.rng.random() / 10) for _ in range(count)])

    burst(0.0, limit // 32)
    at(fleet, 60.0, lambda: set_limits(fleet, int(limit * times)))
    burst(65.0, limit // 10)
    begin = world.now + 65.0
    fleet.run(0.6)
    print(f"\ncut before a burst, x {times}: 429s {fleet.refusals}", end="")
    assert not [when for when, _ in world.rejections if when > begin + 1.0]


@pytest.mark.parametrize("seed", LONG_SEEDS)
@pytest.mark.parametrize("limit", LIMITS)
def test_limits_that_are_cut_while_all_send_cost_what_was_cut_at_most(limit: int, seed: int) -> None:
    def cut(fleet: Harvesters, rng: random.Random) -> None:
        at(fleet, 600 + rng.uniform(0.3, 1.0), lambda: set_limits(fleet, limit // 2))

    fleet = run(cut, limit, seed)
    assert fleet.refusals <= limit // 2 + 2
    assert fleet.used()[-1] >= 0.995 / 2


@pytest.mark.parametrize("seed", LONG_SEEDS)
@pytest.mark.parametrize("limit", LIMITS)
def test_uploads_beside_reads_use_both_budgets(limit: int, seed: int) -> None:
    def upload(fleet: Harvesters, rng: random.Random) -> None:
        for desk in fleet.desks[:4]:
            fleet.keep_busy(desk, 30, "upload")

    fleet = run(upload, limit, seed)
    assert fleet.refusals == 0
    assert fleet.place.breaches == 0
    windows = sorted(fleet.world.served)[:-1]
    assert min(fleet.world.served_overall[window] for window in windows) >= 0.995 * 2 * limit
    assert min(fleet.used()) >= 0.9


@pytest.mark.parametrize("seed", LONG_SEEDS)
@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("skews", [(), SKEWS], ids=["right", "wrong"])
def test_a_cold_start_within_a_second_of_a_boundary_costs_no_429(
    limit: int, skews: tuple[float, ...], seed: int
) -> None:
    def start(fleet: Harvesters, rng: random.Random) -> None:
        pass

    boundary = random.Random(seed).choice((MIDNIGHT, TEN_O_CLOCK + 900))
    for early in (-0.9, -0.5, -0.2, -0.05, 0.0, 0.3, 0.9):
        fleet = run(start, limit, seed, 1.1, start=boundary + early, skews=skews)
        assert fleet.refusals == 0
        assert fleet.used()[-1] >= 0.995


@pytest.mark.parametrize("seed", LONG_SEEDS)
@pytest.mark.parametrize("limit", LIMITS)
def test_clocks_that_are_wrong_by_a_minute_cost_nothing(limit: int, seed: int) -> None:
    def wrong(fleet: Harvesters, rng: random.Random) -> None:
        pass

    fleet = run(wrong, limit, seed, skews=SKEWS)
    assert fleet.refusals == 0
    assert min(fleet.used()) >= 0.995
