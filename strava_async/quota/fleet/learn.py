"""One quota for many processes: what Strava's numbers say; each tells those of its own answers. Pure.

These are rules 5 and 6 of ``sync``.
"""

from __future__ import annotations

from strava_async.quota.fleet.messages import (
    DAYS,
    METERS,
    NONE,
    OVERALL,
    OVERALL_QUARTER,
    READ,
    UNKNOWN,
    Report,
    Spent,
    numbers_of,
)
from strava_async.quota.fleet.state import Doubt, Fleet
from strava_async.quota.values import QUARTERS_PER_DAY


def learn(fleet: Fleet, report: Report) -> None:
    """Take in the numbers and limits that a process reports, its row being in place."""
    if report.quarter // QUARTERS_PER_DAY != fleet.quarter // QUARTERS_PER_DAY:
        return
    in_window = report.quarter == fleet.quarter
    meters = METERS if in_window else DAYS
    own, usage = fleet.own(), list(fleet.usage)
    if fleet.at < fleet.heals_until:
        for meter in meters:
            usage[meter] = max(usage[meter], report.known[meter])
    explained = [own[READ], own[READ], own[OVERALL], own[OVERALL]]
    for meter in meters:
        if report.numbers[meter] != NONE:
            _weigh(fleet, report, meter, usage, explained[meter])
    fleet.usage = numbers_of(usage)
    _adopt_limits(fleet, report)
    if in_window:
        fleet.has_number = fleet.has_number or NONE not in (report.numbers[OVERALL_QUARTER], report.number_at[OVERALL])
        if report.numbers != UNKNOWN:
            fleet.answered_at = fleet.at
        fleet.number_at = (
            max(fleet.number_at[READ], report.number_at[READ]),
            max(fleet.number_at[OVERALL], report.number_at[OVERALL]),
        )
        _count_others(fleet, own)


def _weigh(fleet: Fleet, report: Report, meter: int, usage: list[int], own: int) -> None:
    """Take in the number of a meter; see 5."""
    known, number, at = usage[meter], report.numbers[meter], report.number_at[meter // 2]
    doubt = fleet.doubts.get(meter)
    # A 429 says the same: then the answer is a witness of its own.
    is_proven = number <= report.refused[meter]
    if doubt is not None:
        # No two requests have the same count: one that is repeated is no second witness.
        if number > known and (is_proven or report.process != doubt.process or at >= doubt.at):
            del fleet.doubts[meter]
        elif number < known and at >= doubt.at:
            usage[meter] = known = max(doubt.usage, number)
            _refute(fleet, meter)
        elif doubt.usage < number < known:
            fleet.doubts[meter] = doubt._replace(usage=number)
    if number <= known:
        return
    explained = own + max(0, fleet.others) + (max(0, known) if meter in DAYS else 0)
    if number > explained and meter not in fleet.doubts and not is_proven:
        # The youngest answer of the same report may contradict it already.
        latest = report.latest[meter]
        fleet.doubts[meter] = Doubt(max(known, latest if latest < number else NONE), fleet.at, report.process)
    usage[meter] = number


def _refute(fleet: Fleet, meter: int) -> None:
    """Withdraw a number in doubt: counters only rise, and the lower one is younger."""
    del fleet.doubts[meter]
    if meter == OVERALL_QUARTER:
        fleet.others = NONE
    # The lower one may be the wrong one: then a few are refused, and not all that there seems to be.
    fleet.step, fleet.answered, fleet.answered_at = 0, fleet.ended().overall, fleet.at


def _adopt_limits(fleet: Fleet, report: Report) -> None:
    if NONE in report.limits and report.limits[OVERALL_QUARTER] == NONE:
        return
    if report.assumed:
        if fleet.limits_at == NONE:
            fleet.limits, fleet.limits_confirmed = report.limits, True
            fleet.usage = numbers_of(max(0, number) for number in fleet.usage)
        return
    if report.limits_at >= fleet.limits_at or fleet.limits == UNKNOWN:
        if fleet.limits == UNKNOWN:
            fleet.limits_confirmed = True  # there is nothing that they contradict
        elif report.limits_at > fleet.limits_at:
            fleet.limits_confirmed = report.limits == fleet.limits
        # An answer need not tell both budgets' limits.
        told = zip(fleet.limits, report.limits, strict=True)
        fleet.limits = numbers_of(known if limit == NONE else limit for known, limit in told)
        fleet.limits_at = report.limits_at


def _count_others(fleet: Fleet, own: Spent) -> None:
    number = fleet.usage[OVERALL_QUARTER]
    if number == NONE:
        return
    extra = max(0, number - own.overall)
    if fleet.others == NONE:
        fleet.others = fleet.others_at_first = extra
    else:
        fleet.others = max(fleet.others, extra)
