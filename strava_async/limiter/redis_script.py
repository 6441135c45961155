"""The script that Redis runs: its pieces put together, and made cheap. Pure but for reading them, once.

A script is run anew for each call, and what it names costs most of that. So the pieces are written to be read, with
names for constants and for the fields of records, and are run with numbers: a record is a flat list, in which each
field of the class that it is the twin of has its place, or as many as it has numbers. The classes are thus the only
list of their fields, but for a row, which is kept shorter (``redis_layout``). What is packed here is unpacked there
(``redis_packing``).
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

from strava_async.limiter.redis_layout import DOUBT, NEW_STATE, REPLY, REPORTED, REQUESTS, ROW, STATE
from strava_async.quota.fleet import grants, line, probes, sync
from strava_async.quota.fleet.codec import VERSION
from strava_async.quota.fleet.messages import NONE
from strava_async.quota.values import QUARTERS_PER_DAY
from strava_async.stores.redis_scripts import CALL

PIECES = ("state", "rows", "window", "learn", "probes", "shares", "grants", "sync")

_RECORDS = {
    "fleet": STATE.followed_by("position"),  # of what follows, which ``struct.unpack`` adds
    "report": REPORTED.followed_by("position"),
    "row": ROW,
    "old": ROW,
    "requests": REQUESTS,
    "sum": REQUESTS,
    "doubt": DOUBT,
}
_OF_RULES = {
    sync: "HEAL_MS CARRY_MS OVERDUE_MS LATE_MS STALE_MS MOST_AHEAD MOST_LOST",
    grants: "PATIENCE_MS IN_ADVANCE PLENTY SOON_MS POLL_MS HELD_MS MELT_MS TELL_MS TELL_ALONE_MS",
    line: "FRESH_MS AWAKE_MS ASLEEP_MS ELASTIC",
    probes: "PROBE_MS",
}
_CONSTANTS = {
    **{name: str(getattr(module, name)) for module, names in _OF_RULES.items() for name in names.split()},
    "STEPS": str(len(grants.STEPS)),
    "FIRST_STEP": str(grants.STEPS[0]),
    "LAST_STEP": str(grants.STEPS[-1]),
    "NONE": str(NONE),
    "HUGE": "math.huge",
    "QUARTERS_PER_DAY": str(QUARTERS_PER_DAY),
    "VERSION": str(VERSION),
    "STATE": f"'<{'d' * STATE.size}'",
    "STATE_BYTES": str(8 * STATE.size),
    "ALL_OF_STATE": f"'<Bc0I4i6c0{'d' * STATE.size}'",
    "STATE_SIZE": str(STATE.size),
    "NEW_STATE": ", ".join(map(str, NEW_STATE)),
    "REPORT": f"'<{'d' * REPORTED.size}'",
    "REPLY": f"'<{'d' * REPLY.size}'",
}
_COMMENT = re.compile(r"^\s*--.*\n|\s*--.*$", re.M)
_CONSTANT = re.compile(r"^local ([A-Z][A-Z_]*(?:, [A-Z][A-Z_]*)*) = (.+)\n", re.M)
_FUNCTION = re.compile(r"^local function (\w+)", re.M)
_PLAIN_FUNCTION = re.compile(r"^local function (\w+)\(\)\n", re.M)
_NESTED = re.compile(r"^( +)(?:local )?function .*\n(?:\1 .*\n|\n)*\1end\n", re.M)
_NAME = re.compile(r"\b[A-Z][A-Z_]+\b")
_FIELD = re.compile(rf"\b({'|'.join(_RECORDS)})\.(\w+)(?:\[([^\]]+)\])?")


@cache
def script() -> str:
    """Return the script, which is the twin of ``quota.fleet.sync``."""
    folder = resources.files("strava_async.limiter")
    pieces = [(folder / f"fleet_{piece}.lua").read_text(encoding="utf-8") for piece in PIECES]
    return compiled("".join([CALL, *pieces]))


def compiled(text: str) -> str:
    """Return a script with values for constants, and lists for records.

    Raises:
        KeyError: a record has no such field.
        ValueError: a field that has several numbers has no index, or another one has.
    """
    constants = dict(_CONSTANTS)
    text = _COMMENT.sub("", text)
    for names, values in _CONSTANT.findall(text):
        constants |= zip(names.split(", "), values.split(", "), strict=True)
    text = _NAME.sub(lambda name: constants.get(name[0], name[0]), _CONSTANT.sub("", text))
    text = _inlined(text)
    # To make a function costs a walk over the variables that were declared after those which it uses. Those are few,
    # and used by many: so the functions are declared before them.
    functions = ", ".join(_FUNCTION.findall(text))
    return f"local {functions}\n" + _FIELD.sub(_place, _FUNCTION.sub(r"function \1", text))


def _inlined(text: str) -> str:
    """Return a script in which what is called once, without arguments, stands where it is called.

    Its call is a line of its own: what follows it is a result of the script, or there is none.
    """
    for name in _PLAIN_FUNCTION.findall(text):
        whole = re.search(rf"^local function {name}\(\)\n(.*?)^end\n", text, re.M | re.S)
        calls = re.findall(rf"^(( *)(return )?{name}\(\)\n)", text, re.M)
        if whole is not None and len(calls) == 1 and len(re.findall(rf"\b{name}\b", text)) == 2:
            [(call, indent, returns)] = calls
            if returns or "return" not in _NESTED.sub("", whole[1]):
                text = text.replace(whole[0], "").replace(call, f"{indent}do\n{whole[1]}{indent}end\n")
    return text


def _place(field: re.Match[str]) -> str:
    """Return a field of a record as an element of its list."""
    record, name, index = field.groups()
    first, size = _RECORDS[record].places[name]
    if (size > 1) != (index is not None):
        raise ValueError(f"{field[0]} is {size} numbers")
    if index is None:
        return f"{record}[{first}]"
    return f"{record}[{first - 1} + {index if index.isalnum() else f'({index})'}]"
