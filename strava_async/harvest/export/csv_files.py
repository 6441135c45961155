"""An export as CSV: the columns of the activities. Spreadsheets run none of it.

A text that a spreadsheet would take for a formula has an apostrophe before it, which it shows as text. The file begins
with a line of names, has one line for each activity, and no byte order mark: a spreadsheet is to be told that it is in
UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from strava_async.harvest.base import Held
from strava_async.harvest.export.base import Written
from strava_async.harvest.export.columns import COLUMNS, instant_text, values_of
from strava_async.harvest.export.files import NewFile
from strava_async.harvest.reading import decoded
from strava_async.tracks.texts import clean

# At the beginning of a cell; and after a semicolon, which begins a cell where a comma is the decimal point.
_FORMULA = re.compile(
    "(^|;)([\\s\"']*[=+\\-@\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}"
    "\N{FULLWIDTH COMMERCIAL AT}])"
)


class CsvWriter:
    """See ``Writer``."""

    def __init__(self, paths: Sequence[str], athlete_id: int) -> None:
        self._file = NewFile(paths[0])
        self._written = Written()

    def add(self, activities: Sequence[Held]) -> None:
        """See ``Writer``."""
        if not self._file.is_made:
            self._line([column.name for column in COLUMNS])
        for held in activities:
            stored = decoded(held)
            values, unreadable = values_of(held.activity, stored.fields())
            self._line(values)
            self._written += Written(activities=1, unreadable=unreadable + len(stored.unreadable))

    def finish(self) -> Written:
        """See ``Writer``."""
        self._file.close()
        return self._written

    def abort(self) -> None:
        """See ``Writer``."""
        self._file.close()

    def _line(self, values: Sequence[Any]) -> None:
        self._file.write(",".join(map(_cell, values)) + "\r\n")


def cell_text(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return _FORMULA.sub(r"\1'\2", clean(text))


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime() if value.tzinfo is not None:
            return instant_text(value)
        case datetime():
            return value.isoformat()
        case str():  # quoted even if empty, which is not the same as missing
            quoted = cell_text(value).replace('"', '""')
            return f'"{quoted}"'
        case _:
            return repr(value)
