"""The ledger: windows, numbers, clock, reserve, snapshot. No loop, no queue; time is an argument."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Any

import pytest

from strava_async.errors import InputError
from strava_async.quota.entry import LedgerEntry
from strava_async.quota.headers import parse_date, parse_pair, parse_retry_after, pick_fields
from strava_async.quota.ledger import Ledger
from strava_async.quota.readings import Meter, Quota
from strava_async.quota.server_clock import ClockChange, ServerClock
from strava_async.quota.snapshot import load, save
from strava_async.quota.values import Priority, QuotaClass

NOW = 5_000.0
TEN = 1_767_693_600.0  # 2026-01-06 10:00:00 UTC
READ = 100, 1_000
OVERALL = 200, 2_000


def quota_class(reads: bool) -> QuotaClass:
    return QuotaClass.READ if reads else QuotaClass.UPLOAD


class LedgerWorld:
    """A ledger with short words: Strava's clock is ``TEN`` at ``NOW``, and the machine's is ``skew`` ahead of it."""

    def __init__(self, *, skew: float = 0.0, reserve: float = 0.2, jitter: float = 0.0, start: float = TEN) -> None:
        self.now = NOW
        self.offset = start - NOW
        self.ledger = Ledger(NOW, start + skew, random=lambda: jitter, reserve=reserve)

    @property
    def server(self) -> float:
        return self.now + self.offset

    def give(self, *, reads: bool = True) -> LedgerEntry:
        self.ledger.roll_windows(self.now)
        return self.ledger.book(quota_class(reads), Priority.NORMAL, self.now)

    def answer(
        self,
        permit: LedgerEntry,
        overall: tuple[int, int] | None,
        read: tuple[int, int] | None = None,
        *,
        status: int = 200,
        limits: tuple[int, int, int, int] = (*OVERALL, *READ),
        date: float | None = math.nan,
        **more: str,
    ) -> None:
        headers = {name.replace("_", "-"): text for name, text in more.items()}
        if date is not None:
            headers["date"] = formatdate(math.floor(self.server if math.isnan(date) else date), usegmt=True)
        if overall is not None:
            headers["x-ratelimit-limit"] = f"{limits[0]},{limits[1]}"
            headers["x-ratelimit-usage"] = f"{overall[0]},{overall[1]}"
        if read is not None:
            headers["x-readratelimit-limit"] = f"{limits[2]},{limits[3]}"
            headers["x-readratelimit-usage"] = f"{read[0]},{read[1]}"
        self.ledger.settle(permit, status, headers, self.now)

    def learn(self, used: int = 1, *, limits: tuple[int, int, int, int] = (*OVERALL, *READ), count: int = 12) -> None:
        """Get past the cold start, with ``used`` requests spent."""
        for i in range(count, 0, -1):
            number = max(1, used - i + 1)
            self.answer(self.give(), (number, number), (number, number), limits=limits)

    def admits(self, *, reads: bool = True, background: bool = False) -> bool:
        self.ledger.roll_windows(self.now)
        return self.ledger.admits(quota_class(reads), Priority.BACKGROUND if background else Priority.NORMAL, self.now)

    def burst(self, *, reads: bool = True, background: bool = False) -> list[LedgerEntry]:
        """Take every permit that there is."""
        permits: list[LedgerEntry] = []
        while self.admits(reads=reads, background=background):
            permits.append(self.give(reads=reads))
        return permits

    @property
    def quota(self) -> Quota:
        self.ledger.roll_windows(self.now)
        return self.ledger.quota()


@pytest.fixture
def world() -> LedgerWorld:
    return LedgerWorld()


# -- header fields -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "pair"), [("66,209", (66, 209)), ("0,0", (0, 0)), ("601, 602", (601, 602)), (" 1 ,\t2 ", (1, 2))]
)
def test_two_numbers_are_a_pair(text: str, pair: tuple[int, int]) -> None:
    assert parse_pair(text) == pair


NONSENSE = [
    "",
    ",",
    "1",
    "1,",
    ",1",
    "1,2,3",
    "1,2, 1,2",
    "-1,2",
    "+1,2",
    "1.0,2",
    "1e3,2",
    "١,٢",
    "²,1",
    "0x1,2",
    "1_0,2",
]


@pytest.mark.parametrize("text", [*NONSENSE, "9" * 5_000 + ",1", "1000000000,1", "1\x1f,2", None, 7, b"1,2"])
def test_anything_else_is_no_pair(text: object) -> None:
    assert parse_pair(text) is None


def test_a_date_is_read_in_the_form_that_servers_send() -> None:
    assert parse_date("Tue, 06 Jan 2026 10:00:00 GMT") == TEN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Tuesday, 06-Jan-26 10:00:00 GMT",
        "Tue Jan  6 10:00:00 2026",
        "Tue, 06 Jan 2026 10:00:00 +0000",
        "Tue, 31 Feb 2026 10:00:00 GMT",
        "Tue, 06 Foo 2026 10:00:00 GMT",
        "Tue, 06 Jan 2026 25:00:00 GMT",
        "Tue, ٠٦ Jan 2026 10:00:00 GMT",
        "Tue, 06 Jan 0000 10:00:00 GMT",
        None,
    ],
)
def test_any_other_date_is_none(text: str | None) -> None:
    assert parse_date(text) is None


def test_retry_after_is_seconds_or_a_date() -> None:
    assert parse_retry_after("120", TEN) == 120
    assert parse_retry_after("Tue, 06 Jan 2026 10:00:30 GMT", TEN) == 30
    assert parse_retry_after("Tue, 06 Jan 2026 09:00:00 GMT", TEN) == 0
    assert parse_retry_after("9" * 5_000, TEN) == math.inf
    assert parse_retry_after("soon", TEN) is None
    assert parse_retry_after("-5", TEN) is None


def test_names_of_fields_may_have_any_case() -> None:
    fields = pick_fields({"X-RateLimit-Limit": "200,2000", "DATE": "d", "x-readratelimit-usage": "1,2", "Via": "1.1"})
    assert fields.overall_limit == "200,2000"
    assert fields.date == "d"
    assert fields.read_usage == "1,2"
    assert fields.overall_usage is None


def test_a_field_in_two_spellings_is_not_believed() -> None:
    fields = pick_fields({"X-RateLimit-Usage": "1,1", "x-ratelimit-usage": "2,2", "date": "d"})
    assert parse_pair(fields.overall_usage) is None


@pytest.mark.parametrize("age", ["1", "30", "007", " 9 ", "30, 0", "9" * 5_000])
def test_the_answer_of_a_cache_tells_nothing(age: str) -> None:
    fields = {"date": "d", "x-ratelimit-usage": "1,2", "retry-after": "9"}
    assert pick_fields(fields | {"age": age}) == pick_fields({})
    assert pick_fields({"Via": "1.1", "AGE": age} | fields) == pick_fields({})


@pytest.mark.parametrize("age", ["0", "00", "", "-5", "soon", "1.5", "²"])
def test_an_answer_that_is_new_or_whose_age_is_nonsense_tells_what_it_says(age: str) -> None:
    assert pick_fields({"date": "d", "age": age}).date == "d"
    assert pick_fields({"Date": "d", "Age": age, "Via": "1.1"}).date == "d"


# -- Strava's clock ----------------------------------------------------------------------------------------------------


def told(clock: ServerClock, date: float, at: float, *, began: float | None = None) -> ClockChange:
    """Let an answer of a tenth of a second tell a Date; a request that ``began`` earlier took longer."""
    return clock.observe_date(date, at - 0.1 if began is None else began, at)


def test_each_date_narrows_what_is_known_of_the_clock() -> None:
    rng = random.Random(4)
    offset = 123_456.789
    clock = ServerClock(NOW, offset, offset)
    widths = []
    for i in range(200):
        sent = NOW + i * 0.037
        stamped = sent + rng.uniform(0.02, 0.08)
        received = stamped + rng.uniform(0.02, 0.08)
        clock.observe_date(math.floor(stamped + offset), sent, received)
        assert clock.earliest(received) <= received + offset < clock.latest(received)
        widths.append(clock.high - clock.low)
    assert widths[0] > 1
    assert widths[-1] < 0.2


def test_a_contradiction_of_seconds_widens_the_bounds_and_the_next_date_heals_them() -> None:
    clock = ServerClock(NOW, 0.0, 0.0)
    told(clock, NOW, NOW + 0.1)
    told(clock, NOW + 5, NOW + 1.1)
    assert clock.earliest(NOW + 1) < NOW + 2
    assert clock.latest(NOW + 1) > NOW + 5
    told(clock, NOW + 2, NOW + 2.1)
    assert clock.latest(NOW + 2) < NOW + 4


@pytest.mark.parametrize("wrong", [-NOW, -28_800.0, -600.0, 600.0, 28_800.0, 1.8e9])
def test_a_date_far_off_moves_nothing_until_a_later_one_agrees(wrong: float) -> None:
    clock = ServerClock(NOW, 0.0, 0.0)
    told(clock, NOW, NOW + 0.1)
    known = clock.low, clock.high
    assert told(clock, NOW + 1 + wrong, NOW + 1.1) is ClockChange.RIVAL
    assert told(clock, NOW + 1 + wrong, NOW + 1.2, began=NOW + 1.05) is ClockChange.RIVAL, (
        "it began before the first was told"
    )
    assert (clock.low, clock.high) == known
    assert clock.contested
    assert told(clock, NOW + 2 + wrong, NOW + 2.1) is ClockChange.JUMPED
    assert NOW + 1 + wrong < clock.earliest(NOW + 2) <= NOW + 2 + wrong < clock.latest(NOW + 2) < NOW + 4 + wrong
    assert not clock.contested


@pytest.mark.parametrize("between", ["a right one", "another wrong one"])
def test_two_wrong_dates_that_are_not_alike_or_not_in_a_row_move_nothing(between: str) -> None:
    clock = ServerClock(NOW, 0.0, 0.0)
    told(clock, NOW, NOW + 0.1)
    told(clock, NOW + 601, NOW + 1.1)
    second = told(clock, NOW + 2 if between == "a right one" else NOW - 5_000, NOW + 2.1)
    assert second is not ClockChange.JUMPED
    assert told(clock, NOW + 603, NOW + 3.1) is ClockChange.RIVAL
    assert clock.latest(NOW + 3) < NOW + 5


def test_a_date_that_agrees_ends_a_rivalry_even_if_it_tells_nothing_new() -> None:
    clock = ServerClock(NOW, TEN - NOW, TEN - NOW)
    clock.observe_date(TEN, NOW, NOW + 0.1)
    clock.observe_date(TEN + 601, NOW + 1, NOW + 1.1)
    assert clock.contested
    assert clock.observe_date(TEN + 2, NOW + 1.5, NOW + 3.5) is ClockChange.NOTHING
    assert not clock.contested
    assert clock.observe_date(TEN + 604, NOW + 4, NOW + 4.1) is ClockChange.RIVAL


def test_a_date_whose_request_took_a_minute_is_no_second_witness() -> None:
    clock = ServerClock(NOW, 0.0, 0.0)
    told(clock, NOW, NOW + 0.1)
    told(clock, NOW + 700, NOW + 1.1)
    assert told(clock, NOW + 700, NOW + 70, began=NOW + 2) is ClockChange.RIVAL


@pytest.mark.parametrize("skew", [-300.0, -120.0, 120.0, 300.0])
def test_the_first_date_is_believed_against_a_machine_that_is_minutes_off(skew: float) -> None:
    clock = ServerClock(NOW, skew, skew)
    assert told(clock, NOW, NOW + 0.1) is ClockChange.MOVED
    assert clock.earliest(NOW) <= NOW < clock.latest(NOW)


@pytest.mark.parametrize("skew", [-28_800.0, -400.0, 400.0, 1.8e9])
def test_the_first_date_needs_a_second_one_against_a_machine_that_is_farther_off(skew: float) -> None:
    clock = ServerClock(NOW, skew, skew)
    assert told(clock, NOW, NOW + 0.1) is ClockChange.RIVAL
    assert not clock.synchronized
    assert told(clock, NOW + 1, NOW + 1.1) is ClockChange.JUMPED
    assert clock.earliest(NOW) <= NOW < clock.latest(NOW)


def test_a_late_counter_is_a_clock_behind_that_of_date() -> None:
    clock = ServerClock(NOW, 0.0, 0.0)
    told(clock, NOW, NOW + 0.1)
    width = clock.high - clock.low
    clock.set_lateness(1.0, 1.75)
    assert clock.earliest(NOW) <= NOW - 1.5 < clock.latest(NOW)
    assert clock.high - clock.low == pytest.approx(width + 0.75)
    told(clock, NOW + 1, NOW + 1.1)
    assert clock.high - clock.low == pytest.approx(width + 0.75, abs=1e-3)
    clock.set_lateness(0.0, 0.0)
    assert clock.earliest(NOW) <= NOW < clock.latest(NOW)


def test_the_bounds_widen_with_time_but_not_without_end() -> None:
    clock = ServerClock(NOW, 0.0, 0.0)
    assert clock.latest(NOW + 900) - clock.earliest(NOW + 900) == pytest.approx(0.018)
    assert clock.latest(NOW + 86_400 * 7) - clock.earliest(NOW + 86_400 * 7) == pytest.approx(0.5)


def test_a_doubt_widens_only_what_is_late_and_a_date_resolves_it() -> None:
    clock = ServerClock(NOW, NOW, NOW)
    clock.observe_date(10_000, NOW, NOW + 0.1)
    earliest = clock.earliest(NOW + 1)
    clock.widen(3_600)
    assert clock.doubted
    assert clock.earliest(NOW + 1) == earliest
    assert clock.latest(NOW + 1) > 10_001 + 3_600
    clock.observe_date(10_002 + 3_600, NOW + 2, NOW + 2.1)
    assert not clock.doubted
    assert 13_601 < clock.earliest(NOW + 2) < clock.latest(NOW + 2) < 13_604


# -- cold start and ramp -----------------------------------------------------------------------------------------------


def test_guarantee_06_it_learns_before_it_floods() -> None:
    world = LedgerWorld(start=TEN + 100)
    flights = []
    used = 0
    for _ in range(4):
        flight = world.burst()
        flights.append(len(flight))
        for permit in flight:
            used += 1
            world.now += 0.01
            world.answer(permit, (used, used), (used, used))
    assert flights[0] == 1
    assert 1 < flights[1] <= 25
    assert flights[2] > flights[1]
    assert sum(flights) == 100


def test_guarantee_06_a_flight_is_no_more_than_a_quarter_of_what_is_left() -> None:
    world = LedgerWorld(start=TEN + 100)
    world.answer(world.give(), (92, 92), (92, 92))
    assert len(world.burst()) == 2


def test_guarantee_06_what_is_unknown_is_probed_whatever_else_is_known() -> None:
    world = LedgerWorld(start=TEN + 100)
    for used in range(1, 15):
        world.answer(world.give(reads=False), (used, used))
    assert len(world.burst()) == 1
    assert len(world.burst(reads=False)) > 100


def test_guarantee_06_nobody_follows_until_most_of_a_flight_are_answered() -> None:
    world = LedgerWorld(start=TEN + 100)
    world.answer(world.give(), (1, 1), (1, 1))
    flight = world.burst()
    assert len(flight) == 10
    for used, permit in enumerate(flight[:7], start=2):
        world.answer(permit, (used, used), (used, used))
        assert not world.admits()
    world.answer(flight[7], (9, 9), (9, 9))
    assert len(world.burst()) > 50


def test_with_nothing_known_nothing_is_claimed(world: LedgerWorld) -> None:
    assert world.quota.read_15min == Meter(limit=None, usage=None, reserved=0, resets_at=TEN + 900)
    assert world.quota.read_15min.remaining is None
    assert world.quota.overall_day.resets_at == TEN - 36_000 + 86_400


def test_after_three_answers_without_numbers_the_documented_limits_are_believed(world: LedgerWorld) -> None:
    for _ in range(2):
        world.answer(world.give(), None)
        assert world.quota.read_15min.limit is None
    world.answer(world.give(), None)
    quota = world.quota
    assert (quota.read_15min.limit, quota.read_day.limit) == READ
    assert (quota.overall_15min.limit, quota.overall_day.limit) == OVERALL
    assert quota.read_15min.usage == 3


def test_a_budget_that_answers_never_name_is_counted_alone(world: LedgerWorld) -> None:
    for used in range(1, 5):
        world.answer(world.give(), (used, used))
    assert world.quota.read_15min.limit == 100
    assert world.quota.read_15min.usage == 4


def test_slow_start_begins_again_after_an_hour_of_silence(world: LedgerWorld) -> None:
    world.learn(20)
    world.now += 4 * 3_600
    assert len(world.burst()) == 1


def test_after_a_second_without_a_number_ten_may_be_out(world: LedgerWorld) -> None:
    world.give()
    world.now += 0.9
    assert not world.admits()
    assert world.ledger.next_change() == pytest.approx(NOW + 1, abs=0.01)
    world.now = world.ledger.next_change()
    assert len(world.burst()) == 9
    world.now += 100
    assert not world.admits()
    assert world.ledger.next_change() > world.now + 100, "time alone changes nothing more"


def test_a_first_call_that_failed_is_followed_by_one_and_not_by_ten(world: LedgerWorld) -> None:
    world.ledger.abandon(world.give(), NOW)
    world.now += 100
    assert len(world.burst()) == 1
    world.now += 1.1
    assert len(world.burst()) == 9


def test_an_unknown_budget_does_not_wait_for_calls_that_do_not_spend_it(world: LedgerWorld) -> None:
    for used in range(1, 15):
        world.answer(world.give(reads=False), (used, used))
    world.burst(reads=False)
    world.now += 5
    assert world.ledger.read.out == 0
    assert world.ledger.read.ceiling == 1


def test_while_slow_start_waits_ten_more_follow_each_second(world: LedgerWorld) -> None:
    world.answer(world.give(), (1, 1), (1, 1))
    flights = [len(world.burst())]
    while flights[-1]:
        world.now = world.ledger.next_change()
        flights.append(len(world.burst()))
    assert flights == [10] * 9 + [9, 0]


def test_an_unexplained_429_counts_for_more_than_impatience(world: LedgerWorld) -> None:
    world.answer(world.give(), None, status=429)
    world.now += 5.1
    assert len(world.burst()) == 1
    world.now += 2
    assert not world.admits()


# -- numbers -----------------------------------------------------------------------------------------------------------


def test_guarantee_01_never_over_whatever_the_order_of_events(world: LedgerWorld) -> None:
    rng = random.Random(7)
    world.learn(12, limits=(40, 400, 30, 300))
    used, out = 12, []
    for _ in range(3_000):
        world.now += rng.random() * 0.2
        if rng.random() < 0.6 and world.admits():
            out.append(world.give())
        elif out:
            permit = out.pop(rng.randrange(len(out)))
            fate = rng.random()
            if fate < 0.1:
                world.ledger.release(permit, world.now)
            elif fate < 0.3:
                world.ledger.abandon(permit, world.now)
            else:
                used += 1
                world.answer(permit, (used, used), (used, used), limits=(40, 400, 30, 300))
        for meter in (world.quota.read_15min, world.quota.overall_15min, world.quota.read_day):
            assert (meter.usage or 0) + meter.reserved <= max(meter.limit or 0, 0)
        if world.server // 900 > TEN // 900:
            break
    assert used + len(out) <= 30


def test_an_upload_spends_the_overall_budget_only(world: LedgerWorld) -> None:
    world.learn(20)
    world.give(reads=False)
    assert world.quota.overall_15min.reserved == 1
    assert world.quota.overall_day.reserved == 1
    assert world.quota.read_15min.reserved == 0


def test_remaining_is_what_is_neither_spent_nor_reserved(world: LedgerWorld) -> None:
    world.learn(20)
    world.give()
    assert world.quota.read_15min == Meter(limit=100, usage=20, reserved=1, resets_at=TEN + 900)
    assert world.quota.read_15min.remaining == 79
    assert Meter(limit=5, usage=9, reserved=0, resets_at=0).remaining == 0


def test_guarantee_04_usage_only_rises_within_a_window(world: LedgerWorld) -> None:
    world.learn(50)
    older, younger = world.give(), world.give()
    world.answer(younger, (53, 53), (53, 53))
    world.answer(older, (51, 51), (51, 51))
    assert world.quota.read_15min.usage == 53


def test_guarantee_04_a_number_of_a_past_window_changes_nothing() -> None:
    world = LedgerWorld()
    world.learn(50)
    world.now += 850
    world.answer(world.give(), (51, 51), (51, 51))
    late = world.give()
    world.now += 120
    world.answer(late, (99, 99), (99, 99), date=TEN + 860)
    assert world.quota.read_15min.usage == 0
    assert world.quota.read_15min.reserved == 0


def test_guarantee_04_a_number_that_straddles_a_reset_is_not_believed_in_the_new_window() -> None:
    world = LedgerWorld()
    world.learn(90)
    world.now += 899.5
    late = world.give()
    world.now += 2
    assert world.quota.read_15min.usage == 0
    world.answer(late, (91, 91), (91, 91))
    assert world.quota.read_15min.usage == 1, "spent in the new window until a number says otherwise"
    world.answer(world.give(), (1, 92), (1, 92))
    assert world.quota.read_15min.usage == 1
    assert world.quota.read_day.usage == 92, "for the day there is no doubt"


def test_guarantee_04_limits_are_adopted_at_once_up_and_down(world: LedgerWorld) -> None:
    world.learn(20)
    world.answer(world.give(), (21, 21), (21, 21), limits=(400, 4_000, 200, 2_000))
    assert world.quota.read_15min.limit == 200
    world.answer(world.give(), (22, 22), (22, 22), limits=(60, 600, 30, 300))
    assert world.quota.read_15min.limit == 30
    assert len(world.burst()) == 8


def test_guarantee_04_the_youngest_request_tells_the_limit(world: LedgerWorld) -> None:
    world.learn(20)
    older, younger = world.give(), world.give()
    world.answer(younger, (22, 22), (22, 22), limits=(60, 600, 30, 300))
    world.answer(older, (21, 21), (21, 21))
    assert world.quota.read_15min.limit == 30


@pytest.mark.parametrize("text", [*NONSENSE, "0,0", "9" * 5_000 + ",1"])
@pytest.mark.parametrize(
    "field", ["x-ratelimit-limit", "x-ratelimit-usage", "x-readratelimit-limit", "x-readratelimit-usage"]
)
def test_guarantee_04_malformed_fields_leave_the_state_and_counting_goes_on(text: str, field: str) -> None:
    world = LedgerWorld()
    world.learn(20)
    permit = world.give()
    headers = {
        "date": formatdate(world.server, usegmt=True),
        "x-ratelimit-limit": "200,2000",
        "x-ratelimit-usage": "21,21",
        "x-readratelimit-limit": "100,1000",
        "x-readratelimit-usage": "21,21",
    }
    world.ledger.settle(permit, 200, headers | {field: text}, world.now)
    for meter, limit in ((world.quota.read_15min, 100), (world.quota.overall_15min, 200)):
        assert meter == Meter(limit=limit, usage=21, reserved=0, resets_at=TEN + 900)


def test_guarantee_04_answers_without_headers_are_counted_and_later_covered(world: LedgerWorld) -> None:
    world.learn(20)
    for _ in range(5):
        world.answer(world.give(), None)
    assert world.quota.read_15min.usage == 25
    world.answer(world.give(), (21, 21), (21, 21))
    assert world.quota.read_15min.usage == 21, "those five were not counted after all"


def test_a_number_does_not_cover_what_ended_after_its_request_began(world: LedgerWorld) -> None:
    world.learn(20)
    early, blind = world.give(), world.give()
    world.answer(blind, None)
    world.answer(early, (21, 21), (21, 21))
    assert world.quota.read_15min.usage == 22


def test_answers_in_any_order_lead_to_the_same_books() -> None:
    results = set()
    for order in itertools.permutations(range(4)):
        world = LedgerWorld()
        world.learn(20)
        permits = [world.give() for _ in range(4)]
        world.now += 1
        for i in order:
            numbers = (21 + i, 21 + i) if i != 2 else None
            world.answer(permits[i], numbers, numbers)
        results.add((world.quota, world.admits(), len(world.burst())))
    assert len(results) == 1


def test_an_upload_tells_of_the_read_budget_too(world: LedgerWorld) -> None:
    world.learn(20)
    world.answer(world.give(reads=False), (40, 40), (39, 39))
    assert world.quota.read_15min.usage == 39
    assert world.quota.overall_15min.usage == 40


def test_a_read_whose_answer_shows_no_read_budget_is_counted_there(world: LedgerWorld) -> None:
    world.learn(20)
    world.answer(world.give(), (21, 21))
    assert world.quota.read_15min.usage == 21


# -- others ------------------------------------------------------------------------------------------------------------


def test_guarantee_05_use_by_others_is_respected_within_one_answer(world: LedgerWorld) -> None:
    world.learn(20)
    world.answer(world.give(), (95, 95), (95, 95))
    assert world.quota.read_15min.usage == 95
    assert len(world.burst()) <= 5


def test_beside_others_at_most_half_of_our_share_is_out(world: LedgerWorld) -> None:
    world.learn(20)
    for i in range(20):
        used = 22 + 2 * i
        world.answer(world.give(), (used, used), (used, used))
    assert world.quota.read_15min.usage == 60
    assert 1 <= len(world.burst()) <= 20


def test_what_was_there_before_us_is_no_sign_of_others(world: LedgerWorld) -> None:
    world.learn(70)
    assert len(world.burst()) == 30


# -- windows -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skew", [-120.0, -20.0, -0.4, 0.4, 20.0, 120.0])
@pytest.mark.parametrize("phase", [0.0, 0.3, 0.6, 0.9])
def test_guarantee_03_a_window_turns_after_the_boundary_and_within_a_second(skew: float, phase: float) -> None:
    world = LedgerWorld(skew=skew, jitter=0.999, start=TEN + phase)
    world.learn(100)
    boundary = NOW + 900 - phase
    world.now = math.nextafter(boundary, 0)
    assert not world.admits()
    world.now = boundary + 1
    assert world.admits()


def test_guarantee_03_the_same_after_a_wait_for_midnight() -> None:
    world = LedgerWorld(jitter=0.5, start=TEN + 0.3)
    world.learn(1_000, limits=(5_000, 50_000, 5_000, 1_000))
    midnight = TEN + 50_400 - world.offset
    world.now = midnight
    assert not world.admits()
    world.now = midnight + 1
    assert world.admits()


def test_a_wall_clock_that_jumps_changes_nothing_after_the_first_date() -> None:
    world = LedgerWorld(skew=-3_600.0)
    world.learn(20)
    assert world.quota.read_15min == Meter(limit=100, usage=20, reserved=0, resets_at=TEN + 900)


def test_a_window_that_turned_starts_at_zero(world: LedgerWorld) -> None:
    world.learn(60)
    world.now += 901
    assert world.quota.read_15min == Meter(limit=100, usage=0, reserved=0, resets_at=TEN + 1_800)
    assert world.quota.read_day.usage == 60


def test_permits_out_go_along_into_the_new_window(world: LedgerWorld) -> None:
    world.learn(60)
    world.give()
    world.now += 901
    assert world.quota.read_15min.reserved == 1
    assert len(world.burst()) == 99


WRONG_DATES = [-TEN, -28_800.0, -600.0, 600.0, 28_800.0, 1.8e9]


@pytest.mark.parametrize("wrong", WRONG_DATES)
def test_one_wrong_date_with_the_last_unit_of_a_window_moves_no_turn(world: LedgerWorld, wrong: float) -> None:
    world.learn(99)
    world.answer(world.give(), (100, 100), (100, 100), date=world.server + wrong)
    wait = world.ledger.blocked(QuotaClass.READ, world.now)
    assert wait is not None
    assert NOW + 900 < wait.until < NOW + 902
    assert (wait.window, wait.resume_at) == ("read_15min", TEN + 900)
    world.now = NOW + 902
    assert world.admits()


@pytest.mark.parametrize("wrong", WRONG_DATES)
def test_a_first_date_that_is_wrong_moves_no_turn(world: LedgerWorld, wrong: float) -> None:
    world.answer(world.give(), (100, 100), (100, 100), date=world.server + wrong)
    assert world.quota.read_15min == Meter(limit=100, usage=100, reserved=0, resets_at=TEN + 900)
    wait = world.ledger.blocked(QuotaClass.READ, world.now)
    assert wait is not None
    assert wait.until < NOW + 902


@pytest.mark.parametrize("skew", [-28_800.0, -700.0, 700.0, 1.8e9])
def test_a_machine_whose_clock_is_wrong_learns_the_time_from_two_answers(skew: float) -> None:
    world = LedgerWorld(skew=skew, start=TEN + 100)
    world.answer(world.give(), (1, 1), (1, 1))
    world.now += 0.5
    world.answer(world.give(), (2, 2), (2, 2))
    assert world.quota.read_15min == Meter(limit=100, usage=2, reserved=0, resets_at=TEN + 900)


WRONG_MACHINES = [-28_500.0, -400.0, 400.0, 700.0]  # by whose clocks the window ends later than in truth


@pytest.mark.parametrize("skew", WRONG_MACHINES)
def test_when_a_spent_window_ends_by_the_first_date_one_call_asks(skew: float) -> None:
    world = LedgerWorld(skew=skew, start=TEN + 600.4)
    world.answer(world.give(), (200, 300), (100, 200))
    world.now = NOW + 299
    assert not world.admits()
    wait = world.ledger.blocked(QuotaClass.READ, world.now)
    assert wait is not None
    assert NOW + 299.6 < wait.until < NOW + 301.6
    assert NOW + 299.6 < world.ledger.next_change() < NOW + 301.6, "whoever waits is woken then"
    world.now = world.ledger.next_change()
    (permit,) = world.burst()
    world.answer(permit, (1, 301), (1, 201))
    assert world.quota.read_15min == Meter(limit=100, usage=1, reserved=0, resets_at=TEN + 1_800)
    assert len(world.burst()) == 10


@pytest.mark.parametrize("skew", WRONG_MACHINES)
def test_a_question_about_the_first_date_that_is_lost_is_not_asked_again_at_once(skew: float) -> None:
    world = LedgerWorld(skew=skew, start=TEN + 600.4)
    world.answer(world.give(), (200, 300), (100, 200))
    world.now = NOW + 302
    (permit,) = world.burst()
    world.ledger.abandon(permit, world.now)
    world.now += 58
    assert not world.admits()


def test_those_ahead_count_too_while_the_first_date_is_in_doubt() -> None:
    world = LedgerWorld(skew=-400.0, start=TEN + 600.4)
    world.answer(world.give(), (199, 299), (99, 199))
    world.answer(world.give(), (200, 300), (100, 200), date=None)
    wait = world.ledger.blocked(QuotaClass.READ, world.now, 150)
    assert wait is not None
    assert wait.until > NOW + 900


def test_the_first_date_moves_no_day() -> None:
    """A day that is spent is asked about once per quarter hour as it is."""
    world = LedgerWorld(skew=-400.0, start=TEN + 600.4)
    world.answer(world.give(), (200, 2_000), (100, 1_000))
    world.now = NOW + 302
    assert not world.admits()


@pytest.mark.parametrize("jump", [-28_800.0, -600.0, 600.0, 28_800.0])
def test_a_clock_that_two_answers_set_again_begins_with_one_call_and_that_answers_numbers(jump: float) -> None:
    world = LedgerWorld(start=TEN + 100)
    world.learn(20)
    out = world.give()
    for used in (22, 23):
        world.now += 1
        world.answer(world.give(), (used, used), (used, used), date=world.server + jump)
    world.offset += jump
    assert world.quota.read_15min.resets_at == world.server // 900 * 900 + 900
    assert len(world.burst()) <= 10
    world.answer(out, (21, 21), (21, 21))
    world.answer(world.give(), (24, 24), (24, 24))
    assert world.quota.read_15min.usage is not None


def test_the_clock_of_before_tells_nothing_of_a_call_that_was_out_when_it_was_set_again() -> None:
    world = LedgerWorld(start=TEN + 1_000)
    world.learn(20)
    out = world.give()
    world.offset -= 600
    for used in (22, 23):
        world.now += 1
        world.answer(world.give(), (used, used), (used, used))
    world.answer(out, (21, 21), (21, 21))
    assert world.quota.read_15min.usage == 23, "the number was told in this window, and 23 covers it"


@pytest.mark.parametrize("wrong", WRONG_DATES)
def test_while_a_date_waits_for_its_second_witness_a_window_begins_with_one_call(
    world: LedgerWorld, wrong: float
) -> None:
    world.learn(20)
    world.answer(world.give(), (21, 21), (21, 21), date=world.server + wrong)
    world.now += 902
    assert len(world.burst()) == 1


def test_the_answer_of_a_cache_tells_neither_time_nor_numbers(world: LedgerWorld) -> None:
    world.learn(20)
    before = world.ledger.clock.low, world.ledger.clock.high
    world.answer(world.give(), (99, 99), (99, 99), date=TEN - 900, age="900")
    assert (world.ledger.clock.low, world.ledger.clock.high) == before
    assert not world.ledger.clock.contested
    assert world.quota.read_15min.usage == 21, "it may have been counted"


def test_the_first_instant_of_a_quarter_belongs_to_it_on_a_clock_without_width(world: LedgerWorld) -> None:
    world.answer(world.give(), None, status=429, date=None)
    assert not world.admits()
    assert world.ledger.overall.refusals == 1
    world.now += 5.01
    assert world.admits()


# -- counters that turn late -------------------------------------------------------------------------------------------


def spent(*, limits: tuple[int, int, int, int] = (*OVERALL, *READ), used: int = 100) -> LedgerWorld:
    """Return world whose window is spent, a moment after its end."""
    world = LedgerWorld(start=TEN + 0.3)
    world.learn(used, limits=limits)
    world.now = NOW + 900.1
    return world


def fill(world: LedgerWorld, used: int) -> None:
    """Spend what is left of a window of which so much is used."""
    while permits := world.burst():
        for permit in permits:
            used += 1
            world.answer(permit, (used, used), (used, used))


def probe(world: LedgerWorld, *numbers: int, status: int = 200, numbered: bool = True) -> None:
    """Let the one call that may begin be answered with these numbers of the overall and the read budget."""
    (permit,) = world.burst()
    overall, read = numbers[0], numbers[-1]
    day = (overall, overall), (read, read)
    world.answer(permit, *(day if numbered else (None, None)), status=status)


def test_after_a_full_window_one_call_finds_out_if_the_counter_has_turned() -> None:
    world = spent()
    probe(world, 1)
    assert len(world.burst()) == 99


def test_a_probe_whose_answer_takes_a_second_is_waited_for_no_longer() -> None:
    world = spent()
    assert len(world.burst()) == 1
    world.now += 1.2
    assert len(world.burst()) == 99


def test_old_numbers_that_come_after_the_first_new_one_change_nothing() -> None:
    world = spent()
    world.give()
    world.now += 1.2
    refused, served = world.give(), world.give()
    world.answer(served, (1, 103), (1, 103))
    world.answer(refused, (102, 102), (102, 102), status=429)
    assert world.quota.read_15min.usage == 1
    assert world.ledger.turn.late > 0


def test_permits_out_from_the_window_before_are_no_probes() -> None:
    world = LedgerWorld(start=TEN + 0.3)
    world.learn(99)
    world.give()
    world.now = NOW + 900.9
    assert len(world.burst()) == 1


@pytest.mark.parametrize("numbered", [True, False], ids=["with numbers", "without"])
def test_guarantee_03_a_number_that_goes_on_from_a_full_count_is_of_the_window_before(numbered: bool) -> None:
    world = spent()
    probe(world, 101, status=429, numbered=numbered)
    assert world.quota.read_15min.usage == (0 if numbered else 1), "without a number nobody knows where it was counted"
    assert world.ledger.overall.refusals == 0
    assert not world.admits(), "not at once"
    world.now += 0.9
    probe(world, 102, status=429, numbered=numbered)
    assert not world.admits()
    world.now += 0.9
    probe(world, 1, numbered=numbered)
    assert len(world.burst()) == (99 if numbered else 97)


def test_guarantee_03_the_next_windows_begin_when_the_counter_turns() -> None:
    world = spent()
    probe(world, 101, status=429)
    world.now += 0.9
    probe(world, 1)
    fill(world, 1)
    world.now = NOW + 1_800.6
    assert not world.admits()
    world.now = NOW + 1_800.1 + 0.9
    probe(world, 1)
    assert len(world.burst()) == 99


def test_a_window_that_is_full_in_truth_leaves_the_counter_punctual() -> None:
    world = spent()
    for used in range(101, 110):
        probe(world, used, status=429)
        world.now += 0.9
        if not world.admits():
            break
    assert 904 < world.now - NOW < 907
    assert world.quota.read_15min.usage == used
    assert world.ledger.clock.late == 0
    world.now = NOW + 1_801
    assert world.admits()


def test_numbers_that_others_explain_are_believed_in_the_first_seconds() -> None:
    world = LedgerWorld(start=TEN + 0.3)
    world.answer(world.give(), (99, 99), (99, 99))
    world.answer(world.give(), (100, 100), (100, 100))
    world.now = NOW + 900.9
    probe(world, 99)
    assert world.quota.read_15min.usage == 99
    world.answer(world.give(), (102, 102), (102, 102), status=429)
    assert world.quota.read_15min.usage == 102
    assert not world.admits()


def test_guarantee_05_a_number_that_others_explain_is_respected_in_the_first_seconds() -> None:
    world = LedgerWorld(start=TEN + 0.3)
    world.learn(12)
    for used in (73, 74):
        world.answer(world.give(), (used, used), (used, used))
    world.now = NOW + 900.9
    permits = [world.give() for _ in range(15)]
    world.answer(permits[0], (75, 149), (75, 149))
    assert world.quota.read_15min.usage == 75


def test_a_number_far_above_the_count_before_does_not_go_on_from_it() -> None:
    world = spent()
    probe(world, 350, status=429)
    assert world.quota.read_15min.usage == 350


@pytest.mark.parametrize("before_us", [0, 88])
@pytest.mark.parametrize(("count", "numbered"), [(50, True), (100, True), (50, False)])
def test_a_crowd_that_found_the_counter_late_spoils_no_window(count: int, before_us: int, numbered: bool) -> None:
    """The probe is slow, so they followed after a second; what was spent before we began is no sign of others."""
    world = LedgerWorld(start=TEN + 0.3)
    world.learn(100, count=100 - before_us)
    world.now = NOW + 900.1
    permits = world.burst()
    world.now += 1.2
    permits += [world.give() for _ in range(count - 1)]
    for used, permit in enumerate(permits, 101):
        numbers = (used, used) if numbered else None
        world.answer(permit, numbers, numbers, status=429)
    assert world.ledger.overall.refusals == world.ledger.read.refusals == 0
    world.now += 0.9
    probe(world, 1)
    world.now += 6
    world.answer(world.give(), (2, count + 102), (2, count + 102))
    assert world.quota.read_15min.usage == 2
    assert len(world.burst()) == 98


def test_what_others_add_to_a_full_count_is_of_the_window_before_too() -> None:
    """Sixty in that quarter hour were others', so there may be as many more until the counter turns."""
    world = LedgerWorld(start=TEN + 0.3)
    world.learn(30)
    for used in (60, 90, 100):
        world.answer(world.give(), (used, used), (used, used))
    world.now = NOW + 900.9
    probe(world, 140, status=429)
    assert world.quota.read_15min.usage == 0
    world.now += 0.9
    assert world.admits()


