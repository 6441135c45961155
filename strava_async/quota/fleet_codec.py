"""The state of processes that share a quota, as text: one for the quota, and a short one for each process. Pure."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from strava_async.quota.fleet_messages import Spent, Unconfirmed, Wants, numbers_of
from strava_async.quota.fleet_state import Doubt, Fleet, Lost, Row

VERSION = 1
_PLAIN = [each.name for each in fields(Fleet) if each.name not in {"rows", "doubts", "lost", "gone"}]
_NUMBERS, _PAIRS = (
    {"usage", "limits"},
    {
        "number_at",
        "cooldown_until",
        "refused_at",
        "judged_at",
        "served_at",
        "refusals",
        "lateness",
    },
)


def dump_fleet(fleet: Fleet) -> str:
    """Return all of a state but its rows."""
    state: dict[str, Any] = {name: getattr(fleet, name) for name in _PLAIN}
    state["doubts"] = [[meter, *doubt] for meter, doubt in fleet.doubts.items()]
    state["lost"] = [[process, list(requests)] for process, requests in fleet.lost]
    state["gone"] = list(fleet.gone)
    return json.dumps(state, separators=(",", ":"))


def load_fleet(text: str, rows: dict[str, Row]) -> Fleet:
    """Return the state that ``dump_fleet`` made a text of.

    Raises:
        ValueError: it did not.
    """
    try:
        state = json.loads(text)
        for name in _NUMBERS:
            state[name] = numbers_of(state[name])
        for name in _PAIRS:
            read, overall = state[name]
            state[name] = (read, overall)
        state["doubts"] = {meter: Doubt(*doubt) for meter, *doubt in state["doubts"]}
        state["lost"] = tuple(Lost(process, Unconfirmed(*requests)) for process, requests in state["lost"])
        state["gone"] = Spent(*state["gone"])
        return Fleet(**state, rows=rows)
    except (KeyError, TypeError) as error:
        raise ValueError("this is no state of a shared quota") from error


def dump_row(row: Row) -> str:
    """Return a row as text."""
    instants = [row.count, row.at, row.asks_at, row.wanted_at, row.lease_until, row.known_until]
    unconfirmed = [list(each) for each in row.unconfirmed]
    text = [*instants, list(row.held), list(row.done), list(row.wants), unconfirmed, row.ahead]
    return json.dumps(text, separators=(",", ":"))


def load_row(text: str) -> Row:
    """Return the row that ``dump_row`` made a text of.

    Raises:
        ValueError: it did not.
    """
    try:
        *instants, held, done, wants, unconfirmed, ahead = json.loads(text)
        count, at, asks_at, wanted_at, lease_until, known_until = instants
        return Row(
            count,
            at,
            asks_at,
            wanted_at,
            lease_until,
            known_until,
            Spent(*held),
            Spent(*done),
            Wants(*wants),
            tuple(Unconfirmed(*each) for each in unconfirmed),
            ahead,
        )
    except TypeError as error:
        raise ValueError("this is no row of a shared quota") from error
