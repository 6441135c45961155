"""How the script on Redis is told a report, and what it answers and keeps: packed numbers. Pure.

The twin of what ``fleet_state.lua`` says about its formats.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

from strava_async.quota.fleet_messages import Reply, Report, Spent, Unconfirmed, Wants, numbers_of
from strava_async.quota.fleet_state import Doubt, Fleet, Lost, Row

VERSION = 1
_BOOKKEEPING = 3  # of the script's own, after the numbers of a Fleet
_STATE = struct.Struct("<B56d")
_DOUBT, _LOST = struct.Struct("<BddB"), struct.Struct("<dddBB")
_ROW, _ENTRY = struct.Struct("<IHIiIHIIIIIIIIIIBB"), struct.Struct("<IIIHB")
_REPLY = struct.Struct("<31d")


def pack_report(report: Report) -> bytes:
    """Return a report as the script takes it, without its process."""
    pairs = (report.number_at, report.refused_at, report.served_at, report.lateness)
    number_at, refused_at, served_at, lateness = pairs
    numbers = [
        *(report.count, report.acknowledged, report.seen, report.alone, report.quarter, report.sure, report.ms_left),
        *(*report.held, *report.done, *report.numbers, *report.latest, *number_at, *report.known),
        *(*report.limits, report.limits_at, report.assumed, *refused_at, report.refused_ms, *served_at),
        *(report.late_at, report.late_ms, *lateness, *report.wants, report.in_advance),
        *(report.lease_ms, report.row_ms, report.reserve, len(report.unconfirmed)),
    ]
    for each in report.unconfirmed:
        numbers += (each.read, each.overall, each.until, each.in_window, each.ms)
    return struct.pack(f"<{len(numbers)}d", *numbers)


def unpack_reply(text: bytes) -> Reply:
    """Return the reply of the script.

    Raises:
        struct.error: it is none.
    """
    numbers = map(int, _REPLY.unpack(text))
    return Reply(
        stale=bool(next(numbers)),
        sequence=next(numbers),
        at=next(numbers),
        quarter=next(numbers),
        sure=bool(next(numbers)),
        ms_left=next(numbers),
        granted=Spent(*_pair(numbers)),
        usage=_four(numbers),
        limits=_four(numbers),
        number_at=_pair(numbers),
        has_number=bool(next(numbers)),
        late_at=next(numbers),
        lateness=_pair(numbers),
        elsewhere=Spent(*_pair(numbers)),
        waiting=next(numbers),
        processes=next(numbers),
        poll_ms=next(numbers),
        backs_off=bool(next(numbers)),
        tell_ms=next(numbers),
        reserved_ms=next(numbers),
        heals=bool(next(numbers)),
    )


def unpack_fleet(text: bytes, rows: Mapping[str, bytes]) -> Fleet:
    """Return the state that the script keeps.

    Args:
        text: of the quota.
        rows: of the processes.

    Raises:
        ValueError: another version of this package has written it.
        struct.error: it is damaged.
    """
    if text[:1] != bytes([VERSION]):
        raise ValueError("another version of strava_async keeps this quota")
    _, *unpacked = _STATE.unpack_from(text)
    doubts, lost = map(int, unpacked[-2:])
    numbers = map(int, unpacked[: -2 - _BOOKKEEPING])
    state = _numbers_of_fleet(numbers)
    position = _STATE.size
    for _ in range(doubts):
        meter, usage, at, length = _DOUBT.unpack_from(text, position)
        process, position = _text(text, position + _DOUBT.size, length)
        state["doubts"][meter - 1] = Doubt(int(usage), int(at), process)
    for _ in range(lost):
        read, overall, until, in_window, length = _LOST.unpack_from(text, position)
        process, position = _text(text, position + _LOST.size, length)
        state["lost"] += (Lost(process, Unconfirmed(int(read), int(overall), int(until), bool(in_window))),)
    return Fleet(**state, rows={process: unpack_row(row) for process, row in rows.items()})


def _numbers_of_fleet(numbers: Iterator[int]) -> dict[str, Any]:
    return {
        "sequence": next(numbers),
        "wall": next(numbers),
        "at": next(numbers),
        "quarter": next(numbers),
        "sure": bool(next(numbers)),
        "turned_at": next(numbers),
        "ends_at": next(numbers),
        "heals_until": next(numbers),
        "usage": _four(numbers),
        "limits": _four(numbers),
        "limits_at": next(numbers),
        "limits_confirmed": bool(next(numbers)),
        "number_at": _pair(numbers),
        "gone": Spent(*_pair(numbers)),
        "others": next(numbers),
        "others_at_first": next(numbers),
        "others_before": next(numbers),
        "own_before": next(numbers),
        "was_full": bool(next(numbers)),
        "first_at": next(numbers),
        "has_number": bool(next(numbers)),
        "answered_at": next(numbers),
        "step": next(numbers),
        "answered": next(numbers),
        "cooldown_until": _pair(numbers),
        "refused_at": _pair(numbers),
        "judged_at": _pair(numbers),
        "served_at": _pair(numbers),
        "refusals": _pair(numbers),
        "late_until": next(numbers),
        "late_at": next(numbers),
        "lateness": _pair(numbers),
        "probed": next(numbers),
        "interactive": next(numbers),
        "interactive_before": next(numbers),
        "most": next(numbers),
        "most_before": next(numbers),
        "doubts": {},
        "lost": (),
    }


def unpack_row(text: bytes) -> Row:
    """Return the row that the script keeps of a process.

    Raises:
        struct.error: it is damaged.
    """
    at, at_high, count, asks, wanted, wanted_high, lease, known, *numbers, ahead, entries = _ROW.unpack_from(text)
    at += at_high << 32
    unconfirmed: list[Unconfirmed] = []
    for index in range(entries):
        read, overall, until, high, in_window = _ENTRY.unpack_from(text, _ROW.size + index * _ENTRY.size)
        unconfirmed.append(Unconfirmed(read, overall, until + (high << 32), bool(in_window)))
    return Row(
        count=count,
        at=at,
        asks_at=at + asks,
        wanted_at=wanted + (wanted_high << 32) - 1,
        lease_until=at + lease,
        known_until=at + known,
        held=Spent(*numbers[:2]),
        done=Spent(*numbers[2:4]),
        wants=Wants(*numbers[4:]),
        unconfirmed=tuple(unconfirmed),
        ahead=ahead,
    )


def _text(text: bytes, start: int, length: int) -> tuple[str, int]:
    return text[start : start + length].decode(), start + length


def _pair(numbers: Iterator[int]) -> tuple[int, int]:
    return next(numbers), next(numbers)


def _four(numbers: Iterator[int]) -> tuple[int, int, int, int]:
    return numbers_of(next(numbers) for _ in range(4))
