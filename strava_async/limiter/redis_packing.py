"""How the script on Redis is told a report, and what it answers and keeps: packed numbers. Pure.

The twin of what ``fleet_state.lua`` says about its formats.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from strava_async.limiter.redis_layout import FLEET, REPLY, REPORT, STATE
from strava_async.quota.fleet.codec import VERSION
from strava_async.quota.fleet.messages import Reply, Report, Spent, Unconfirmed, Wants
from strava_async.quota.fleet.state import Doubt, Fleet, Lost, Row

_STATE = struct.Struct(f"<{STATE.size}d")
_DOUBT, _LOST = struct.Struct("<BddB"), struct.Struct("<dddBB")
_ROW, _ENTRY = struct.Struct("<IHIiIHIIIIIIIIIIBBH"), struct.Struct("<IIIHB")
_REPLY = struct.Struct(f"<{REPLY.size}d")
_HIGH = 1 << 32

_FLEET_KINDS = {"gone": Spent._make} | dict.fromkeys(("sure", "limits_confirmed", "was_full", "has_number"), bool)
_REPLY_KINDS = {"granted": Spent._make, "elsewhere": Spent._make} | dict.fromkeys(
    ("stale", "sure", "has_number", "backs_off", "heals"), bool
)


def pack_report(report: Report) -> bytes:
    """Return a report as the script takes it, without its process."""
    numbers = [*REPORT.flat(report), len(report.unconfirmed)]
    for each in report.unconfirmed:
        numbers += (each.read, each.overall, each.until, each.in_window, each.ms)
    return struct.pack(f"<{len(numbers)}d", *numbers)


def unpack_reply(text: bytes) -> Reply:
    """Return the reply of the script.

    Raises:
        struct.error: it is none.
    """
    return Reply(**REPLY.fields(_REPLY.unpack(text), _REPLY_KINDS))


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
    if len(text) <= _STATE.size:
        raise ValueError("the state of a shared quota is too short")
    numbers = _STATE.unpack_from(text, len(text) - _STATE.size)
    fleet = Fleet(**FLEET.fields(numbers, _FLEET_KINDS))
    position = 1
    for _ in range(int(numbers[-2])):
        meter, usage, at, length = _DOUBT.unpack_from(text, position)
        process, position = _text(text, position + _DOUBT.size, length)
        fleet.doubts[meter - 1] = Doubt(int(usage), int(at), process)
    for _ in range(int(numbers[-1])):
        read, overall, until, in_window, length = _LOST.unpack_from(text, position)
        process, position = _text(text, position + _LOST.size, length)
        fleet.lost += (Lost(process, Unconfirmed(int(read), int(overall), int(until), bool(in_window))),)
    fleet.rows = {process: unpack_row(row) for process, row in rows.items()}
    return fleet


def unpack_row(text: bytes) -> Row:
    """Return the row that the script keeps of a process.

    Raises:
        ValueError: it is damaged.
        struct.error: it is damaged.
    """
    at, at_high, count, asks, wanted, wanted_high, lease, known, *numbers, ahead, entries, slot = _ROW.unpack_from(text)
    if len(text) != _ROW.size + entries * _ENTRY.size:
        raise ValueError("a process's row is too short or long")
    at += at_high * _HIGH
    unconfirmed: list[Unconfirmed] = []
    for index in range(entries):
        read, overall, until, high, in_window = _ENTRY.unpack_from(text, _ROW.size + index * _ENTRY.size)
        unconfirmed.append(Unconfirmed(read, overall, until + high * _HIGH, bool(in_window)))
    return Row(
        count=count,
        at=at,
        asks_at=at + asks,
        wanted_at=wanted + wanted_high * _HIGH - 1,
        lease_until=at + lease,
        known_until=at + known,
        held=Spent(*numbers[:2]),
        done=Spent(*numbers[2:4]),
        wants=Wants(*numbers[4:]),
        unconfirmed=tuple(unconfirmed),
        ahead=ahead,
        slot=slot,
    )


def _text(text: bytes, start: int, length: int) -> tuple[str, int]:
    return text[start : start + length].decode(), start + length
