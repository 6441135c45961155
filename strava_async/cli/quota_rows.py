"""What ``strava-async quota`` shows, as plain values: the meters, and who holds what. Pure.

A state where processes meet is as old as its last call. It is shown as a process would find it that came now and wanted
nothing: leases that are over have ended, and a window that is over has turned.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from strava_async.quota.fleet.messages import DAYS, METERS, NONE, OVERALL, READ, Report, Wants
from strava_async.quota.fleet.state import Fleet, Row
from strava_async.quota.fleet.sync import sync
from strava_async.quota.readings import Quota
from strava_async.quota.values import QUARTER_SECONDS, QUARTERS_PER_DAY

METER_NAMES = ("read_15min", "read_day", "overall_15min", "overall_day")
_VIEWER = "strava-async quota"


@dataclass(frozen=True, slots=True)
class MeterRow:
    """A meter.

    Attributes:
        name: as on ``Quota``.
        limit: requests that the window holds; None until known.
        usage: as Strava last said; None until known.
        reserved: what processes hold: requests that are out, and units not used yet.
        unconfirmed: requests that may have been counted since, and are in no number of Strava's.
        remaining: what is left for all; None until known.
        resets_at: when the meter starts again at zero; epoch seconds on Strava's clock, None until known.
        resets_in: the same in seconds from now.
    """

    name: str
    limit: int | None
    usage: int | None
    reserved: int
    unconfirmed: int
    remaining: int | None
    resets_at: int | None
    resets_in: float | None


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """A process.

    Attributes:
        process: its id.
        reserved: what it holds; requests.
        done: what ended in this quarter hour.
        waiting: what waits in it, by priority, and uploads.
        heard_seconds: how long ago it called. One that holds nothing, and waits for the next window, is silent.
        lease_seconds: how long what it holds is its own; 0 where its lease is over: what it held is unconfirmed then.
    """

    process: str
    reserved: int
    done: int
    waiting: Wants
    heard_seconds: float
    lease_seconds: float


@dataclass(frozen=True, slots=True)
class QuotaRows:
    """All that is shown.

    Attributes:
        state: ``shared``; ``healing`` while a state that was lost is rebuilt; ``unused`` where nobody has called
            yet; ``asked`` where Strava itself was asked, which knows no processes.
        meters: the four.
        processes: who shares the quota; those that want or hold most come first.
        cooldown_seconds: how long nothing is sent after a 429 that no number explains; reads, then all requests.
    """

    state: str
    meters: tuple[MeterRow, ...]
    processes: tuple[ProcessRow, ...] = ()
    cooldown_seconds: tuple[float, float] = (0.0, 0.0)

    @property
    def waiting(self) -> int:
        """How many processes have requests that wait."""
        return sum(row.waiting.total > 0 for row in self.processes)

    def as_json(self) -> dict[str, Any]:
        """Return the same in values that JSON has."""
        meters = {row.name: {key: value for key, value in asdict(row).items() if key != "name"} for row in self.meters}
        processes = [{**asdict(row), "waiting": row.waiting._asdict()} for row in self.processes]
        read, overall = self.cooldown_seconds
        return {
            "state": self.state,
            "meters": meters,
            "processes": processes,
            "cooldown_seconds": {"read": read, "overall": overall},
        }


def rows_of_fleet(fleet: Fleet, now: float) -> QuotaRows:
    """Return what the state says at an instant.

    Args:
        fleet: what was read where processes meet.
        now: a reading of the meeting place's clock; epoch seconds.
    """
    if not fleet.sequence:
        return QuotaRows("unused", tuple(MeterRow(name, None, None, 0, 0, None, None, None) for name in METER_NAMES))
    now_ms = int(now * 1_000)
    seen, _ = sync(fleet, _visit(fleet, now_ms), now_ms)
    del seen.rows[_VIEWER]
    processes = sorted((_process(name, row, seen.at) for name, row in seen.rows.items()), key=_rank)
    read, overall = (max(0, until - seen.at) / 1_000 for until in seen.cooldown_until)
    state = "healing" if seen.at < seen.heals_until else "shared"
    return QuotaRows(state, tuple(_meter(seen, meter) for meter in METERS), tuple(processes), (read, overall))


def _visit(fleet: Fleet, now_ms: int) -> Report:
    """Return the report of a process that wants nothing, and knows only how long ago the window ended."""
    over = fleet.at + now_ms - fleet.wall - fleet.ends_at
    if not fleet.quarter or over <= 0:
        return Report(_VIEWER, 1, quarter=fleet.quarter, ms_left=max(0, -over))
    more, into = divmod(over, QUARTER_SECONDS * 1_000)
    return Report(_VIEWER, 1, quarter=fleet.quarter + 1 + more, ms_left=QUARTER_SECONDS * 1_000 - into)


def rows_of_quota(quota: Quota, now: float) -> QuotaRows:
    """Return what Strava's answer to one request says.

    Args:
        quota: of the limiter that sent it.
        now: epoch seconds.
    """
    read = [getattr(quota, name) for name in METER_NAMES]
    rows = (
        MeterRow(name, m.limit, m.usage, m.reserved, 0, m.remaining, int(m.resets_at), max(0.0, m.resets_at - now))
        for name, m in zip(METER_NAMES, read, strict=True)
    )
    return QuotaRows("asked", tuple(rows))


def _meter(fleet: Fleet, meter: int) -> MeterRow:
    budget = OVERALL if meter // 2 else READ
    reserved = fleet.held()[budget]
    unconfirmed = fleet.unconfirmed(in_window=meter not in DAYS)[budget]
    limit, usage = (None if value == NONE else value for value in (fleet.limits[meter], fleet.usage[meter]))
    remaining = None if limit is None or usage is None else max(0, limit - usage - reserved - unconfirmed)
    name, (resets_at, resets_in) = METER_NAMES[meter], _reset(fleet, meter)
    return MeterRow(name, limit, usage, reserved, unconfirmed, remaining, resets_at, resets_in)


def _reset(fleet: Fleet, meter: int) -> tuple[int, float] | tuple[None, None]:
    if not fleet.quarter:
        return None, None
    length = QUARTERS_PER_DAY if meter in DAYS else 1
    ends = (fleet.quarter // length + 1) * length
    later = (ends - fleet.quarter - 1) * QUARTER_SECONDS
    return ends * QUARTER_SECONDS, max(0, fleet.ends_at - fleet.at) / 1_000 + later


def _process(name: str, row: Row, at: int) -> ProcessRow:
    return ProcessRow(
        process=name,
        reserved=row.held.overall,
        done=row.done.overall,
        waiting=row.wants,
        heard_seconds=max(0, at - row.at) / 1_000,
        lease_seconds=max(0, row.lease_until - at) / 1_000,
    )


def _rank(row: ProcessRow) -> tuple[int, int, int, str]:
    return -row.waiting.total, -row.reserved, -row.done, row.process