def test_a_counter_of_which_nobody_asked_again_is_no_later_than_before() -> None:
    world = spent()
    probe(world, 101, status=429)
    assert world.ledger.clock.late > 0
    world.now = NOW + 1_801
    assert world.admits()
    assert world.ledger.clock.late == 0


def test_a_date_just_after_a_boundary_is_before_the_turn_of_a_late_counter() -> None:
    world = spent()
    for used in (101, 102):
        probe(world, used, status=429)
        world.now += 0.9
    probe(world, 1)
    assert world.ledger.clock.early > 0.5
    world.now = NOW + 1_799.2
    slow = world.give()
    world.now = NOW + 1_806
    assert world.quota.read_15min.usage == 0
    world.answer(slow, (2, 104), (2, 104), date=TEN + 1_800)
    assert world.quota.read_15min.usage == 0, "counted until the counter showed half past, at the latest"


def test_a_count_that_was_not_full_goes_on_quietly(world: LedgerWorld) -> None:
    world.learn(20)
    world.now = NOW + 901
    permits = world.give(), world.give()
    world.answer(permits[0], (21, 21), (21, 21))
    assert world.ledger.turn.late == 0
    assert world.quota.read_15min.usage == 1, "in the new window or not: it counts, and its number does not"
    world.answer(permits[1], (1, 22), (1, 22))
    assert world.quota.read_15min.usage == 2


