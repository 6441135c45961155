"""The books: windows, numbers, clock, reserve, snapshot. No loop, no queue; time is an argument."""

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
from strava_async.quota import Meter, Quota
from strava_async.quota_budget import Reservation
from strava_async.quota_clock import ServerClock
from strava_async.quota_fields import parse_date, parse_pair, parse_retry_after, pick_fields
from strava_async.quota_ledger import Ledger
from strava_async.quota_snapshot import load, save

NOW = 5_000.0
TEN = 1_767_693_600.0  # 2026-01-06 10:00:00 UTC
READ = 100, 1_000
OVERALL = 200, 2_000


class Books:
    """A ledger with short words: Strava's clock is ``TEN`` at ``NOW``, and the machine's is right unless told."""

    def __init__(self, *, skew: float = 0.0, reserve: float = 0.2, jitter: float = 0.0, start: float = TEN) -> None:
        self.now = NOW
        self.offset = start - NOW
        self.ledger = Ledger(NOW, start + skew, random=lambda: jitter, reserve=reserve)

    @property
    def server(self) -> float:
        return self.now + self.offset

    def give(self, *, reads: bool = True) -> Reservation:
        permit = Reservation()
        self.ledger.catch_up(self.now)
        self.ledger.give(permit, reads, self.now)
        return permit

    def answer(
        self,
        permit: Reservation,
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
        self.ledger.catch_up(self.now)
        return self.ledger.admits(reads, background, self.now)

    def burst(self, *, reads: bool = True, background: bool = False) -> list[Reservation]:
        """Take every permit that there is."""
        permits: list[Reservation] = []
        while self.admits(reads=reads, background=background):
            permits.append(self.give(reads=reads))
        return permits

    @property
    def quota(self) -> Quota:
        self.ledger.catch_up(self.now)
        return self.ledger.quota()


@pytest.fixture
def books() -> Books:
    return Books()


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


# -- Strava's clock ----------------------------------------------------------------------------------------------------


def test_each_date_narrows_what_is_known_of_the_clock() -> None:
    clock = ServerClock(NOW, 0.0, 0.0)
    rng = random.Random(4)
    offset = 123_456.789
    widths = []
    for i in range(200):
        sent = NOW + i * 0.037
        stamped = sent + rng.uniform(0.02, 0.08)
        received = stamped + rng.uniform(0.02, 0.08)
        clock.learn(math.floor(stamped + offset), sent, received)
        assert clock.earliest(received) <= received + offset < clock.latest(received)
        widths.append(clock.high - clock.low)
    assert widths[0] > 1
    assert widths[-1] < 0.2


def test_a_contradiction_widens_the_bounds_and_the_next_date_heals_them() -> None:
    clock = ServerClock(NOW, 0.0, 0.0)
    clock.learn(10_000, NOW, NOW + 0.1)
    clock.learn(10_001 + 3_600, NOW + 1, NOW + 1.1)
    assert clock.earliest(NOW + 1) < 10_002
    assert clock.latest(NOW + 1) > 13_600
    clock.learn(10_002, NOW + 2, NOW + 2.1)
    assert clock.latest(NOW + 2) < 10_004


def test_the_bounds_widen_with_time_but_not_without_end() -> None:
    clock = ServerClock(NOW, 0.0, 0.0)
    assert clock.latest(NOW + 900) - clock.earliest(NOW + 900) == pytest.approx(0.018)
    assert clock.latest(NOW + 86_400 * 7) - clock.earliest(NOW + 86_400 * 7) == pytest.approx(0.5)


def test_a_doubt_widens_only_what_is_late_and_a_date_resolves_it() -> None:
    clock = ServerClock(NOW, 0.0, 0.0)
    clock.learn(10_000, NOW, NOW + 0.1)
    earliest = clock.earliest(NOW + 1)
    clock.widen(3_600)
    assert clock.doubted
    assert clock.earliest(NOW + 1) == earliest
    assert clock.latest(NOW + 1) > 10_001 + 3_600
    clock.learn(10_002 + 3_600, NOW + 2, NOW + 2.1)
    assert not clock.doubted
    assert 13_601 < clock.earliest(NOW + 2) < clock.latest(NOW + 2) < 13_604


def test_two_witnesses_that_contradict_each_other_are_a_doubt() -> None:
    clock = ServerClock(NOW, 0.0, 0.0)
    clock.learn(10_000, NOW, NOW + 0.1)
    clock.learn(10_001 + 3_600, NOW + 1, NOW + 1.1)
    assert clock.doubted
    clock.learn(10_002, NOW + 2, NOW + 2.1)
    assert not clock.doubted


# -- cold start and ramp -----------------------------------------------------------------------------------------------


def test_guarantee_06_it_learns_before_it_floods() -> None:
    books = Books(start=TEN + 100)
    flights = []
    used = 0
    for _ in range(4):
        flight = books.burst()
        flights.append(len(flight))
        for permit in flight:
            used += 1
            books.now += 0.01
            books.answer(permit, (used, used), (used, used))
    assert flights[0] == 1
    assert 1 < flights[1] <= 25
    assert flights[2] > flights[1]
    assert sum(flights) == 100


def test_guarantee_06_a_flight_is_no_more_than_a_quarter_of_what_is_left() -> None:
    books = Books(start=TEN + 100)
    books.answer(books.give(), (92, 92), (92, 92))
    assert len(books.burst()) == 2


def test_guarantee_06_what_is_unknown_is_probed_whatever_else_is_known() -> None:
    books = Books(start=TEN + 100)
    for used in range(1, 15):
        books.answer(books.give(reads=False), (used, used))
    assert len(books.burst()) == 1
    assert len(books.burst(reads=False)) > 100


def test_guarantee_06_nobody_follows_until_most_of_a_flight_have_landed() -> None:
    books = Books(start=TEN + 100)
    books.answer(books.give(), (1, 1), (1, 1))
    flight = books.burst()
    assert len(flight) == 10
    for used, permit in enumerate(flight[:7], start=2):
        books.answer(permit, (used, used), (used, used))
        assert not books.admits()
    books.answer(flight[7], (9, 9), (9, 9))
    assert len(books.burst()) > 50


def test_with_nothing_known_nothing_is_claimed(books: Books) -> None:
    assert books.quota.read_15min == Meter(limit=None, usage=None, reserved=0, resets_at=TEN + 900)
    assert books.quota.read_15min.remaining is None
    assert books.quota.overall_day.resets_at == TEN - 36_000 + 86_400


def test_after_three_answers_without_numbers_the_documented_limits_are_believed(books: Books) -> None:
    for _ in range(2):
        books.answer(books.give(), None)
        assert books.quota.read_15min.limit is None
    books.answer(books.give(), None)
    quota = books.quota
    assert (quota.read_15min.limit, quota.read_day.limit) == READ
    assert (quota.overall_15min.limit, quota.overall_day.limit) == OVERALL
    assert quota.read_15min.usage == 3


def test_a_budget_that_answers_never_name_is_counted_alone(books: Books) -> None:
    for used in range(1, 5):
        books.answer(books.give(), (used, used))
    assert books.quota.read_15min.limit == 100
    assert books.quota.read_15min.usage == 4


def test_the_ramp_begins_anew_after_an_hour_of_silence(books: Books) -> None:
    books.learn(20)
    books.now += 4 * 3_600
    assert len(books.burst()) == 1


def test_after_a_second_without_a_number_ten_may_be_out(books: Books) -> None:
    books.give()
    books.now += 0.9
    assert not books.admits()
    assert books.ledger.next_change() == pytest.approx(NOW + 1, abs=0.01)
    books.now = books.ledger.next_change()
    assert len(books.burst()) == 9
    books.now += 100
    assert not books.admits()
    assert books.ledger.next_change() > books.now + 100, "time alone changes nothing more"


def test_a_first_call_that_failed_is_followed_by_one_and_not_by_ten(books: Books) -> None:
    books.ledger.abandon(books.give(), NOW)
    books.now += 100
    assert len(books.burst()) == 1
    books.now += 1.1
    assert len(books.burst()) == 9


def test_an_unknown_budget_does_not_wait_for_calls_that_do_not_spend_it(books: Books) -> None:
    for used in range(1, 15):
        books.answer(books.give(reads=False), (used, used))
    books.burst(reads=False)
    books.now += 5
    assert books.ledger.read.out == 0
    assert books.ledger.read.ceiling == 1


def test_while_a_flight_is_slow_another_follows_each_second(books: Books) -> None:
    books.answer(books.give(), (1, 1), (1, 1))
    flights = [len(books.burst())]
    while flights[-1]:
        books.now = books.ledger.next_change()
        flights.append(len(books.burst()))
    assert flights == [10] * 9 + [9, 0]


def test_an_unexplained_429_counts_for_more_than_impatience(books: Books) -> None:
    books.answer(books.give(), None, status=429)
    books.now += 5.1
    assert len(books.burst()) == 1
    books.now += 2
    assert not books.admits()


# -- numbers -----------------------------------------------------------------------------------------------------------


def test_guarantee_01_never_over_whatever_the_order_of_events(books: Books) -> None:
    rng = random.Random(7)
    books.learn(12, limits=(40, 400, 30, 300))
    used, out = 12, []
    for _ in range(3_000):
        books.now += rng.random() * 0.2
        if rng.random() < 0.6 and books.admits():
            out.append(books.give())
        elif out:
            permit = out.pop(rng.randrange(len(out)))
            fate = rng.random()
            if fate < 0.1:
                books.ledger.release(permit, books.now)
            elif fate < 0.3:
                books.ledger.abandon(permit, books.now)
            else:
                used += 1
                books.answer(permit, (used, used), (used, used), limits=(40, 400, 30, 300))
        for meter in (books.quota.read_15min, books.quota.overall_15min, books.quota.read_day):
            assert (meter.usage or 0) + meter.reserved <= max(meter.limit or 0, 0)
        if books.server // 900 > TEN // 900:
            break
    assert used + len(out) <= 30


def test_an_upload_spends_the_overall_budget_only(books: Books) -> None:
    books.learn(20)
    books.give(reads=False)
    assert books.quota.overall_15min.reserved == 1
    assert books.quota.overall_day.reserved == 1
    assert books.quota.read_15min.reserved == 0


def test_remaining_is_what_is_neither_spent_nor_reserved(books: Books) -> None:
    books.learn(20)
    books.give()
    assert books.quota.read_15min == Meter(limit=100, usage=20, reserved=1, resets_at=TEN + 900)
    assert books.quota.read_15min.remaining == 79
    assert Meter(limit=5, usage=9, reserved=0, resets_at=0).remaining == 0


def test_guarantee_04_usage_only_rises_within_a_window(books: Books) -> None:
    books.learn(50)
    older, younger = books.give(), books.give()
    books.answer(younger, (53, 53), (53, 53))
    books.answer(older, (51, 51), (51, 51))
    assert books.quota.read_15min.usage == 53


def test_guarantee_04_a_number_of_a_past_window_changes_nothing() -> None:
    books = Books()
    books.learn(50)
    books.now += 850
    books.answer(books.give(), (51, 51), (51, 51))
    late = books.give()
    books.now += 120
    books.answer(late, (99, 99), (99, 99), date=TEN + 860)
    assert books.quota.read_15min.usage == 0
    assert books.quota.read_15min.reserved == 0


def test_guarantee_04_a_number_that_straddles_a_reset_is_not_believed_in_the_new_window() -> None:
    books = Books()
    books.learn(90)
    books.now += 899.5
    late = books.give()
    books.now += 2
    assert books.quota.read_15min.usage == 0
    books.answer(late, (91, 91), (91, 91))
    assert books.quota.read_15min.usage == 1, "spent in the new window until a number says otherwise"
    books.answer(books.give(), (1, 92), (1, 92))
    assert books.quota.read_15min.usage == 1
    assert books.quota.read_day.usage == 92, "for the day there is no doubt"


def test_guarantee_04_limits_are_adopted_at_once_up_and_down(books: Books) -> None:
    books.learn(20)
    books.answer(books.give(), (21, 21), (21, 21), limits=(400, 4_000, 200, 2_000))
    assert books.quota.read_15min.limit == 200
    books.answer(books.give(), (22, 22), (22, 22), limits=(60, 600, 30, 300))
    assert books.quota.read_15min.limit == 30
    assert len(books.burst()) == 8


def test_guarantee_04_the_youngest_request_tells_the_limit(books: Books) -> None:
    books.learn(20)
    older, younger = books.give(), books.give()
    books.answer(younger, (22, 22), (22, 22), limits=(60, 600, 30, 300))
    books.answer(older, (21, 21), (21, 21))
    assert books.quota.read_15min.limit == 30


@pytest.mark.parametrize("text", [*NONSENSE, "0,0", "9" * 5_000 + ",1"])
@pytest.mark.parametrize(
    "field", ["x-ratelimit-limit", "x-ratelimit-usage", "x-readratelimit-limit", "x-readratelimit-usage"]
)
def test_guarantee_04_malformed_fields_leave_the_state_and_counting_goes_on(text: str, field: str) -> None:
    books = Books()
    books.learn(20)
    permit = books.give()
    headers = {
        "date": formatdate(books.server, usegmt=True),
        "x-ratelimit-limit": "200,2000",
        "x-ratelimit-usage": "21,21",
        "x-readratelimit-limit": "100,1000",
        "x-readratelimit-usage": "21,21",
    }
    books.ledger.settle(permit, 200, headers | {field: text}, books.now)
    for meter, limit in ((books.quota.read_15min, 100), (books.quota.overall_15min, 200)):
        assert meter == Meter(limit=limit, usage=21, reserved=0, resets_at=TEN + 900)


def test_guarantee_04_answers_without_headers_are_counted_and_later_covered(books: Books) -> None:
    books.learn(20)
    for _ in range(5):
        books.answer(books.give(), None)
    assert books.quota.read_15min.usage == 25
    books.answer(books.give(), (21, 21), (21, 21))
    assert books.quota.read_15min.usage == 21, "those five were not counted after all"


def test_a_number_does_not_cover_what_ended_after_its_request_began(books: Books) -> None:
    books.learn(20)
    early, blind = books.give(), books.give()
    books.answer(blind, None)
    books.answer(early, (21, 21), (21, 21))
    assert books.quota.read_15min.usage == 22


def test_answers_in_any_order_lead_to_the_same_books() -> None:
    results = set()
    for order in itertools.permutations(range(4)):
        books = Books()
        books.learn(20)
        permits = [books.give() for _ in range(4)]
        books.now += 1
        for i in order:
            numbers = (21 + i, 21 + i) if i != 2 else None
            books.answer(permits[i], numbers, numbers)
        results.add((books.quota, books.admits(), len(books.burst())))
    assert len(results) == 1


def test_an_upload_tells_of_the_read_budget_too(books: Books) -> None:
    books.learn(20)
    books.answer(books.give(reads=False), (40, 40), (39, 39))
    assert books.quota.read_15min.usage == 39
    assert books.quota.overall_15min.usage == 40


def test_a_read_whose_answer_shows_no_read_budget_is_counted_there(books: Books) -> None:
    books.learn(20)
    books.answer(books.give(), (21, 21))
    assert books.quota.read_15min.usage == 21


# -- others ------------------------------------------------------------------------------------------------------------


def test_guarantee_05_use_by_others_is_respected_within_one_answer(books: Books) -> None:
    books.learn(20)
    books.answer(books.give(), (95, 95), (95, 95))
    assert books.quota.read_15min.usage == 95
    assert len(books.burst()) <= 5


def test_beside_others_at_most_half_of_our_share_is_out(books: Books) -> None:
    books.learn(20)
    for i in range(20):
        used = 22 + 2 * i
        books.answer(books.give(), (used, used), (used, used))
    assert books.quota.read_15min.usage == 60
    assert 1 <= len(books.burst()) <= 20


def test_what_was_there_before_us_is_no_sign_of_others(books: Books) -> None:
    books.learn(70)
    assert len(books.burst()) == 30


# -- windows -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skew", [-120.0, -20.0, -0.4, 0.4, 20.0, 120.0])
@pytest.mark.parametrize("phase", [0.0, 0.3, 0.6, 0.9])
def test_guarantee_03_a_window_turns_after_the_boundary_and_within_a_second(skew: float, phase: float) -> None:
    books = Books(skew=skew, jitter=0.999, start=TEN + phase)
    books.learn(100)
    boundary = NOW + 900 - phase
    books.now = math.nextafter(boundary, 0)
    assert not books.admits()
    books.now = boundary + 1
    assert books.admits()


def test_guarantee_03_the_same_after_a_wait_for_midnight() -> None:
    books = Books(jitter=0.5, start=TEN + 0.3)
    books.learn(1_000, limits=(5_000, 50_000, 5_000, 1_000))
    midnight = TEN + 50_400 - books.offset
    books.now = midnight
    assert not books.admits()
    books.now = midnight + 1
    assert books.admits()


def test_a_wall_clock_that_jumps_changes_nothing_after_the_first_date() -> None:
    books = Books(skew=-3_600.0)
    books.learn(20)
    assert books.quota.read_15min == Meter(limit=100, usage=20, reserved=0, resets_at=TEN + 900)


def test_a_window_that_turned_starts_at_zero(books: Books) -> None:
    books.learn(60)
    books.now += 901
    assert books.quota.read_15min == Meter(limit=100, usage=0, reserved=0, resets_at=TEN + 1_800)
    assert books.quota.read_day.usage == 60


def test_permits_out_go_along_into_the_new_window(books: Books) -> None:
    books.learn(60)
    books.give()
    books.now += 901
    assert books.quota.read_15min.reserved == 1
    assert len(books.burst()) == 99


def test_a_wrong_date_far_ahead_does_not_block_for_ever(books: Books) -> None:
    books.learn(20)
    far = TEN + 40 * 365 * 86_400
    for _ in range(3):
        books.now += 1
        books.answer(books.give(), (21, 21), (21, 21), date=far)
    for used in range(24, 28):
        books.now += 1
        books.answer(books.give(), (used, used), (used, used))
    assert books.quota.read_15min.resets_at == TEN + 900
    assert books.quota.read_15min.usage == 27


# -- ends of permits ---------------------------------------------------------------------------------------------------


def test_guarantee_08_a_released_permit_leaves_no_trace(books: Books) -> None:
    books.learn(20)
    before = books.quota
    permits = books.burst()
    for permit in permits:
        books.ledger.release(permit, books.now)
    assert books.quota == before


def test_guarantee_08_an_abandoned_permit_counts_until_an_answer_says_otherwise(books: Books) -> None:
    books.learn(20)
    books.ledger.abandon(books.give(), books.now)
    for meter in (books.quota.read_15min, books.quota.read_day, books.quota.overall_15min, books.quota.overall_day):
        assert (meter.usage, meter.reserved) == (21, 0)
    books.now += 6
    books.answer(books.give(), (21, 21), (21, 21))
    assert books.quota.read_15min.usage == 21, "it was never counted; this answer's request was the twenty-first"


def test_guarantee_08_an_abandoned_request_may_still_be_on_its_way(books: Books) -> None:
    books.learn(20)
    books.ledger.abandon(books.give(), books.now)
    books.now += 0.1
    books.answer(books.give(), (21, 21), (21, 21))
    assert books.quota.read_15min.usage == 22


def test_a_request_abandoned_just_before_a_reset_counts_after_it(books: Books) -> None:
    books.learn(20)
    books.now += 898
    books.ledger.abandon(books.give(), books.now)
    books.now += 3
    assert books.quota.read_15min.usage == 1


def test_when_nobody_will_tell_an_end_all_permits_count_until_an_answer_says_otherwise(books: Books) -> None:
    books.learn(20)
    books.burst()
    books.ledger.abandon_all(books.now)
    assert (books.quota.read_15min.usage, books.quota.read_15min.reserved) == (100, 0)
    assert (books.quota.overall_day.usage, books.quota.overall_day.reserved) == (100, 0)
    books.now += 901
    assert books.quota.read_15min.usage == 0
    books.answer(books.give(), (1, 21), (1, 21))
    assert books.quota.read_day.usage == 21


# -- 429 ---------------------------------------------------------------------------------------------------------------


def test_a_429_that_the_numbers_explain_blocks_until_the_reset(books: Books) -> None:
    books.learn(20)
    books.answer(books.give(), (120, 120), (101, 101), status=429)
    assert not books.admits()
    wait = books.ledger.wait_for(True, books.now)
    assert wait is not None
    assert wait.window == "read_15min"
    assert wait.resume_at == TEN + 900


def test_use_far_beyond_the_limit_is_no_debt(books: Books) -> None:
    books.learn(20)
    books.answer(books.give(), (692, 692), (591, 591), status=429)
    wait = books.ledger.wait_for(True, books.now)
    assert wait is not None
    assert wait.resume_at == TEN + 900


def test_a_429_of_the_day_blocks_until_midnight(books: Books) -> None:
    books.learn(20)
    books.answer(books.give(), (30, 1_100), (30, 1_001), status=429)
    wait = books.ledger.wait_for(True, books.now)
    assert wait is not None
    assert wait.window == "read_day"
    assert wait.resume_at == TEN + 50_400
    assert books.admits(reads=False)


def test_an_unexplained_429_holds_longer_each_time_and_then_lets_one_through(books: Books) -> None:
    books.learn(20)
    probe = books.give()
    for seconds in (5, 10, 20, 40, 80, 160, 300):
        books.answer(probe, None, status=429)
        books.now += seconds - 0.01
        assert not books.admits()
        books.now += 0.02
        (probe,) = books.burst()


def test_many_429s_at_once_are_one_strike(books: Books) -> None:
    books.learn(20)
    for permit in books.burst()[:30]:
        books.answer(permit, None, status=429)
    books.now += 5.01
    assert books.ledger.overall.strikes == 1


def test_the_hold_ends_with_the_first_answer(books: Books) -> None:
    books.learn(20)
    books.answer(books.give(), None, status=429)
    books.now += 5.01
    books.answer(books.give(), (22, 22), (22, 22))
    assert books.ledger.overall.strikes == 0
    assert books.admits()


def test_a_429_without_the_read_numbers_holds_the_reads_only(books: Books) -> None:
    books.learn(20)
    books.answer(books.give(), (21, 21), status=429)
    assert not books.admits()
    assert books.admits(reads=False)


def test_retry_after_is_honoured(books: Books) -> None:
    books.learn(20)
    books.answer(books.give(), None, status=429, retry_after="33")
    wait = books.ledger.wait_for(True, books.now)
    assert wait is not None
    assert wait.until == books.now + 33
    assert wait.window == "overall_15min"


def test_the_429_of_an_ended_window_holds_nothing(books: Books) -> None:
    books.learn(100)
    books.now += 899
    late = books.give()
    books.now += 2
    assert books.admits()
    books.answer(late, (102, 102), (102, 102), status=429, date=TEN + 899)
    assert books.admits()


# -- reserve -----------------------------------------------------------------------------------------------------------


def test_guarantee_02_the_last_unit_of_a_window_is_spent(books: Books) -> None:
    books.learn(20)
    assert len(books.burst()) == 80


def test_guarantee_02_a_reserve_holds_back_background_only_and_melts(books: Books) -> None:
    books.learn(20)
    assert len(books.burst(background=True)) == 60
    books.now += 450
    assert len(books.burst(background=True)) == 10
    books.now += 449
    assert len(books.burst(background=True)) == 10
    assert not books.admits(), "nothing is wasted"


def test_guarantee_02_the_reserve_never_holds_back_the_others(books: Books) -> None:
    books.learn(20)
    books.burst(background=True)
    assert len(books.burst()) == 20


def test_the_reserve_grows_with_interactive_traffic(books: Books) -> None:
    books.learn(20)
    for _ in range(40):
        books.ledger.reserve.note_interactive()
    assert len(books.burst(background=True)) < 60


def test_without_a_reserve_background_takes_everything() -> None:
    books = Books(reserve=0.0)
    books.learn(20)
    assert len(books.burst(background=True)) == 80


def test_the_day_keeps_a_reserve_too() -> None:
    books = Books(start=TEN - 36_000)  # the day's first second
    books.learn(890, limits=(9_000, 9_000, 9_000, 1_000))
    assert len(books.burst(background=True)) == 10


def test_the_reserve_of_a_window_of_which_nothing_is_known_holds_back_nobody(books: Books) -> None:
    books.learn(100)
    new = restore(books, save(books.ledger, books.now, books.server), later=902)
    assert new.admits(background=True)


def test_it_is_known_when_the_reserve_melts(books: Books) -> None:
    books.learn(20)
    books.burst(background=True)
    melting = books.ledger.melting(True, books.now)
    assert melting is not None
    books.now = melting.until - 0.01
    assert not books.admits(background=True)
    books.now = melting.until
    assert books.admits(background=True)


# -- snapshot ----------------------------------------------------------------------------------------------------------


def restore(books: Books, saved: dict[str, Any], *, later: float = 0.0, wall: float = 0.0) -> Books:
    """Return the books of a process that starts ``later``, whose wall clock has moved by ``wall`` more than that."""
    new = Books(start=books.server + later)
    load(new.ledger, saved, NOW, new.server + wall)
    return new


def test_a_snapshot_brings_everything_back(books: Books) -> None:
    books.learn(20)
    saved = save(books.ledger, books.now, books.server)
    assert restore(books, json.loads(json.dumps(saved))).quota == books.quota


def test_permits_out_are_spent_in_a_snapshot(books: Books) -> None:
    books.learn(20)
    books.give()
    new = restore(books, save(books.ledger, books.now, books.server))
    assert new.quota.read_15min.usage == 21


def test_what_has_turned_since_the_snapshot_is_unknown(books: Books) -> None:
    books.learn(100)
    new = restore(books, save(books.ledger, books.now, books.server), later=902)
    assert new.quota.read_15min.usage is None
    assert new.quota.read_day.usage == 100
    assert len(new.burst()) == 1


def test_a_stale_snapshot_never_raises_room(books: Books) -> None:
    books.learn(1_000, limits=(9_000, 9_000, 9_000, 1_000))
    new = restore(books, save(books.ledger, books.now, books.server), later=1_800)
    assert not new.admits(), "the day is still spent"


def test_a_wall_clock_that_was_wrong_all_along_does_no_harm(books: Books) -> None:
    books.learn(100)
    saved = save(books.ledger, books.now, books.server + 70)
    new = restore(books, saved, later=10, wall=70)
    assert new.quota.read_15min.usage == 100
    new.now += 880 - 0.5
    assert not new.admits()
    new.now += 12
    assert new.admits()


def test_a_wall_clock_that_was_set_back_does_not_bring_back_the_past(books: Books) -> None:
    books.now += 899
    books.learn(50)
    saved = save(books.ledger, books.now, books.server)
    new = restore(books, saved, wall=-5_000)
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
    ],
)
def test_a_malformed_snapshot_is_refused_and_changes_nothing(
    books: Books, change: Callable[[dict[str, Any]], Mapping[str, Any]]
) -> None:
    books.learn(20)
    saved = change(save(books.ledger, books.now, books.server))
    new = Books()
    with pytest.raises(InputError):
        load(new.ledger, saved, NOW, TEN)
    assert new.quota == Books().quota
