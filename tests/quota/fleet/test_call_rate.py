"""No process asks all the time, whatever happens to it and whatever the replies say."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strava_async.quota.fleet.lease import GAP_SECONDS, Lease
from strava_async.quota.fleet.messages import NONE, NOTHING, UNKNOWN, Reply, Spent, Wants
from tests.quota.fleet.call_rate import AT_ONCE, SECONDS, CallRate
from tests.quota.fleet.simulation import Harvesters
from tests.quota.simulation import Job

WANTS = [Wants(), Wants(interactive=1), Wants(normal=5), Wants(background=3), Wants(uploads=1), Wants(2, 2, 2, 2)]


def reply(poll_ms: int, *, granted: int = 0, backs_off: bool = False, tell_ms: int = 0) -> Reply:
    return Reply(
        stale=False,
        sequence=1,
        at=1,
        quarter=1,
        sure=True,
        ms_left=1,
        granted=Spent(granted, granted),
        usage=UNKNOWN,
        limits=UNKNOWN,
        number_at=(NONE, NONE),
        has_number=False,
        late_at=NONE,
        lateness=(0, 0),
        elsewhere=NOTHING,
        waiting=2,
        processes=2,
        poll_ms=poll_ms,
        backs_off=backs_off,
        tell_ms=tell_ms,
        reserved_ms=0,
        heals=False,
    )


class Caller:
    """A lease whose calls are counted against what happens."""

    def __init__(self, seed: int) -> None:
        self.now = 1_000.0
        self.calls = 0
        self.out = 0
        self.wants = Wants()
        self.lease = Lease(10.0, random.Random(seed).random)
        self._rate = CallRate(self.now)
        self._called_at = -math.inf

    def happen(self) -> None:
        self._rate.note_event()

    def run(self, seconds: float, answer: Reply | None) -> None:
        """Let time pass; each call has this reply at once, or none."""
        end = self.now + seconds
        while (due := self.lease.due(self.wants, self.out, self.now)) <= end:
            self.now = max(self.now, due)
            self._rate.count(self.now)
            if self.out > 1:
                assert self.now - self._called_at >= GAP_SECONDS - 1e-9
            self._called_at = self.now
            self.calls += 1
            self.lease.begin_call(self.wants, self.now)
            if answer is None:
                self.lease.fail(self.now)
            else:
                self.lease.take(answer, answer.granted, self.wants, self.now)
                self.start(answer.granted.overall)
        self.now = end

    def start(self, count: int) -> None:
        """Start what waits."""
        for _ in range(min(count, self.wants.total)):
            self.out += 1
            self.lease.start(True, self.now)
            self.happen()
        if count >= self.wants.total:
            self.wants = Wants()
        self.lease.drop()

    def sleep(self, seconds: float) -> None:
        """Let so much time pass that the monotonic clock misses."""
        self._called_at -= seconds
        self.lease.note_sleep(seconds)


def test_calls_of_two_kinds_by_turns_that_get_nothing_cost_ten_round_trips_a_second() -> None:
    caller = Caller(0)
    for wants in itertools.islice(itertools.cycle((Wants(interactive=1), Wants(normal=1))), 2_000):
        caller.wants = wants
        caller.happen()
        caller.run(0.001, reply(700))
    assert caller.calls <= 2 * 10 + 2


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 9),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["wants", "answer", "turn", "sleep"]),
            st.sampled_from(WANTS),
            st.sampled_from([0.0, 0.001, 0.05, 0.3, 2.0, 100.0]),
            st.one_of(
                st.none(),
                st.builds(
                    reply,
                    st.sampled_from([NONE, 0, 1, 200, 4_000]),
                    granted=st.sampled_from([0, 0, 0, 3]),
                    backs_off=st.booleans(),
                    tell_ms=st.sampled_from([0, 250, 3_000]),
                ),
            ),
        ),
        max_size=40,
    ),
)
def test_whatever_happens_and_is_replied_calls_are_as_rare_as_is_stated(
    seed: int, steps: list[tuple[str, Wants, float, Reply | None]]
) -> None:
    caller = Caller(seed)
    for what, wants, seconds, answer in steps:
        caller.happen()
        if what == "wants":
            caller.wants = wants
        elif what == "answer" and caller.out:
            caller.out -= 1
            caller.lease.note_news(caller.now)
        elif what == "turn":
            caller.lease.note_turn(caller.now)
        elif what == "sleep":
            caller.sleep(seconds)
        caller.run(seconds, answer)


@pytest.mark.parametrize("processes", [2, 9])
def test_who_waits_for_answers_that_are_slow_asks_less_and_less_often(processes: int) -> None:
    fleet = Harvesters(20, processes=processes, tasks=0, latency=lambda _: 60.0)
    for desk in fleet.desks:
        fleet.world.add(desk, [Job(fleet.world.now) for _ in range(20)])
    fleet.run(30 / 900)
    assert fleet.place.calls <= processes * (30 / SECONDS + AT_ONCE)


def test_a_permit_that_nobody_ends_costs_a_call_in_three_seconds() -> None:
    fleet = Harvesters(20, processes=1, tasks=0)
    (desk,) = fleet.desks
    (job,) = fleet.world.add(desk, [Job(fleet.world.now)])
    job.there = math.inf
    fleet.run(1)
    assert fleet.place.calls <= 900 / 3 + 3


def test_a_process_that_is_in_a_later_window_than_the_others_asks_less_often_the_longer_theirs_lasts() -> None:
    # No clock is Strava's: no answer comes.
    fleet = Harvesters(20, processes=2, tasks=0, skews=(0.0, 610.0))
    fleet.world.spoil = lambda rng, fields: None
    first, ahead = fleet.desks
    fleet.world.add(first, [Job(fleet.world.now)])
    fleet.run(1 / 900)
    fleet.world.add(ahead, [Job(fleet.world.now) for _ in range(5)])
    fleet.run(500 / 900)
    assert 0 < ahead.calls <= 40