def test_guarantee_03_a_day_whose_counter_turns_late_is_found_out_too() -> None:
    world = LedgerWorld(start=TEN + 13.75 * 3_600 + 0.3)
    world.learn(1_000, limits=(9_000, 90_000, 9_000, 1_000))
    world.now = NOW + 900.9
    assert world.quota.read_day.resets_at == TEN + 14 * 3_600 + 86_400
    (permit,) = world.burst()
    limits = (9_000, 90_000, 9_000, 1_000)
    world.answer(permit, (1_001, 1_001), (1_001, 1_001), status=429, limits=limits)
    assert world.quota.read_day.usage == 0
    world.now += 0.9
    (permit,) = world.burst()
    world.answer(permit, (1, 1), (1, 1), limits=limits)
    assert len(world.burst()) > 900


def test_at_midnight_a_step_of_what_was_learnt_is_taken_back() -> None:
    world = LedgerWorld(start=TEN + 13 * 3_600 + 2_700 - 900 + 0.3)
    world.learn(100)
    world.now = NOW + 900.9
    probe(world, 101, status=429)
    late = world.ledger.turn.late
    world.now += 0.9
    probe(world, 1)
    world.now += 900
    assert world.admits()
    assert world.ledger.turn.late == pytest.approx(late - 0.75)
    assert world.ledger.clock.late == world.ledger.turn.late


