"""The state of processes that share a quota, as text: one for the quota, and a short one for each process. Pure.

What is read back was kept where others may write. So every value is checked: its type, that numbers are whole and no
larger than what all languages read exactly, and that no pause ends later than those that ``sync`` makes.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any, cast

from strava_async.quota.fleet.messages import METERS, NONE, Spent, Unconfirmed, Wants, numbers_of
from strava_async.quota.fleet.state import Doubt, Fleet, Lost, Row

VERSION = 2
LARGEST = 2**53 - 1
_LONGEST_PAUSE_MS = 2 * 86_400_000  # cooldowns end at midnight
_LONGEST_NAME = 100
_COMPOUND = ("doubts", "lost", "gone")
_PLAIN = {each.name: getattr(Fleet(), each.name) for each in fields(Fleet) if each.name not in {"rows", *_COMPOUND}}
_NAMES = {*_PLAIN, *_COMPOUND}


def dump_fleet(fleet: Fleet) -> str:
    """Return all of a state but its rows."""
    state: dict[str, Any] = {name: getattr(fleet, name) for name in _PLAIN}
    state["doubts"] = [[meter, *doubt] for meter, doubt in fleet.doubts.items()]
    state["lost"] = [[process, list(requests)] for process, requests in fleet.lost]
    state["gone"] = list(fleet.gone)
    return json.dumps(state, separators=(",", ":"))


def load_fleet(text: object, rows: dict[str, Row]) -> Fleet:
    """Return the state that ``dump_fleet`` made a text of.

    Raises:
        ValueError: it did not.
    """
    state = _parsed(text)
    if state.__class__ is not dict or state.keys() != _NAMES:
        raise ValueError("this is no state of a shared quota")
    plain = {name: _like(state[name], default) for name, default in _PLAIN.items()}
    doubts = {_whole(meter): _doubt(*doubt) for meter, *doubt in _lists(state["doubts"], 4)}
    if not doubts.keys() <= set(METERS):
        raise ValueError("there is no such meter in a state of a shared quota")
    lost = tuple(Lost(_name(process), _unconfirmed(requests)) for process, requests in _lists(state["lost"], 2))
    fleet = Fleet(**plain, doubts=doubts, lost=lost, gone=_spent(state["gone"]), rows=rows)
    if max(fleet.heals_until, fleet.ends_at, fleet.late_until, *fleet.cooldown_until) > fleet.at + _LONGEST_PAUSE_MS:
        raise ValueError("a state of a shared quota stops all for longer than a day")
    return fleet


def dump_row(row: Row) -> str:
    """Return a row as text."""
    instants = [row.count, row.at, row.asks_at, row.wanted_at, row.lease_until, row.known_until]
    unconfirmed = [list(each) for each in row.unconfirmed]
    text = [*instants, list(row.held), list(row.done), list(row.wants), unconfirmed, row.ahead, row.slot]
    return json.dumps(text, separators=(",", ":"))


def load_row(text: object) -> Row:
    """Return the row that ``dump_row`` made a text of.

    Raises:
        ValueError: it did not.
    """
    *instants, held, done, wants, unconfirmed, ahead, slot = _list(_parsed(text), 12)
    count, at, asks_at, wanted_at, lease_until, known_until = (_whole(each, NONE) for each in instants)
    return Row(
        count,
        at,
        asks_at,
        wanted_at,
        lease_until,
        known_until,
        _spent(held),
        _spent(done),
        Wants(*(_whole(each) for each in _list(wants, 4))),
        tuple(_unconfirmed(each) for each in _lists(unconfirmed, 5)),
        _whole(ahead),
        _whole(slot, 1),
    )


def checked(fleet: Fleet) -> Fleet:
    """Return a state that was kept in another form, once it is found to be one.

    Raises:
        ValueError: it is none.
    """
    return load_fleet(
        dump_fleet(fleet), {_name(process): load_row(dump_row(row)) for process, row in fleet.rows.items()}
    )


def _parsed(text: object) -> Any:
    if not isinstance(text, str):
        raise ValueError("a shared quota is kept as text")
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("this is no state of a shared quota") from error


def _like(value: object, default: object) -> Any:
    """Return a value if it is of the kind of a default: below zero there is ``NONE`` alone, where that is one."""
    if isinstance(default, tuple):
        kinds = cast("tuple[int, ...]", default)
        values = [_like(each, kind) for each, kind in zip(_list(value, len(kinds)), kinds, strict=True)]
        return tuple(values) if len(values) == 2 else numbers_of(values)
    if isinstance(default, bool):
        return _flag(value)
    return _whole(value, NONE if default == NONE else 0)


def _whole(value: object, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= LARGEST:
        raise ValueError("a number in a state of a shared quota is none, or too small or large")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("a flag in a state of a shared quota is neither true nor false")
    return value


def _name(value: object) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_NAME:
        raise ValueError("a process in a state of a shared quota has no name, or too long a one")
    return value


def _list(value: object, length: int) -> list[object]:
    if not isinstance(value, list) or len(cast("list[object]", value)) != length:
        raise ValueError("a list in a state of a shared quota is none, or too short or long")
    return cast("list[object]", value)


def _lists(value: object, length: int) -> list[list[object]]:
    if not isinstance(value, list):
        raise ValueError("a list in a state of a shared quota is none")
    return [_list(each, length) for each in cast("list[object]", value)]


def _spent(value: object) -> Spent:
    read, overall = _list(value, 2)
    return Spent(_whole(read), _whole(overall))


def _unconfirmed(value: object) -> Unconfirmed:
    read, overall, until, in_window, ms = _list(value, 5)
    return Unconfirmed(_whole(read), _whole(overall), _whole(until, NONE), _flag(in_window), _whole(ms))


def _doubt(usage: object, at: object, process: object) -> Doubt:
    return Doubt(_whole(usage, NONE), _whole(at), _name(process))
