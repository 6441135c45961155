"""What an answer says about the quota: the header fields, read strictly.

Rules:

- A rate-limit field is two decimal numbers and a comma: the quarter hour's, then the day's. Anything else
  (empty, ``","``, joined duplicates, signs, ten digits and more) counts as absent.
- Each field stands alone: a bad one does not spoil the others.
- ``Date`` counts only in the form that servers have to send (RFC 9110 §5.6.7).
- An answer with ``Age``, if that is more than zero, comes from a cache: its request was not counted, its ``Date`` is
  when another one was answered (RFC 9110 §6.6.1, RFC 9111 §5.1), and its numbers are as old. It says nothing.
- Nothing here raises, whatever the bytes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

# By lower-case name. The limiter gets these of an answer, and no others.
QUOTA_FIELDS = (
    "age",
    "date",
    "retry-after",
    "x-ratelimit-limit",
    "x-ratelimit-usage",
    "x-readratelimit-limit",
    "x-readratelimit-usage",
)
_NAMES = frozenset(QUOTA_FIELDS)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_IMF_FIXDATE = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT"
_MAX_DIGITS = 9


class Fields(NamedTuple):
    """The fields that matter, as text; None where absent."""

    date: str | None
    overall_limit: str | None
    overall_usage: str | None
    read_limit: str | None
    read_usage: str | None
    retry_after: str | None
    age: str | None = None


_NO_FIELDS = Fields(None, None, None, None, None, None)


def pick_fields(headers: Mapping[str, str]) -> Fields:
    """Return the fields of an answer, whatever the case of their names; none of them for the answer of a cache.

    A plain dict that holds nothing else, with lower-case names, is read directly: the exchange passes one.
    """
    if isinstance(headers, dict):
        get = headers.get
        fields = Fields(
            get("date"),
            get("x-ratelimit-limit"),
            get("x-ratelimit-usage"),
            get("x-readratelimit-limit"),
            get("x-readratelimit-usage"),
            get("retry-after"),
            get("age"),
        )
        if len(headers) + fields.count(None) == len(fields):
            return fields if fields.age is None else _unless_cached(fields)
    return _unless_cached(_search(headers))


def _search(headers: Mapping[str, str]) -> Fields:
    found: dict[str, str] = {}
    for name, value in headers.items():
        key = _text(name).lower()
        if key in _NAMES:
            # The same field in two spellings is a duplicate: neither can be trusted.
            found[key] = "" if key in found else _text(value)
    return Fields(
        found.get("date"),
        found.get("x-ratelimit-limit"),
        found.get("x-ratelimit-usage"),
        found.get("x-readratelimit-limit"),
        found.get("x-readratelimit-usage"),
        found.get("retry-after"),
        found.get("age"),
    )


def _unless_cached(fields: Fields) -> Fields:
    """Return the fields of an answer that Strava made for this request; of any other, none."""
    # A value that is not a number is ignored, and of several the first counts: RFC 9111 §5.1.
    age = _text(fields.age).partition(",")[0].strip(" \t")
    return _NO_FIELDS if age.isdecimal() and age.isascii() and age.strip("0") else fields


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def parse_pair(text: object) -> tuple[int, int] | None:
    """Return the numbers of ``"66,209"``; None if the text is anything but two numbers."""
    if not isinstance(text, str):
        return None
    first, _, second = text.partition(",")
    if not (first.isdecimal() and second.isdecimal()):
        first, second = first.strip(" \t"), second.strip(" \t")
        if not (first.isdecimal() and second.isdecimal()):
            return None
    # isdecimal() accepts the digits of every script; int() would take them too.
    if len(first) > _MAX_DIGITS or len(second) > _MAX_DIGITS or not text.isascii():
        return None
    return int(first), int(second)


def parse_date(text: object) -> float | None:
    """Return the Unix seconds of ``"Tue, 06 Jan 2026 10:00:00 GMT"``; None if the text is not such a date."""
    match = re.fullmatch(_IMF_FIXDATE, text, re.ASCII) if isinstance(text, str) else None
    if match is None:
        return None
    day, month, year, hour, minute, second = match.groups()
    if month not in _MONTHS:
        return None
    try:
        return datetime(
            int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second), tzinfo=UTC
        ).timestamp()
    except ValueError:
        return None


def parse_retry_after(text: object, now: float) -> float | None:
    """Return the seconds to wait that a ``Retry-After`` field asks for (RFC 9110 §10.2.3); None if it is invalid.

    It may be zero, or years: the caller bounds it.

    Args:
        text: the field; seconds or a date.
        now: Unix seconds on the server's clock.
    """
    if isinstance(text, str) and text.isdecimal() and text.isascii():
        return float(text) if len(text) <= _MAX_DIGITS else math.inf
    at = parse_date(text)
    return None if at is None else max(0.0, at - now)