# -- one wrong number --------------------------------------------------------------------------------------------------

WRONG = 999_999_999


@pytest.mark.parametrize("status", [200, 429])
def test_a_day_that_one_answer_called_full_is_probed_once_per_quarter_hour(world: LedgerWorld, status: int) -> None:
    world.learn(20)
    world.answer(world.give(), (21, WRONG), (21, WRONG), status=status)
    assert not world.admits()
    wait = world.ledger.blocked(QuotaClass.READ, world.now)
    assert wait is not None
    assert wait.until < NOW + 902
    for quarter in range(1, 4):
        world.now = NOW + quarter * 900 + 1
        (permit,) = world.burst()
        world.ledger.abandon(permit, world.now)
        world.now += 890
        assert not world.admits(), "once"
    world.now += 20
    (permit,) = world.burst()
    world.answer(permit, (1, 25), (1, 25))
    assert world.quota.read_day.usage == 25
    assert len(world.burst()) > 5


@pytest.mark.parametrize("number", [WRONG, 1_000, 990])
def test_background_calls_alone_find_out_about_a_day_in_doubt_too(world: LedgerWorld, number: int) -> None:
    """Nobody else may come to ask; and the reserve of a day must not rest on what one answer said."""
    world.learn(20)
    world.answer(world.give(), (21, number), (21, number))
    world.now = NOW + 901
    assert world.admits(background=True)
    world.answer(world.give(), (1, 22), (1, 22))
    assert world.admits(background=True)


