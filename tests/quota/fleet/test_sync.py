"""What processes tell each other, call by call: the rules of ``sync`` and its parts, and what a prototype taught."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from strava_async.quota.fleet.grants import HELD_MS, IN_ADVANCE, PATIENCE_MS
from strava_async.quota.fleet.line import AWAKE_MS, FRESH_MS
from strava_async.quota.fleet.messages import NONE, NOTHING, Numbers, Reply, Report, Spent, Unconfirmed, Wants
from strava_async.quota.fleet.probes import PROBE_MS
from strava_async.quota.fleet.shares import fair_part
from strava_async.quota.fleet.state import Fleet
from strava_async.quota.fleet.sync import CARRY_MS, HEAL_MS, LATE_MS, MOST_AHEAD, MOST_LOST, OVERDUE_MS, sync

QUARTER = 2_000_000
LIMITS: Numbers = (100, 1_000, 200, 2_000)


def reads(count: int) -> Spent:
    return Spent(count, count)


class Room:
    """Where processes meet, a clock, and what each of them tells unless it is told otherwise."""

    def __init__(self) -> None:
        self.fleet = Fleet()
        self.now = 1_000
        self._last: dict[str, Report] = {}
        self._replies: dict[str, Reply] = {}

    def tell(self, process: str, *, lost: bool = False, **changes: Any) -> Reply:
        """Tell what a process told before, with changes; what it was granted is held, unless the reply was lost."""
        last = self._last.get(process, Report(process, 0, quarter=QUARTER, sure=True, ms_left=600_000))
        changes.setdefault("wants", Wants())
        report = replace(last, count=last.count + 1, numbers=(NONE,) * 4, latest=(NONE,) * 4)
        report = replace(report, **changes)
        self.now += 10
        self.fleet, reply = sync(self.fleet, report, self.now)
        if not lost:
            report = replace(report, acknowledged=report.count, seen=reply.sequence, known=reply.usage)
            report = replace(report, held=report.held.plus(reply.granted))
        self._last[process], self._replies[process] = report, reply
        return reply

    def answer(self, process: str, count: int, usage: int, **changes: Any) -> Reply:
        """Tell the answers to so many reads, the last of which told a usage."""
        last, at = self._last[process], self._replies[process].at
        numbers = (usage, usage, usage, usage)
        told = {
            "held": last.held.minus(reads(count)),
            "done": last.done.plus(reads(count)),
            "numbers": numbers,
            "latest": numbers,
            "number_at": (at, at),
            "limits": LIMITS,
            "limits_at": at,
        }
        return self.tell(process, **{**told, **changes})

    def warm(self) -> None:
        """Get past slow start: eleven reads of one process are answered."""
        self.tell("a", wants=Wants(normal=1))
        self.answer("a", 1, 1, wants=Wants(normal=10))
        self.answer("a", 10, 11)

    def held(self) -> Spent:
        return self.fleet.held()


@pytest.fixture
def cold() -> Room:
    return Room()


@pytest.fixture
def room() -> Room:
    room = Room()
    room.warm()
    return room


# -- cold start --------------------------------------------------------------------------------------------------------


def test_where_nothing_is_known_one_request_is_out_in_all_processes_together(cold: Room) -> None:
    assert cold.tell("a", wants=Wants(normal=5)).granted == reads(1)
    assert cold.tell("b", wants=Wants(interactive=5)).granted == NOTHING


def test_ten_are_out_after_a_second_without_an_answer(cold: Room) -> None:
    cold.tell("a", wants=Wants(normal=5))
    cold.now += PATIENCE_MS
    cold.tell("a", wants=Wants(normal=20))
    cold.tell("b", wants=Wants(normal=20))
    assert cold.held() == reads(10)


def test_then_ten_then_what_there_is(cold: Room) -> None:
    cold.tell("a", wants=Wants(normal=1))
    cold.answer("a", 1, 1, wants=Wants(normal=50))
    assert cold.held() == reads(10)
    assert cold.answer("a", 8, 9, wants=Wants(normal=50)).granted == reads(50)


# -- never over --------------------------------------------------------------------------------------------------------


def test_what_all_hold_and_what_is_confirmed_is_no_more_than_the_limit(room: Room) -> None:
    for process in "abcd":
        room.tell(process, wants=Wants(normal=60))
    assert room.held() == reads(89)
    assert room.tell("e", wants=Wants(interactive=1)).granted == NOTHING


def test_an_upload_spends_the_overall_budget_alone(room: Room) -> None:
    room.tell("a", wants=Wants(normal=100))
    reply = room.tell("b", wants=Wants(uploads=100, normal=5))
    assert reply.granted == Spent(0, 100)


def test_a_lost_reply_leaves_nothing_granted(room: Room) -> None:
    room.tell("a", lost=True, wants=Wants(normal=50))
    assert room.held() == reads(50)
    room.tell("a")
    assert room.held() == NOTHING


def test_a_call_that_is_late_changes_nothing(room: Room) -> None:
    room.tell("a", wants=Wants(normal=5))
    before = room.fleet
    count = before.rows["a"].count
    after, reply = sync(before, Report("a", count - 1, held=reads(80)), room.now + 5)
    assert after is before
    assert reply.stale
    assert reply.granted == NOTHING


@pytest.mark.parametrize("seconds", [0, 5])
def test_a_call_that_is_repeated_is_answered_as_it_was(room: Room, seconds: int) -> None:
    """A client that repeats what had no answer would have none to give, otherwise."""
    room.tell("b", wants=Wants(normal=1))
    told = {"held": reads(1), "wants": Wants(normal=500), "quarter": room.fleet.quarter, "sure": True}
    report = Report("a", 9, ms_left=100_000, in_advance=3, **told)
    before, reply = sync(room.fleet, report, room.now)
    assert reply.granted.read > 1
    after, again = sync(before, report, room.now + 1_000 * seconds)
    assert after is before
    kept = ("stale", "sequence", "at", "granted", "usage", "limits", "number_at", "poll_ms", "processes", "heals")
    assert {name: getattr(again, name) for name in kept} == {name: getattr(reply, name) for name in kept}
    assert again.ms_left == reply.ms_left - 1_000 * seconds
    assert again.elsewhere == reads(room.held()[0]) == reply.elsewhere


def test_a_call_that_is_repeated_after_its_lease_gets_nothing(room: Room) -> None:
    report = Report("a", 9, wants=Wants(normal=5), quarter=room.fleet.quarter, row_ms=900_000)
    fleet, reply = sync(room.fleet, report, room.now)
    assert reply.granted.read > 0
    fleet, _ = sync(fleet, Report("b", 1, quarter=room.fleet.quarter), room.now + 11_000)
    _, again = sync(fleet, report, room.now + 11_000)
    assert again.granted == NOTHING


def test_the_state_that_is_passed_in_stays_as_it_is(room: Room) -> None:
    before = room.fleet
    rows = dict(before.rows)
    room.tell("b", wants=Wants(normal=5))
    assert before.rows == rows
    assert room.fleet.sequence == before.sequence + 1


# -- processes that die, pause and come back ---------------------------------------------------------------------------


def test_what_a_lost_process_held_is_unconfirmed_and_not_free(room: Room) -> None:
    room.tell("b", wants=Wants(normal=40))
    room.now += 20_000
    reply = room.tell("a", wants=Wants(normal=80))
    assert room.fleet.rows["a"].held == reads(49)
    assert reply.elsewhere == reads(40)


def test_a_process_that_is_back_tells_what_became_of_it(room: Room) -> None:
    room.tell("b", wants=Wants(normal=40))
    room.now += 20_000
    room.tell("a")
    room.tell("b", held=NOTHING, done=reads(3))
    assert room.fleet.lost == ()
    assert room.fleet.ended() == reads(14)


def test_only_a_number_whose_request_was_granted_late_enough_settles_what_was_lost(room: Room) -> None:
    room.tell("b", wants=Wants(normal=40))
    room.now += 20_000
    room.tell("a", wants=Wants(normal=1))
    room.answer("a", 1, 30)
    assert room.fleet.unconfirmed(in_window=True) == reads(40)
    room.now += CARRY_MS
    room.tell("a", wants=Wants(normal=1))
    room.answer("a", 1, 31)
    assert room.fleet.unconfirmed(in_window=True) == NOTHING


def crash(room: Room, process: str) -> None:
    room.tell(process, wants=Wants(normal=1))
    room.now += 11_000
    room.tell("a")


def test_what_many_processes_lost_is_kept_as_one_once_it_has_arrived(room: Room) -> None:
    # Where no number ever comes, each would stay, and the state would grow too large to be read.
    for index in range(60):
        crash(room, f"lost {index}")
    assert len(room.fleet.lost) <= MOST_LOST + CARRY_MS // 11_000 + 1
    assert room.fleet.unconfirmed(in_window=True) == reads(60)
    # What is nobody's is settled by a number like any other.
    room.now += CARRY_MS
    room.tell("a", wants=Wants(normal=1))
    room.answer("a", 1, 72)
    room.tell("a")
    assert room.fleet.lost == ()


def test_what_is_kept_as_one_ends_with_its_window_and_its_day(room: Room) -> None:
    for index in range(40):
        crash(room, f"lost {index}")
    room.now += CARRY_MS + LATE_MS
    room.tell("a", quarter=QUARTER + 1, done=NOTHING)
    assert room.fleet.unconfirmed(in_window=True) == NOTHING
    assert room.fleet.unconfirmed(in_window=False) == reads(40)
    room.tell("a", quarter=QUARTER + 96, done=NOTHING)
    assert room.fleet.lost == ()


def test_rows_of_waiting_processes_outlive_their_lease(room: Room) -> None:
    # Without that, the first process that turns takes the whole window.
    room.tell("a", wants=Wants(normal=89))
    room.answer("a", 89, 100)
    for process in "abcd":
        room.tell(process, wants=Wants(normal=50), row_ms=700_000)
    room.now += 600_000
    room.tell("a", quarter=QUARTER + 1, done=NOTHING, wants=Wants(normal=50))
    reply = room.answer("a", 1, 1, quarter=QUARTER + 1, done=reads(1), wants=Wants(normal=50))
    assert reply.granted == reads(22)  # a quarter of 99, less what it was ahead


@pytest.mark.parametrize(("late", "granted"), [(FRESH_MS, 48), (AWAKE_MS - 100, 48), (AWAKE_MS + 100, 99)])
def test_a_process_that_is_held_up_at_a_turn_keeps_its_part_for_a_while(room: Room, late: int, granted: int) -> None:
    room.tell("a", wants=Wants(normal=89))
    room.answer("a", 89, 100)
    for process in "ab":
        room.tell(process, wants=Wants(normal=100), row_ms=700_000)
    room.now += 600_000
    room.tell("a", quarter=QUARTER + 1, done=NOTHING)
    room.now += late
    reply = room.answer("a", 1, 1, quarter=QUARTER + 1, done=reads(1), wants=Wants(normal=100))
    assert reply.granted == reads(granted)


def test_a_row_that_goes_leaves_behind_what_was_done(room: Room) -> None:
    # Without that, own use looks like that of others.
    room.tell("b", wants=Wants(normal=40))
    room.answer("b", 40, 51)
    room.now += 60_000
    room.tell("a", wants=Wants(normal=1))
    room.answer("a", 1, 52)
    assert "b" not in room.fleet.rows
    assert room.fleet.others == 0


# -- books that were lost ----------------------------------------------------------------------------------------------


def test_an_emptied_store_grants_nothing_until_all_have_told_what_they_hold(room: Room) -> None:
    room.tell("b", wants=Wants(normal=40))
    room.fleet = Fleet()
    reply = room.tell("a", wants=Wants(normal=50))
    assert reply.heals
    assert reply.granted == NOTHING
    assert reply.poll_ms == HEAL_MS + 1
    room.tell("b")
    room.now += HEAL_MS
    room.tell("a", wants=Wants(normal=50))
    room.answer("a", 1, 12, wants=Wants(normal=50))
    room.answer("a", 10, 22, wants=Wants(interactive=50))
    assert 22 + room.held().read == 100


def test_what_is_known_of_usage_comes_back_with_any_process(room: Room) -> None:
    room.tell("b", wants=Wants(normal=40))
    room.answer("b", 40, 51)
    room.tell("a")
    room.fleet = Fleet()
    room.tell("a")
    assert room.fleet.usage[0] == 51


def test_a_replica_without_the_last_writes_is_noticed_by_whom_they_concern(room: Room) -> None:
    behind = room.fleet
    room.tell("b", wants=Wants(normal=40))
    room.tell("b")
    room.fleet = behind
    for _ in range(5):
        room.tell("c")
    # The sequence has caught up by now.
    assert room.tell("b", wants=Wants(normal=40)).sequence > 0
    assert room.fleet.rows["b"].held.read >= 40


def test_a_row_that_does_not_know_an_acknowledged_call_heals(room: Room) -> None:
    room.tell("b")
    behind = room.fleet
    room.tell("b", wants=Wants(normal=40))
    room.fleet = replace(behind, sequence=behind.sequence + 100)
    assert room.tell("b").heals


# -- windows -----------------------------------------------------------------------------------------------------------


def test_a_window_turns_for_all_when_one_is_sure(room: Room) -> None:
    room.tell("b", quarter=QUARTER + 1, sure=False)
    assert room.fleet.quarter == QUARTER
    assert room.tell("a", quarter=QUARTER + 1, done=NOTHING).quarter == QUARTER + 1
    assert room.fleet.usage == (0, 11, 0, 11)


def test_where_none_is_sure_it_turns_when_it_is_overdue(room: Room) -> None:
    room.now += 600_000 + OVERDUE_MS + 1_000
    assert room.tell("b", quarter=QUARTER + 1, sure=False).quarter == QUARTER + 1


def test_what_is_held_goes_along(room: Room) -> None:
    room.tell("b", wants=Wants(normal=40))
    room.tell("a", quarter=QUARTER + 1, done=NOTHING, wants=Wants(interactive=100))
    assert room.held() == reads(100)


def test_what_a_process_ends_that_has_not_turned_yet_may_be_of_the_new_window(room: Room) -> None:
    room.tell("b", wants=Wants(normal=1))
    room.tell("a", quarter=QUARTER + 1, done=NOTHING)
    room.tell("b", held=NOTHING, done=reads(1), unconfirmed=(Unconfirmed(1, 1),))
    assert room.fleet.unconfirmed(in_window=True) == reads(1)


def test_what_was_told_just_before_the_turn_may_be_of_the_new_window(room: Room) -> None:
    for process in "bc":
        room.tell(process, wants=Wants(normal=1))
    room.tell("b", held=NOTHING, done=reads(1), unconfirmed=(Unconfirmed(1, 1),))
    room.now += LATE_MS - 100
    room.tell("c", held=NOTHING, done=reads(1), unconfirmed=(Unconfirmed(1, 1),))
    room.now += 200
    room.tell("a", quarter=QUARTER + 1, done=NOTHING)
    assert room.fleet.unconfirmed(in_window=True) == reads(1)


def test_after_a_full_window_one_request_goes_first(room: Room) -> None:
    room.tell("a", wants=Wants(normal=89))
    room.answer("a", 89, 100)
    turned: dict[str, Any] = {"quarter": QUARTER + 1, "done": NOTHING, "ms_left": 900_000}
    assert room.tell("a", wants=Wants(normal=50), **turned).granted == reads(1)
    assert room.tell("b", wants=Wants(normal=50), **turned).granted == NOTHING
    assert room.answer("a", 1, 1, done=reads(1)).granted == NOTHING
    assert room.tell("b", wants=Wants(normal=50)).granted == reads(50)


def test_the_numbers_of_a_window_that_is_over_count_for_the_day_alone(room: Room) -> None:
    room.tell("b", wants=Wants(normal=1))
    room.tell("a", quarter=QUARTER + 1, done=NOTHING)
    room.answer("b", 1, 12)
    assert room.fleet.usage == (0, 12, 0, 12)


def test_what_the_process_that_turns_had_more_than_others_counts_as_well(room: Room) -> None:
    # Without that, who turns has one more in each window.
    room.tell("a", wants=Wants(normal=3))
    room.tell("b", wants=Wants(normal=1))
    room.answer("a", 3, 14, wants=Wants(normal=1))
    room.tell("b", wants=Wants(normal=1))
    room.tell("a", quarter=QUARTER + 1, done=NOTHING, held=NOTHING, wants=Wants(normal=1))
    assert room.fleet.rows["a"].ahead == MOST_AHEAD


# -- numbers -----------------------------------------------------------------------------------------------------------


def test_a_number_that_nothing_explains_counts_and_is_in_doubt_until_a_second_answer(room: Room) -> None:
    room.tell("a", wants=Wants(normal=1))
    room.answer("a", 1, 80)
    assert room.fleet.usage[0] == 80
    assert set(room.fleet.doubts) == {0, 1, 2, 3}
    room.tell("b", wants=Wants(normal=1))
    room.answer("b", 1, 81)
    assert not room.fleet.doubts


def test_the_lower_number_of_a_younger_request_refutes_it(room: Room) -> None:
    room.tell("a", wants=Wants(normal=1))
    room.answer("a", 1, 80)
    room.tell("b", wants=Wants(normal=1))
    room.answer("b", 1, 13)
    assert room.fleet.usage == (13, 13, 13, 13)


def test_a_count_that_is_repeated_is_no_second_witness(room: Room) -> None:
    for process in "abc":
        room.tell(process, wants=Wants(normal=1))
        room.answer(process, 1, 80)
    assert set(room.fleet.doubts) == {0, 1, 2, 3}


def test_a_quarter_hour_that_is_full_by_one_answer_is_asked_about_once(room: Room) -> None:
    room.tell("a", wants=Wants(normal=1))
    assert room.answer("a", 1, 100, wants=Wants(normal=1)).granted == reads(1)
    assert room.tell("b", wants=Wants(normal=5)).granted == NOTHING
    # The answer says the same again, or nothing: another one may ask after a while.
    room.answer("a", 1, 100)
    reply = room.tell("b", wants=Wants(normal=5))
    assert reply.granted == NOTHING
    assert PROBE_MS - 100 < reply.poll_ms <= PROBE_MS
    room.now += reply.poll_ms
    assert room.tell("b", wants=Wants(normal=5)).granted == reads(1)
    room.answer("b", 1, 14)
    assert room.fleet.usage == (14, 14, 14, 14)
    assert room.tell("a", wants=Wants(normal=5)).granted.read > 0


def test_a_429_that_says_full_is_a_witness_of_its_own(room: Room) -> None:
    room.tell("a", wants=Wants(normal=1))
    full = {"numbers": (101, 101, 101, 101), "latest": (101, 101, 101, 101), "refused": (101, NONE, NONE, NONE)}
    reply = room.answer("a", 1, 101, **full, wants=Wants(normal=1))
    assert (reply.granted, reply.poll_ms) == (NOTHING, NONE)
    assert 0 not in room.fleet.doubts
    assert 2 in room.fleet.doubts


@pytest.mark.parametrize(("others", "heals"), [(0, True), (5, False)])
def test_books_heal_when_the_first_is_back_from_an_outage_whether_or_not_it_started_anything(
    room: Room, others: int, heals: bool
) -> None:
    for process in "bcdef":
        room.tell(process, wants=Wants(normal=1))
    room.now += 30_000
    for process in "bcdef"[:others]:
        room.tell(process)
    assert room.tell("a", wants=Wants(normal=5), alone=True).heals == heals


def test_an_upload_asks_about_what_it_spends_where_reads_wait_for_what_is_surely_full(room: Room) -> None:
    for process, usage in (("a", 100), ("b", 101)):
        room.tell(process, wants=Wants(normal=1))
        room.answer(process, 1, 0, numbers=(usage, 200, 12, 12), latest=(usage, 200, 12, 12))
    room.tell("a", wants=Wants(uploads=1))
    held = {"held": NOTHING, "done": Spent(12, 13), "number_at": (NONE, room._replies["a"].at)}
    room.tell("a", numbers=(NONE, NONE, 200, 200), latest=(NONE, NONE, 200, 200), **held)
    assert 2 in room.fleet.doubts
    assert room.tell("b", wants=Wants(normal=5)).granted == NOTHING
    assert room.tell("b", wants=Wants(normal=5, uploads=5)).granted == Spent(0, 1)


def test_who_asks_about_a_full_quarter_hour_in_vain_ends_the_questions(room: Room) -> None:
    room.tell("a", wants=Wants(normal=1))
    room.answer("a", 1, 100, wants=Wants(normal=1))
    room.answer("a", 1, 101)
    assert not room.fleet.doubts
    reply = room.tell("b", wants=Wants(normal=5))
    assert (reply.granted, reply.poll_ms) == (NOTHING, NONE)


def test_nobody_asks_about_a_quarter_hour_of_which_next_to_nothing_is_left(room: Room) -> None:
    room.tell("a", wants=Wants(normal=83))
    room.answer("a", 83, 94)
    room.tell("a", wants=Wants(normal=1))
    reply = room.answer("a", 1, 100, wants=Wants(normal=1))
    assert 0 in room.fleet.doubts
    assert reply.granted == NOTHING


def test_nobody_asks_about_the_first_number_of_all(cold: Room) -> None:
    cold.tell("a", wants=Wants(normal=1))
    assert cold.answer("a", 1, 100, wants=Wants(normal=1)).granted == NOTHING


def test_limits_that_one_answer_alone_has_cut_are_asked_about(room: Room) -> None:
    room.tell("a", wants=Wants(normal=2))
    reply = room.answer("a", 2, 13, limits=(5, 50, 10, 100), wants=Wants(normal=1))
    assert reply.granted == reads(1)
    room.answer("a", 1, 14)
    assert room.fleet.limits == LIMITS


def test_slow_start_follows_a_number_that_was_refuted(room: Room) -> None:
    # The lower one may be the wrong one.
    room.tell("a", wants=Wants(normal=1))
    room.answer("a", 1, 80)
    room.tell("b", wants=Wants(normal=1))
    room.answer("b", 1, 13, wants=Wants(normal=50))
    assert room.held() == reads(1)


def test_where_others_spend_half_of_our_share_is_out_at_most(room: Room) -> None:
    for usage in (40, 41):
        room.tell("a", wants=Wants(normal=1))
        room.answer("a", 1, usage)
    granted = room.tell("b", wants=Wants(normal=100)).granted.read
    assert 0 < granted <= (200 - 41) * 14 // (2 * 41) + 1


def test_limits_are_those_of_the_youngest_request(room: Room) -> None:
    room.tell("a", wants=Wants(normal=1))
    room.answer("a", 1, 12)
    old = room.fleet.limits_at
    room.tell("a", limits=(50, 500, 60, 600), limits_at=old + 1)
    assert room.fleet.limits == (50, 500, 60, 600)
    room.tell("b", limits=LIMITS, limits_at=old)
    assert room.fleet.limits == (50, 500, 60, 600)


# -- probes, polls and refusals ----------------------------------------------------------------------------------------


def lose(room: Room, process: str, count: int) -> None:
    """Let a process get so many units, and tell that no answer came."""
    last = room._last[process]
    lost = (Unconfirmed(count, count),)
    room.tell(process, held=last.held.minus(reads(count)), done=last.done.plus(reads(count)), unconfirmed=lost)


def test_one_probe_goes_where_only_unconfirmed_requests_are_in_the_way_and_ours_are_fewer_than_the_limit(
    room: Room,
) -> None:
    # The number includes them already, but nobody can know that.
    room.tell("b", wants=Wants(normal=60))
    lose(room, "b", 40)
    room.answer("b", 20, 71)
    assert room.tell("a", wants=Wants(normal=1)).granted == reads(1)
    assert room.tell("d", wants=Wants(normal=1)).granted == NOTHING


def test_no_probe_goes_where_ours_may_have_filled_the_window(room: Room) -> None:
    room.tell("b", wants=Wants(normal=89))
    lose(room, "b", 89)
    reply = room.tell("a", wants=Wants(normal=1))
    assert reply.granted == NOTHING
    # Nothing can become free before the turn: nobody is to ask again.
    assert reply.poll_ms == NONE


def test_no_probe_goes_where_a_process_that_has_not_turned_may_have_filled_the_window(room: Room) -> None:
    room.tell("a", wants=Wants(normal=40))
    room.tell("b", wants=Wants(normal=40))
    room.tell("c", quarter=QUARTER + 1, ms_left=900_000)
    following = {"quarter": QUARTER + 1, "held": NOTHING, "number_at": (NONE, NONE)}
    # All of these have been answered without a number, or not at all; the clock of one is behind.
    room.tell("a", **following, done=reads(40), unconfirmed=(Unconfirmed(40, 40),))
    room.tell("b", held=NOTHING, done=reads(60), unconfirmed=(Unconfirmed(60, 60),))
    assert room.fleet.own() == reads(100)
    assert room.tell("a", wants=Wants(normal=1)).granted == NOTHING


def test_polls_for_unconfirmed_units_become_longer_and_end_with_a_full_number(room: Room) -> None:
    room.tell("b", wants=Wants(normal=89))
    lose(room, "b", 40)
    reply = room.tell("a", wants=Wants(normal=1))
    assert reply.poll_ms > 0
    assert reply.backs_off
    room.answer("b", 49, 100, unconfirmed=(Unconfirmed(40, 40),))
    assert room.tell("a", wants=Wants(normal=1)).poll_ms == NONE


def test_nobody_polls_in_a_window_that_ends_before_slow_start_does(cold: Room) -> None:
    cold.tell("a", wants=Wants(normal=1))
    cold.answer("a", 1, 98, wants=Wants(normal=2))
    cold.answer("a", 1, 99, wants=Wants(normal=1))
    reply = cold.answer("a", 1, 100, wants=Wants(normal=1))
    assert cold.fleet.step < 2
    assert reply.poll_ms == NONE


def test_of_those_who_wait_for_what_others_hold_the_first_in_line_asks_often_and_the_last_seldom(room: Room) -> None:
    room.tell("a", wants=Wants(normal=100))
    for process in "bcd":
        room.tell(process, wants=Wants(normal=5))
    replies = [room.tell(process, wants=Wants(normal=5)) for process in "bcd"]
    assert [reply.poll_ms for reply in replies] == [HELD_MS, 2 * HELD_MS, 3 * HELD_MS]


def test_what_those_hold_who_want_nothing_may_come_back_soon_and_as_many_of_the_line_ask_often(room: Room) -> None:
    room.tell("a", wants=Wants(normal=88))
    room.tell("e", wants=Wants(normal=1))
    room.tell("a", wants=Wants(normal=9))
    for process in "bcd":
        room.tell(process, wants=Wants(normal=5))
    assert [room.tell(process, wants=Wants(normal=5)).poll_ms for process in "bcd"] == [HELD_MS, HELD_MS, 2 * HELD_MS]


def test_a_429_that_nothing_explains_stops_all_processes_then_one_at_a_time(room: Room) -> None:
    room.tell("b", wants=Wants(normal=1))
    at = room.fleet.at
    room.tell("b", held=NOTHING, refused_at=(at, at))
    reply = room.tell("a", wants=Wants(normal=5))
    assert reply.granted == NOTHING
    assert 4_000 < reply.poll_ms <= 5_001
    room.now += 5_000
    reply = room.tell("a", wants=Wants(normal=5))
    assert reply.granted == reads(1)
    assert room.tell("b", wants=Wants(normal=5)).granted == NOTHING
    room.answer("a", 1, 13, served_at=(reply.at, reply.at))
    assert room.tell("b", wants=Wants(normal=5)).granted == reads(5)


def test_the_second_one_stops_them_for_longer(room: Room) -> None:
    for seconds in (5_000, 10_000):
        reply = room.tell("b", wants=Wants(normal=1))
        assert reply.granted == reads(1)
        reply = room.tell("b", held=NOTHING, refused_at=(reply.at, reply.at), wants=Wants(normal=1))
        assert reply.poll_ms == seconds + 1
        room.now += seconds


# -- who gets what -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("room", "mine", "others", "part"),
    [
        (90, (0, 99), [(0, 99), (0, 99)], 30),
        (91, (0, 99), [(0, 99), (0, 99)], 31),  # who comes first gets the rest
        (90, (0, 99), [(0, 10), (0, 10)], 70),
        (90, (40, 99), [(0, 99), (0, 99)], 4),  # 130 / 3, less what it has had, and one of the rest
        (10, (50, 99), [(0, 99)], 0),
        (10, (0, 3), [], 3),
        (0, (0, 3), [(0, 3)], 0),
    ],
)
def test_a_fair_part_fills_all_to_the_same_level(
    room: int, mine: tuple[int, int], others: list[tuple[int, int]], part: int
) -> None:
    assert fair_part(room, mine, others) == part


def test_interactive_requests_get_what_there_is(room: Room) -> None:
    room.tell("b", wants=Wants(normal=40))
    before = room.fleet
    normal = room.tell("c", wants=Wants(normal=60)).granted.read
    room.fleet = before
    assert room.tell("d", wants=Wants(interactive=60)).granted.read == 49 > normal


def test_background_work_leaves_the_reserve_and_is_told_when_that_ends(room: Room) -> None:
    reply = room.tell("b", wants=Wants(background=200), ms_left=900_000)
    # 20 of 100 are reserved at the beginning of the window, and 11 are spent.
    assert reply.granted == reads(69)
    reply = room.tell("b", wants=Wants(background=200), ms_left=899_000)
    assert reply.granted == reads(1)
    assert reply.reserved_ms == pytest.approx(44_000, abs=1)  # one more of the 20 in 45 seconds
    assert reply.poll_ms >= reply.reserved_ms
    assert room.tell("a", wants=Wants(interactive=20)).granted == reads(19)


def test_the_reserve_follows_the_interactive_rate_of_all_processes(room: Room) -> None:
    for process in "cde":
        for _ in range(4):
            room.tell(process, wants=Wants(interactive=1))
            room.tell(process, held=NOTHING, done=reads(0))
    granted = room.tell("b", wants=Wants(background=200), ms_left=890_000).granted.read
    assert granted < 69


def test_background_work_goes_behind_normal_requests_that_wait_elsewhere(room: Room) -> None:
    room.tell("b", wants=Wants(normal=200))
    room.tell("b", held=NOTHING, wants=Wants(normal=200))
    assert room.tell("a", wants=Wants(background=50)).granted == NOTHING


def test_normal_requests_leave_nothing_to_background_work_that_waits_elsewhere(room: Room) -> None:
    # It has had less, but it is not served before them: nobody would have what is left.
    room.tell("b", wants=Wants(background=69))
    room.tell("c", wants=Wants(background=50))
    assert room.tell("a", wants=Wants(normal=50)).granted == reads(13)


def test_some_are_granted_in_advance_while_there_is_plenty(room: Room) -> None:
    assert room.tell("a", wants=Wants(normal=1), in_advance=1_000, ms_left=0).granted.read == 1 + 88 // 4
    assert room.tell("a", wants=Wants(normal=1), in_advance=1_000, ms_left=0).granted.read <= IN_ADVANCE


def test_who_has_gone_is_known_at_once_when_it_says_so(room: Room) -> None:
    room.tell("b", wants=Wants(normal=5))
    room.tell("b", held=NOTHING, lease_ms=0, row_ms=0)
    room.tell("a")
    assert set(room.fleet.rows) == {"a"}
