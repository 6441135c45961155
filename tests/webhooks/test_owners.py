"""The bounds on the events of one athlete."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strava_async.webhooks.owners import (
    MOST_UNFINISHED,
    NOT_FOUND_BEFORE_DOUBT,
    NOT_FOUND_BEFORE_SLOWNESS,
    NOT_FOUND_SECONDS,
    SLOW_TURN_SECONDS,
    TURN_SECONDS,
    TURNS,
    Owners,
)


def turns(owners: Owners, now: float, how_many: int, owner_id: int = 7) -> list[float]:
    return [owners.turn(owner_id, now) for _ in range(how_many)]


def doubted(now: float = 0.0) -> Owners:
    owners = Owners()
    for _ in range(NOT_FOUND_BEFORE_DOUBT):
        owners.not_found(7, now)
    return owners


def test_a_hundred_events_of_one_athlete_may_be_unfinished() -> None:
    owners = Owners()
    for _ in range(MOST_UNFINISHED):
        assert owners.has_room(7)
        owners.enter(7)
    assert not owners.has_room(7)
    assert owners.has_room(8)
    owners.leave(7)
    assert owners.has_room(7)


def test_ten_have_their_turn_within_a_minute_and_the_others_are_told_when_to_ask_again() -> None:
    owners = Owners()
    assert turns(owners, 100.0, TURNS - 1) == [0.0] * (TURNS - 1)
    assert turns(owners, 130.0, 2) == [0.0, 30.0]
    assert turns(owners, 160.0, TURNS) == [0.0] * (TURNS - 1) + [30.0]
    assert owners.turn(8, 160.0) == 0.0


def test_one_that_was_confirmed_lifts_the_bound_for_its_athlete() -> None:
    owners = Owners()
    turns(owners, 0.0, TURNS)
    owners.confirm(7)
    assert turns(owners, 0.0, 500) == [0.0] * 500
    assert owners.turn(8, 0.0) == 0.0


def test_that_the_bound_is_lifted_is_said_once() -> None:
    owners = Owners()
    assert not owners.take_lifted(7)
    owners.confirm(7)
    assert [owners.take_lifted(7), owners.take_lifted(7), owners.take_lifted(8)] == [True, False, False]
    owners.confirm(7)
    assert not owners.take_lifted(7)


def test_after_three_that_were_not_found_no_more_are_asked_for_again_for_an_hour() -> None:
    owners = Owners()
    assert [owners.not_found(7, 10.0 * number) for number in range(5)] == [True, True, True, False, False]
    assert not owners.is_doubted(8, 40.0)
    last_three_at = 20.0
    assert owners.is_doubted(7, last_three_at + NOT_FOUND_SECONDS - 0.1)
    assert not owners.is_doubted(7, last_three_at + NOT_FOUND_SECONDS)
    assert owners.not_found(7, last_three_at + NOT_FOUND_SECONDS)


def test_doubt_brings_the_bound_of_ten_back_whatever_was_confirmed_before() -> None:
    owners = doubted()
    owners.confirm(7)
    assert turns(owners, 1.0, TURNS + 1)[-1] == TURN_SECONDS
    assert turns(owners, NOT_FOUND_SECONDS, 500) == [0.0] * 500


def test_what_could_be_forged_ends_no_doubt() -> None:
    owners = doubted()
    owners.confirm(7)
    assert owners.is_doubted(7, 1.0)


def test_one_that_was_found_after_all_ends_the_doubt() -> None:
    owners = doubted()
    owners.confirm(7)
    owners.take_lifted(7)
    owners.confirm(7, was_not_found=True)
    assert not owners.is_doubted(7, 1.0)
    assert owners.take_lifted(7)
    assert [owners.not_found(7, 2.0) for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("is_confirmed", [True, False])
def test_after_twenty_that_were_not_found_one_begins_every_two_minutes(is_confirmed: bool) -> None:
    owners = Owners()
    if is_confirmed:
        owners.confirm(7)
    owners.turn(7, 0.0)
    for number in range(NOT_FOUND_BEFORE_SLOWNESS):
        owners.not_found(7, float(number))
    assert owners.turn(7, 60.0) == SLOW_TURN_SECONDS - 60.0
    assert turns(owners, 300.0, 2) == [0.0, SLOW_TURN_SECONDS]
    assert turns(owners, NOT_FOUND_SECONDS, 2) == [0.0, 0.0]


def test_a_day_of_forged_events_leaves_a_quarter_of_the_days_reads() -> None:
    owners, now, looked_at = Owners(), 0.0, 0
    while now < 86_400:
        if owners.turn(7, now) > 0:
            now += 1
            continue
        looked_at += 4 if owners.not_found(7, now) else 1  # with all that is asked for again
    assert looked_at <= 750


def test_a_clock_that_goes_back_makes_nobody_wait_longer_than_the_bound() -> None:
    owners = Owners()
    turns(owners, 1e6, TURNS)
    assert owners.turn(7, 0.0) == TURN_SECONDS
    for _ in range(NOT_FOUND_BEFORE_SLOWNESS):
        owners.not_found(7, 1e6)
    assert owners.turn(7, 0.0) == SLOW_TURN_SECONDS


def test_athletes_of_whom_nothing_is_known_are_not_remembered() -> None:
    owners = Owners()
    for owner_id in range(1, 10_001):
        owners.enter(owner_id)
        owners.leave(owner_id)
    assert owners.known == 0


def test_of_those_with_something_to_remember_the_ones_that_were_quiet_longest_give_way() -> None:
    owners = Owners(remembered=2)
    for owner_id in (1, 2, 3):
        owners.enter(owner_id)
        owners.confirm(owner_id)
        owners.leave(owner_id)
    assert owners.known == 2
    assert [owners.turn(owner_id, 0.0) for owner_id in (2, 3)] == [0.0, 0.0]
    assert len([wait for wait in turns(owners, 0.0, TURNS + 1, owner_id=3) if wait]) == 0
    assert len([wait for wait in turns(owners, 0.0, TURNS + 1, owner_id=1) if wait]) == 1


def test_who_has_unfinished_events_is_not_forgotten_however_many_others_there_are() -> None:
    owners = Owners(remembered=2)
    owners.enter(7)
    owners.confirm(7)
    for owner_id in range(10, 20):
        owners.turn(owner_id, 0.0)
    assert turns(owners, 0.0, 50) == [0.0] * 50
    assert owners.known == 3


STEPS = st.lists(
    st.tuples(st.sampled_from(["turn", "not found", "confirm", "found after all"]), st.floats(0, 400)), max_size=300
)


@given(STEPS)
def test_whatever_happens_no_more_than_ten_a_minute_begin_while_nothing_vouches_for_them(
    steps: list[tuple[str, float]],
) -> None:
    owners, now, begun, is_confirmed = Owners(), 0.0, list[float](), False
    for what, seconds in steps:
        now += seconds
        if what == "not found":
            owners.not_found(7, now)
        elif what != "turn":
            owners.confirm(7, was_not_found=what == "found after all")
            is_confirmed = True
        elif owners.turn(7, now) == 0.0:
            begun.append(now)
            if not is_confirmed or owners.is_doubted(7, now):
                assert len([at for at in begun[-(TURNS + 1) :] if now - at < TURN_SECONDS]) <= TURNS
        else:
            wait = owners.turn(7, now)
            assert 0 < wait <= SLOW_TURN_SECONDS