def test_background_calls_alone_find_out_about_a_limit_in_doubt_too(world: LedgerWorld) -> None:
    world.learn(20)
    world.answer(world.give(), None, None, **{"x-readratelimit-limit": "1,1"})
    world.now = NOW + 901
    assert world.admits(background=True)


def test_the_reserve_of_a_day_stands_when_two_answers_say_so(world: LedgerWorld) -> None:
    world.learn(20)
    for used in (990, 991):
        world.answer(world.give(), (used - 969, used), (used - 969, used))
    world.now = NOW + 901
    assert not world.admits(background=True)
    assert world.admits()


def test_a_number_in_doubt_is_no_sign_of_others_in_the_next_window(world: LedgerWorld) -> None:
    world.learn(20)
    world.answer(world.give(), (WRONG, 21), (WRONG, 21))
    world.now = NOW + 901
    world.answer(world.give(), (1, 22), (1, 22))
    flight = world.burst()
    assert len(flight) == 10, "it looks first"
    for used, permit in enumerate(flight, 2):
        world.answer(permit, (used, used + 21), (used, used + 21))
    assert len(world.burst()) == 89


def test_a_released_probe_can_begin_again(world: LedgerWorld) -> None:
    world.learn(20)
    world.answer(world.give(), (21, WRONG), (21, WRONG))
    world.now = NOW + 901
    world.ledger.release(world.give(), world.now)
    assert len(world.burst()) == 1


