"""One quota for many processes: ``sync``, which runs where they meet. Pure; ``state`` has its words.

In the order of the code:

1. A call that is no younger than the last one of its process changes nothing. One that is repeated is answered as it
   was, because clients repeat what had no answer; an older one is told that it is.
2. A process that has seen a later state, or whose row does not know a call that was acknowledged, proves that writes
   were lost. For four seconds nothing is granted, while the processes tell what they hold and know; then slow start.
   So it is when one is back whose calls failed for long, unless most others have leases: all may have gone on alone.
3. A process whose lease is over may have sent what it held: that becomes unconfirmed, never free, until the process is
   back and tells what became of it. A row that goes leaves behind what its process ended in this window. What has
   surely arrived is kept as one when it is of many, and then it is nobody's; it ends with the day at the latest.
4. The window turns, for all, when a process is sure that Strava's clock has. What is held goes along. Where none is
   sure, it turns when it should be over by the clock of the meeting place and that of a process.
5. The highest of Strava's numbers counts. One that the requests of all processes do not explain is in doubt, until a
   second answer is higher: no two requests have the same count. So is none that came with a 429 and says full. The
   lower number of a younger request refutes it, and slow start follows. Limits are those of the youngest.
6. A number settles the unconfirmed requests that had arrived before its own request was granted.
7. After a 429 that no number explains nothing is sent for 5 s, 10 s, ... 300 s, then one request at a time until one is
   served. Where Strava's counter turns late, nothing is sent until it should have, and one request asks.

``grants`` goes on with what may start.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from strava_async.quota.fleet.grants import Grants
from strava_async.quota.fleet.learn import learn
from strava_async.quota.fleet.messages import (
    METERS,
    NONE,
    NOTHING,
    OVERALL,
    QUARTERS,
    READ,
    Pair,
    Reply,
    Report,
    Spent,
    Unconfirmed,
    numbers_of,
)
from strava_async.quota.fleet.state import NOBODY, Fleet, Lost, Row
from strava_async.quota.values import QUARTERS_PER_DAY

HEAL_MS = 4_000
CARRY_MS = 60_000  # how long requests of a process that was lost may still be under way
OVERDUE_MS = 2_000  # after the end of a window that no process is sure of
LATE_MS = 1_000  # after the boundary, a window turns here at the latest
STALE_MS = 3_600_000
MOST_AHEAD = 3  # units
MOST_LOST = 16  # where no number ever comes, each process that is lost would leave something
_COOLDOWN_MS, _MAX_COOLDOWN_MS = 5_000, 300_000


def sync(fleet: Fleet, report: Report, now: int) -> tuple[Fleet, Reply]:
    """Take in what a process reports, and grant what it may start.

    Args:
        fleet: the state; ``Fleet()`` where there is none. It is not changed.
        report: of the process.
        now: a reading of the meeting place's clock; milliseconds. It may have been set, or have started anew.

    Returns:
        the state that follows, and what the process is told.
    """
    row = fleet.rows.get(report.process)
    if row is not None and report.count <= row.count:
        return fleet, _repeated(fleet, report, row, now) if report.count == row.count else _stale(fleet)
    after = fleet.copy()
    after.at += max(1, now - after.wall) if after.wall else max(1, now)
    after.wall = now
    _heal(after, report, row)
    _expire(after)
    _return(after, report)
    _merge_lost(after)
    _turn(after, report)
    _put_row(after, report)
    learn(after, report)
    _cool_down(after, report)
    if after.at < after.heals_until:
        after.step, after.answered, after.answered_at = 0, after.ended().overall, after.at
    return after, Grants(after, report).reply()


def _repeated(fleet: Fleet, report: Report, row: Row, now: int) -> Reply:
    """Return what a call was answered, as far as it is kept: when, and what was granted."""
    return replace(
        _stale(fleet),
        stale=False,
        at=row.at,
        ms_left=max(0, fleet.ends_at - fleet.at - max(0, now - fleet.wall)),
        granted=row.held.minus(report.held),
        elsewhere=fleet.held().minus(row.held),
        poll_ms=row.asks_at - row.at if row.wants.total and row.asks_at > row.at else NONE,
        heals=fleet.at < fleet.heals_until,
    )


def _stale(fleet: Fleet) -> Reply:
    return Reply(
        stale=True,
        sequence=fleet.sequence,
        at=fleet.at,
        quarter=fleet.quarter,
        sure=fleet.sure,
        ms_left=0,
        granted=NOTHING,
        usage=fleet.usage,
        limits=fleet.limits,
        number_at=fleet.number_at,
        has_number=fleet.has_number,
        late_at=fleet.late_at,
        lateness=fleet.lateness,
        elsewhere=NOTHING,
        waiting=0,
        processes=max(fleet.most, fleet.most_before),
        poll_ms=NONE,
        backs_off=False,
        tell_ms=0,
        reserved_ms=0,
        heals=False,
    )


# -- processes that come and go (2, 3) ---------------------------------------------------------------------------------


def _heal(fleet: Fleet, report: Report, row: Row | None) -> None:
    lost = report.seen > fleet.sequence or (row is not None and row.count < report.acknowledged)
    if report.alone:
        # Most others had to go on alone as well: what they have sent is not known here.
        with_lease = sum(each.lease_until >= fleet.at for each in fleet.rows.values())
        lost = lost or 2 * with_lease < max(fleet.most, fleet.most_before)
    if lost and fleet.at >= fleet.heals_until:
        fleet.heals_until = fleet.at + HEAL_MS
    fleet.sequence = max(fleet.sequence, report.seen) + 1


def _expire(fleet: Fleet) -> None:
    for process, row in list(fleet.rows.items()):
        if row.lease_until < fleet.at and row.held.overall:
            requests = Unconfirmed(row.held.read, row.held.overall, fleet.at + CARRY_MS)
            fleet.lost += (Lost(process, requests),)
            row = replace(row, held=NOTHING)
            fleet.rows[process] = row
        if row.known_until < fleet.at:
            fleet.lost += tuple(Lost(process, each) for each in row.unconfirmed if fleet.is_unconfirmed(each))
            # Only in this window: what was lost counts as done once, when its process is forgotten.
            fleet.gone = fleet.gone.plus(row.done)
            del fleet.rows[process]
    fleet.lost = tuple(each for each in fleet.lost if fleet.is_unconfirmed(each.requests))


def _return(fleet: Fleet, report: Report) -> None:
    """Forget what was assumed of a process that is back: it tells that itself."""
    fleet.lost = tuple(each for each in fleet.lost if each.process != report.process)
    is_gone = report.process not in fleet.rows and report.acknowledged > 0
    if is_gone and report.quarter == fleet.quarter and fleet.at >= fleet.heals_until:
        fleet.gone = fleet.gone.minus(report.done)


def _merge_lost(fleet: Fleet) -> None:
    """Keep what has arrived as one, or two: of this window, and of the windows before."""
    if len(fleet.lost) <= MOST_LOST:
        return
    kept: list[Lost] = []
    for in_window in (False, True):
        arrived = [each for _, each in fleet.lost if each.until <= fleet.at and each.in_window == in_window]
        if arrived:
            read, overall = sum(each.read for each in arrived), sum(each.overall for each in arrived)
            until = max(each.until for each in arrived)
            kept.append(Lost(NOBODY, Unconfirmed(read, overall, until, in_window)))
    fleet.lost = (*kept, *(each for each in fleet.lost if each.requests.until > fleet.at))


# -- the window (4) ----------------------------------------------------------------------------------------------------


def _turn(fleet: Fleet, report: Report) -> None:
    quarter, ends_at = report.quarter, fleet.at + report.ms_left
    if not fleet.quarter or (report.sure and not fleet.sure):
        # What a clock of ours called the window was a guess; the numbers are this window's all the same.
        is_later_day = quarter // QUARTERS_PER_DAY > fleet.quarter // QUARTERS_PER_DAY > 0
        if not is_later_day:
            fleet.turned_at = fleet.turned_at or fleet.at
            fleet.quarter, fleet.sure, fleet.ends_at = quarter, report.sure, ends_at
            return
    if quarter == fleet.quarter and report.sure:
        fleet.ends_at = ends_at
    is_over = report.sure or fleet.at > fleet.ends_at + OVERDUE_MS
    if quarter > fleet.quarter and is_over:
        _begin_window(fleet, quarter)
        fleet.sure, fleet.ends_at = report.sure, ends_at


def _begin_window(fleet: Fleet, quarter: int) -> None:
    following = quarter == fleet.quarter + 1
    new_day = quarter // QUARTERS_PER_DAY > fleet.quarter // QUARTERS_PER_DAY
    others = max(0, fleet.others - fleet.others_at_first)
    fleet.was_full = following and _is_full(fleet, new_day)
    ended = METERS if new_day else QUARTERS
    fleet.usage = numbers_of(min(number, 0) if meter in ended else number for meter, number in enumerate(fleet.usage))
    fleet.doubts = {meter: doubt for meter, doubt in fleet.doubts.items() if meter not in ended}
    # Where others spend the quota too, all that is known of their pace may have changed.
    if others or fleet.at - fleet.answered_at > STALE_MS:
        fleet.step = 0
    fleet.answered, fleet.answered_at = 0, max(fleet.answered_at, fleet.at)
    fleet.others_before, fleet.own_before = (others, fleet.own().overall) if following else (0, 0)
    fleet.others, fleet.others_at_first = (0 if fleet.is_known(OVERALL) else NONE), 0
    fleet.lost = tuple(Lost(process, each) for process, old in fleet.lost for each in _carried(fleet, [old], new_day))
    fleet.gone = NOTHING
    fleet.first_at, fleet.has_number = NONE, False
    fleet.most, fleet.most_before = 0, fleet.most
    fleet.refusals, fleet.refused_at = (0, 0), (NONE, NONE)
    fleet.late_until = 0
    fleet.interactive_before = fleet.interactive if following else 0
    fleet.interactive = 0
    least = min(
        (row.done.overall + row.held.overall + row.ahead for row in fleet.rows.values() if row.wants.total), default=0
    )
    for process, row in fleet.rows.items():
        # What does not divide evenly goes to somebody else next time.
        ahead = max(0, min(MOST_AHEAD, row.done.overall + row.held.overall + row.ahead - least)) if following else 0
        unconfirmed = _carried(fleet, row.unconfirmed, new_day)
        fleet.rows[process] = replace(row, done=_done(unconfirmed), unconfirmed=unconfirmed, ahead=ahead)
    fleet.quarter, fleet.turned_at = quarter, fleet.at


def _is_full(fleet: Fleet, new_day: bool) -> bool:
    held, in_window, in_day = fleet.held(), fleet.unconfirmed(in_window=True), fleet.unconfirmed(in_window=False)
    ended = METERS if new_day else QUARTERS
    return any(fleet.is_known(meter // 2) and fleet.room(meter, held, in_window, in_day) <= 0 for meter in ended)


def _carried(fleet: Fleet, all_requests: Iterable[Unconfirmed], new_day: bool) -> tuple[Unconfirmed, ...]:
    """Return what may be counted in a window that begins now as part of it; the rest is of the day that it was in."""
    carried = [each._replace(in_window=each.in_window and each.until > fleet.at - LATE_MS) for each in all_requests]
    return tuple(each for each in carried if each.in_window or not new_day)


def _done(unconfirmed: Iterable[Unconfirmed]) -> Spent:
    """Return what a process has ended in a window, as long as it has told nothing of that one itself."""
    done = NOTHING
    for each in unconfirmed:
        done = done.plus(each) if each.in_window else done
    return done


# -- what a process tells (5, 6) ---------------------------------------------------------------------------------------


def _put_row(fleet: Fleet, report: Report) -> None:
    now, in_window = fleet.at, report.quarter == fleet.quarter
    before = fleet.rows.get(report.process)  # as the turn left it
    unconfirmed = tuple(
        Unconfirmed(
            each.read,
            each.overall,
            now + each.ms if each.until == NONE else each.until,
            # Of a process that has not turned yet, what it tells now may have been counted since the boundary.
            each.in_window and (in_window or each.ms > 0 or each.until == NONE),
        )
        for each in report.unconfirmed
    )
    fleet.rows[report.process] = Row(
        count=report.count,
        at=now,
        asks_at=now,
        wanted_at=now if report.wants.total else NONE if before is None else before.wanted_at,
        lease_until=now + report.lease_ms,
        known_until=now + max(report.lease_ms, report.row_ms),
        held=report.held,
        done=report.done if in_window else _done(unconfirmed),
        wants=report.wants,
        unconfirmed=unconfirmed,
        ahead=0 if before is None else before.ahead,
        slot=fleet.free_slot() if before is None else before.slot,
    )
    fleet.most = max(fleet.most, len(fleet.rows))


# -- refusals (7) ------------------------------------------------------------------------------------------------------


def _cool_down(fleet: Fleet, report: Report) -> None:
    refusals, refused_at, until = list(fleet.refusals), list(fleet.refused_at), list(fleet.cooldown_until)
    served_at, judged_at = list(fleet.served_at), list(fleet.judged_at)
    for budget in (READ, OVERALL):
        served_at[budget] = max(served_at[budget], report.served_at[budget])
        if served_at[budget] > refused_at[budget] != NONE:
            refusals[budget], refused_at[budget] = 0, NONE
        # Requests that were out together are refused together: that is one refusal, and not many.
        if report.refused_at[budget] > max(judged_at[budget], served_at[budget]):
            seconds = min(_MAX_COOLDOWN_MS, _COOLDOWN_MS * 2 ** min(refusals[budget], 10))
            until[budget] = fleet.at + max(seconds, report.refused_ms)
            refusals[budget] += 1
            refused_at[budget] = judged_at[budget] = fleet.at
    fleet.refusals, fleet.refused_at = _pair(refusals), _pair(refused_at)
    fleet.served_at, fleet.judged_at, fleet.cooldown_until = _pair(served_at), _pair(judged_at), _pair(until)
    if report.late_at > fleet.late_at and report.quarter == fleet.quarter:
        fleet.late_at, fleet.late_until = fleet.at, fleet.at + report.late_ms
        fleet.lateness = report.lateness
        fleet.first_at, fleet.was_full, fleet.has_number = NONE, True, False


def _pair(numbers: list[int]) -> Pair:
    read, overall = numbers
    return read, overall