@pytest.mark.parametrize("together", [True, False])
def test_a_day_that_two_answers_called_full_is_not_probed(world: LedgerWorld, together: bool) -> None:
    world.learn(20)
    first, second = world.give(), world.give()
    world.answer(first, (21, 1_100), (21, 1_001), status=429)
    if not together:
        world.ledger.release(second, world.now)
        world.now = NOW + 901
        (second,) = world.burst()
    world.answer(second, (22, 1_101), (22, 1_000 if together else 1_002), status=429)
    for quarter in range(2, 6):
        world.now = NOW + quarter * 900 + 1
        assert not world.admits()
    wait = world.ledger.blocked(QuotaClass.READ, world.now)
    assert wait is not None
    assert wait.until > NOW + 50_400


def test_a_day_that_our_own_count_explains_is_not_probed(world: LedgerWorld) -> None:
    for i in range(1, 13):
        world.answer(world.give(), (i, i), (i, i), limits=(200, 2_000, 100, 12))
    for quarter in range(1, 5):
        world.now = NOW + quarter * 900 + 1
        assert not world.admits()


@pytest.mark.parametrize("field", ["x-ratelimit-limit", "x-readratelimit-limit"])
def test_a_limit_from_a_single_answer_is_probed_too(world: LedgerWorld, field: str) -> None:
    world.learn(20)
    world.answer(world.give(), None, None, **{field: "1,1"})
    assert not world.admits()
    world.now = NOW + 901
    (permit,) = world.burst()
    world.answer(permit, (1, 22), (1, 22))
    assert len(world.burst()) > 5


def test_limits_from_a_single_answer_refuse_nobody_because_of_those_ahead(world: LedgerWorld) -> None:
    world.answer(world.give(), (1, 1), (1, 1))
    assert world.ledger.blocked(QuotaClass.READ, world.now, 150) is None
    world.answer(world.give(), (2, 2), (2, 2))
    wait = world.ledger.blocked(QuotaClass.READ, world.now, 150)
    assert wait is not None
    assert wait.window == "read_15min"


def test_the_same_limits_in_other_words_are_the_same(world: LedgerWorld) -> None:
    for i in range(1, 13):
        words = {"x-readratelimit-limit": "100,12" if i % 2 else "100, 12", "x-readratelimit-usage": f"{i},{i}"}
        world.answer(world.give(), (i, i), None, **words)
    world.now = NOW + 901
    assert not world.admits()


def test_a_limit_that_was_cut_in_truth_is_probed_once(world: LedgerWorld) -> None:
    world.learn(20)
    cut = (200, 2_000, 100, 10)
    world.answer(world.give(), (21, 21), (21, 21), limits=cut)
    world.now = NOW + 901
    (permit,) = world.burst()
    world.answer(permit, (1, 22), (1, 22), limits=cut, status=429)
    for quarter in range(2, 6):
        world.now = NOW + quarter * 900 + 1
        assert not world.admits()


def test_a_number_in_doubt_is_refuted_by_a_later_request_only(world: LedgerWorld) -> None:
    world.learn(20)
    early, wrong = world.give(), world.give()
    world.answer(wrong, (90, 90), (90, 90))
    world.answer(early, (22, 22), (22, 22))
    assert world.quota.read_15min.usage == 90
    world.answer(world.give(), (23, 23), (23, 23))
    assert world.quota.read_15min.usage == 23
    assert len(world.burst()) == 77


def test_guarantee_04_a_number_with_a_second_witness_never_falls(world: LedgerWorld) -> None:
    world.learn(20)
    world.answer(world.give(), (90, 90), (90, 90))
    world.answer(world.give(), (91, 91), (91, 91))
    world.answer(world.give(), (23, 23), (23, 23))
    assert world.quota.read_15min.usage == 91


def test_limits_that_change_are_adopted_at_once(world: LedgerWorld) -> None:
    world.learn(20)
    world.answer(world.give(), (21, 21), (21, 21), limits=(400, 4_000, 30, 3_000))
    assert len(world.burst()) == 9
    world = LedgerWorld()
    world.learn(100)
    world.answer(world.give(reads=False), (101, 101), (100, 100), limits=(400, 4_000, 200, 3_000))
    assert len(world.burst()) == 100


# -- ends of permits ---------------------------------------------------------------------------------------------------


def test_guarantee_08_a_released_permit_leaves_no_trace(world: LedgerWorld) -> None:
    world.learn(20)
    before = world.quota
    permits = world.burst()
    for permit in permits:
        world.ledger.release(permit, world.now)
    assert world.quota == before


def test_guarantee_08_an_abandoned_permit_counts_until_an_answer_says_otherwise(world: LedgerWorld) -> None:
    world.learn(20)
    world.ledger.abandon(world.give(), world.now)
    for meter in (world.quota.read_15min, world.quota.read_day, world.quota.overall_15min, world.quota.overall_day):
        assert (meter.usage, meter.reserved) == (21, 0)
    world.now += 6
    world.answer(world.give(), (21, 21), (21, 21))
    assert world.quota.read_15min.usage == 21, "it was never counted; this answer's request was the twenty-first"


def test_guarantee_08_an_abandoned_request_may_still_be_on_its_way(world: LedgerWorld) -> None:
    world.learn(20)
    world.ledger.abandon(world.give(), world.now)
    world.now += 0.1
    world.answer(world.give(), (21, 21), (21, 21))
    assert world.quota.read_15min.usage == 22


def test_a_request_abandoned_just_before_a_reset_counts_after_it(world: LedgerWorld) -> None:
    world.learn(20)
    world.now += 898
    world.ledger.abandon(world.give(), world.now)
    world.now += 3
    assert world.quota.read_15min.usage == 1


def test_when_nobody_will_tell_an_end_all_permits_count_until_an_answer_says_otherwise(world: LedgerWorld) -> None:
    world.learn(20)
    world.burst()
    world.ledger.abandon_all(world.now)
    assert (world.quota.read_15min.usage, world.quota.read_15min.reserved) == (100, 0)
    assert (world.quota.overall_day.usage, world.quota.overall_day.reserved) == (100, 0)
    world.now += 901
    assert world.quota.read_15min.usage == 0
    world.answer(world.give(), (1, 21), (1, 21))
    assert world.quota.read_day.usage == 21


# -- 429 ---------------------------------------------------------------------------------------------------------------


def test_a_429_that_the_numbers_explain_blocks_until_the_reset(world: LedgerWorld) -> None:
    world.learn(20)
    world.answer(world.give(), (120, 120), (101, 101), status=429)
    assert not world.admits()
    wait = world.ledger.blocked(QuotaClass.READ, world.now)
    assert wait is not None
    assert wait.window == "read_15min"
    assert wait.resume_at == TEN + 900


def test_use_far_beyond_the_limit_is_no_debt(world: LedgerWorld) -> None:
    world.learn(20)
    world.answer(world.give(), (692, 692), (591, 591), status=429)
    wait = world.ledger.blocked(QuotaClass.READ, world.now)
    assert wait is not None
    assert wait.resume_at == TEN + 900


def test_a_429_of_the_day_blocks_until_midnight(world: LedgerWorld) -> None:
    world.learn(20)
    world.answer(world.give(), (30, 1_100), (30, 1_001), status=429)
    wait = world.ledger.blocked(QuotaClass.READ, world.now)
    assert wait is not None
    assert wait.window == "read_day"
    assert wait.resume_at == TEN + 50_400
    assert world.admits(reads=False)


def test_the_cooldown_is_longer_each_time_and_then_lets_one_through(world: LedgerWorld) -> None:
    world.learn(20)
    probe = world.give()
    for seconds in (5, 10, 20, 40, 80, 160, 300):
        world.answer(probe, None, status=429)
        world.now += seconds - 0.01
        assert not world.admits()
        world.now += 0.02
        (probe,) = world.burst()


def test_many_429s_at_once_are_one_refusal(world: LedgerWorld) -> None:
    world.learn(20)
    for permit in world.burst()[:30]:
        world.answer(permit, None, status=429)
    world.now += 5.01
    assert world.ledger.overall.refusals == 1


def test_a_429_that_a_full_meter_explains_ends_the_cooldown_of_one_that_nothing_explained(world: LedgerWorld) -> None:
    world.learn(20)
    old = world.give()
    world.answer(world.give(), None, status=429)
    world.now += 5.01
    world.answer(old, (101, 101), (101, 101), status=429)
    assert world.ledger.overall.refusals == 1, "it began before the cooldown did"
    world.now += 900
    world.answer(world.give(), (1, 102), (1, 102))
    world.answer(world.give(), None, status=429)
    world.now += 5.01
    world.answer(world.give(), (101, 201), (101, 201), status=429)
    assert world.ledger.overall.refusals == 0


def test_the_cooldown_ends_with_the_first_answer(world: LedgerWorld) -> None:
    world.learn(20)
    world.answer(world.give(), None, status=429)
    world.now += 5.01
    world.answer(world.give(), (22, 22), (22, 22))
    assert world.ledger.overall.refusals == 0
    assert world.admits()


def test_a_429_without_the_read_numbers_stops_the_reads_only(world: LedgerWorld) -> None:
    world.learn(20)
    world.answer(world.give(), (21, 21), status=429)
    assert not world.admits()
    assert world.admits(reads=False)


def test_retry_after_is_honoured(world: LedgerWorld) -> None:
    world.learn(20)
    world.answer(world.give(), None, status=429, retry_after="33")
    wait = world.ledger.blocked(QuotaClass.READ, world.now)
    assert wait is not None
    assert wait.until == world.now + 33
    assert wait.window == "overall_15min"


@pytest.mark.parametrize("asked", ["999999999", "9" * 30, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_retry_after_ends_at_midnight_at_the_latest(world: LedgerWorld, asked: str) -> None:
    world.learn(20)
    world.answer(world.give(), None, status=429, retry_after=asked)
    wait = world.ledger.blocked(QuotaClass.READ, world.now)
    assert wait is not None
    assert NOW + 50_400 < wait.until < NOW + 50_402
    world.now = wait.until
    assert len(world.burst()) == 1


@pytest.mark.parametrize("asked", ["0", "1", "-5", "soon", "Tue, 06 Jan 2026 09:00:00 GMT"])
def test_whatever_retry_after_says_we_back_off(world: LedgerWorld, asked: str) -> None:
    world.learn(20)
    probe = world.give()
    for seconds in (5, 10, 20, 40, 80, 160, 300):
        world.answer(probe, None, status=429, retry_after=asked)
        world.now += seconds - 0.01
        assert not world.admits()
        world.now += 0.02
        (probe,) = world.burst()


def test_the_429_of_an_ended_window_stops_nothing(world: LedgerWorld) -> None:
    world.learn(100)
    world.now += 899
    late = world.give()
    world.now += 2
    assert world.admits()
    world.answer(late, (102, 102), (102, 102), status=429, date=TEN + 899)
    assert world.admits()


# -- reserve -----------------------------------------------------------------------------------------------------------


def test_guarantee_02_the_last_unit_of_a_window_is_spent(world: LedgerWorld) -> None:
    world.learn(20)
    assert len(world.burst()) == 80


def test_guarantee_02_a_reserve_holds_back_background_only_and_melts(world: LedgerWorld) -> None:
    world.learn(20)
    assert len(world.burst(background=True)) == 60
    world.now += 450
    assert len(world.burst(background=True)) == 10
    world.now += 449
    assert len(world.burst(background=True)) == 10
    assert not world.admits(), "nothing is wasted"


def test_guarantee_02_the_reserve_never_holds_back_the_others(world: LedgerWorld) -> None:
    world.learn(20)
    world.burst(background=True)
    assert len(world.burst()) == 20


def test_the_reserve_grows_with_interactive_traffic(world: LedgerWorld) -> None:
    world.learn(20)
    for _ in range(40):
        world.ledger.reserve.note_interactive()
    assert len(world.burst(background=True)) < 60


def test_without_a_reserve_background_takes_everything() -> None:
    world = LedgerWorld(reserve=0.0)
    world.learn(20)
    assert len(world.burst(background=True)) == 80


def test_the_day_keeps_a_reserve_too() -> None:
    world = LedgerWorld(start=TEN - 36_000)  # the day's first second
    world.learn(890, limits=(9_000, 9_000, 9_000, 1_000))
    assert len(world.burst(background=True)) == 10


def test_the_reserve_of_a_window_of_which_nothing_is_known_holds_back_nobody(world: LedgerWorld) -> None:
    world.learn(100)
    new = restore(world, save(world.ledger, world.now, world.server), later=902)
    assert new.admits(background=True)


def test_it_is_known_when_the_reserve_melts(world: LedgerWorld) -> None:
    world.learn(20)
    world.burst(background=True)
    melting = world.ledger.reserve_wait(QuotaClass.READ, world.now)
    assert melting is not None
    world.now = melting.until - 0.01
    assert not world.admits(background=True)
    world.now = melting.until
    assert world.admits(background=True)


# -- snapshot ----------------------------------------------------------------------------------------------------------


def restore(world: LedgerWorld, saved: dict[str, Any], *, later: float = 0.0, wall: float = 0.0) -> LedgerWorld:
    """Return the world of a process that starts ``later``, whose wall clock has moved by ``wall`` more than that."""
    new = LedgerWorld(start=world.server + later)
    load(new.ledger, saved, NOW, new.server + wall)
    return new


def test_a_snapshot_brings_everything_back(world: LedgerWorld) -> None:
    world.learn(20)
    saved = save(world.ledger, world.now, world.server)
    assert restore(world, json.loads(json.dumps(saved))).quota == world.quota


def test_a_snapshot_keeps_doubts_and_what_was_learnt_of_the_counter() -> None:
    world = spent()
    probe(world, 101, status=429)
    world.now += 0.9
    probe(world, 1)
    world.answer(world.give(), (2, WRONG), (2, WRONG))
    saved = json.loads(json.dumps(save(world.ledger, world.now, world.server)))
    new = restore(world, saved)
    assert new.ledger.turn.late == new.ledger.clock.late == pytest.approx(world.ledger.turn.late, abs=1e-3)
    (permit,) = new.burst()
    new.answer(permit, (1, 104), (1, 104))
    assert new.quota.read_day.usage == 104


def test_an_answer_that_tells_the_saved_limits_casts_no_doubt_on_a_spent_day(world: LedgerWorld) -> None:
    limits = (9_000, 90_000, 9_000, 1_000)
    world.learn(1_000, limits=limits)
    new = restore(world, save(world.ledger, world.now, world.server))
    new.answer(new.give(reads=False), (1_001, 1_001), (1_000, 1_000), limits=limits)
    new.now += 1_000
    assert not new.admits()


def test_a_snapshot_of_an_earlier_version_has_no_doubts(world: LedgerWorld) -> None:
    world.learn(1_000, limits=(9_000, 9_000, 9_000, 1_000))
    saved = save(world.ledger, world.now, world.server)
    del saved["counter_late"]
    for budget in ("read", "overall"):
        del saved[budget]["limits_confirmed"]
        for window in ("quarter", "day"):
            del saved[budget][window]["confirmed"]
    new = restore(world, saved, later=1_800)
    assert not new.admits()


def test_what_a_snapshot_knows_is_no_sign_of_others(world: LedgerWorld) -> None:
    world.learn(20)
    new = restore(world, save(world.ledger, world.now, world.server))
    for used in range(21, 33):
        new.answer(new.give(), (used, used), (used, used))
    assert len(new.burst()) == 68


def test_numbers_beyond_all_bounds_can_be_saved_and_restored(world: LedgerWorld) -> None:
    world.learn(20)
    world.ledger.abandon(world.give(), world.now)
    world.answer(world.give(), (WRONG, WRONG), (WRONG, WRONG))
    world.give()
    world.give()
    assert not restore(world, save(world.ledger, world.now, world.server)).admits()


def test_permits_out_are_spent_in_a_snapshot(world: LedgerWorld) -> None:
    world.learn(20)
    world.give()
    new = restore(world, save(world.ledger, world.now, world.server))
    assert new.quota.read_15min.usage == 21


def test_what_has_turned_since_the_snapshot_is_unknown(world: LedgerWorld) -> None:
    world.learn(100)
    new = restore(world, save(world.ledger, world.now, world.server), later=902)
    assert new.quota.read_15min.usage is None
    assert new.quota.read_day.usage == 100
    assert len(new.burst()) == 1


def test_a_stale_snapshot_never_raises_room(world: LedgerWorld) -> None:
    world.learn(1_000, limits=(9_000, 9_000, 9_000, 1_000))
    new = restore(world, save(world.ledger, world.now, world.server), later=1_800)
    assert not new.admits(), "the day is still spent"


def test_a_wall_clock_that_was_wrong_all_along_does_no_harm(world: LedgerWorld) -> None:
    world.learn(100)
    saved = save(world.ledger, world.now, world.server + 70)
    new = restore(world, saved, later=10, wall=70)
    assert new.quota.read_15min.usage == 100
    new.now += 880 - 0.5
    assert not new.admits()
    new.now += 12
    assert new.admits()


def test_a_wall_clock_that_was_set_back_does_not_bring_back_the_past(world: LedgerWorld) -> None:
    world.now += 899
    world.learn(50)
    saved = save(world.ledger, world.now, world.server)
    new = restore(world, saved, wall=-5_000)
    assert new.quota.read_15min == Meter(limit=100, usage=50, reserved=0, resets_at=TEN + 900)


def spoil(saved: dict[str, Any], *path: str | int, value: Any) -> dict[str, Any]:
    copy: Any = json.loads(json.dumps(saved))
    inner = copy
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return copy


@pytest.mark.parametrize(
    "change",
    [
        lambda saved: {},
        lambda saved: {**saved, "version": 2},
        lambda saved: {**saved, "quarter": None},
        lambda saved: {**saved, "quarter": True},
        lambda saved: {**saved, "quarter": saved["quarter"] + 9},
        lambda saved: {**saved, "saved_at": math.nan},
        lambda saved: {**saved, "saved_at": 1e300},
        lambda saved: {**saved, "server_minus_wall": [0]},
        lambda saved: {**saved, "server_minus_wall": [1, 0]},
        lambda saved: {**saved, "server_minus_wall": "no"},
        lambda saved: {**saved, "read": None},
        lambda saved: spoil(saved, "read", "quarter", "usage", value=-1),
        lambda saved: spoil(saved, "read", "quarter", "limit", value=0),
        lambda saved: spoil(saved, "overall", "day", "usage", value=1.5),
        lambda saved: spoil(saved, "overall", "day", value=[1, 2]),
        lambda saved: spoil(saved, "overall", "day", "confirmed", value=-1),
        lambda saved: {**saved, "counter_late": [2, 1]},
        lambda saved: {**saved, "counter_late": [0, 900]},
        lambda saved: spoil(saved, "read", "limits_confirmed", value=1),
    ],
)
def test_a_malformed_snapshot_is_refused_and_changes_nothing(
    world: LedgerWorld, change: Callable[[dict[str, Any]], Mapping[str, Any]]
) -> None:
    world.learn(20)
    saved = change(save(world.ledger, world.now, world.server))
    new = LedgerWorld()
    with pytest.raises(InputError):
        load(new.ledger, saved, NOW, TEN)
    assert new.quota == LedgerWorld().quota
