"""What is in the SQLite file: the rows of athletes, and the canary that shows whether a key is the right one.

Rules:

- The column ``sealed`` says which rows are encrypted, and ``sealing`` how. The canary and the current key are those of
  the file, whichever application's rows are in it.
- A store that names no application means that of the file: the rows without a name, and if there are none, those that
  ``strava-async login`` wrote. Where it wrote those of several, the application has to be named.
- What is in a row is ``Hidden`` wherever an error may pass: crash reporters show the values in its frames.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from strava_async._hidden import Hidden
from strava_async.errors import TokenStoreError
from strava_async.oauth.token_set import TokenSet
from strava_async.stores.encryption import Cipher
from strava_async.stores.sealing import Seal
from strava_async.stores.sqlite_file import Schema

_NAMED_BY_LOGIN = re.compile(r"[1-9][0-9]*(?:@https?://\S+)?")

TOKENS = Schema(
    application_id=0x53747261,  # "Stra"
    version=1,
    error=TokenStoreError,
    tables={
        "tokens": """
create table tokens (
    application text not null check (typeof(application) = 'text'),
    athlete_id integer not null check (typeof(athlete_id) = 'integer'),
    value text not null check (typeof(value) = 'text'),
    sealed integer not null check (sealed in (0, 1)),
    saved_at real not null check (typeof(saved_at) = 'real'),
    primary key (application, athlete_id)
)""",
        "meta": """
create table meta (
    name text primary key not null check (typeof(name) = 'text'),
    value text not null check (typeof(value) = 'text')
)""",
    },
)


def has_plain_rows(connection: sqlite3.Connection) -> bool:
    """Return whether the file has unencrypted tokens of any application."""
    return connection.execute("select 1 from tokens where not sealed limit 1").fetchone() is not None


def applications(connection: sqlite3.Connection) -> list[str]:
    """Return the applications that have rows; an empty text is the one without a name."""
    query = "select distinct application from tokens order by application"
    return [application for (application,) in connection.execute(query)]


class Rows:
    """The rows of one application, as one transaction sees them.

    Args:
        connection: the transaction.
        path: the file, for error messages.
        application: whose rows; empty means that of the file.
        ciphers: one for each key, the first of which begins a file and is what ``rotate`` makes current.

    Raises:
        TokenStoreError: the file is encrypted, and not with one of these.
    """

    def __init__(self, connection: sqlite3.Connection, path: str, application: str, ciphers: Sequence[Cipher]) -> None:
        self._connection = connection
        self._path = path
        self._seal = Seal(ciphers, self._canary(), path)
        self._named = application

    def load(self, athlete_id: int) -> TokenSet | None:
        """Return the athlete's tokens, or None."""
        query = "select value, sealed from tokens where application = ? and athlete_id = ?"
        row = Hidden(self._connection.execute(query, (self.application, athlete_id)).fetchone())
        return None if row.reveal() is None else self._decoded(self.application, athlete_id, _value_of(row))

    def save(self, athlete_id: int, token: TokenSet, saved_at: float) -> None:
        """Write the athlete's row, and the canary if it is the first one encrypted."""
        canary = self._seal.begin()
        if canary is not None:
            self._write_canary(canary)
        value = self._seal.encoded(self.application, athlete_id, token)
        self._connection.execute(
            "replace into tokens (application, athlete_id, value, sealed, saved_at) values (?, ?, ?, ?, ?)",
            (self.application, athlete_id, value.reveal(), int(self._seal.is_encrypting), saved_at),
        )

    def delete(self, athlete_id: int) -> bool:
        """Remove the athlete's row; return whether there was one."""
        query = "delete from tokens where application = ? and athlete_id = ?"
        return self._connection.execute(query, (self.application, athlete_id)).rowcount > 0

    def athlete_ids(self, *, first: int = -(2**63), limit: int = -1) -> list[int]:
        """Return the athletes in ascending order.

        Args:
            first: from this id on.
            limit: so many at the most; negative means all.
        """
        query = "select athlete_id from tokens where application = ? and athlete_id >= ? order by athlete_id limit ?"
        found = self._connection.execute(query, (self.application, first, limit))
        return [athlete_id for (athlete_id,) in found]

    def rotate(self) -> int:
        """Encrypt every row of the file, of all applications, with the first key; return how many."""
        query = "select value, sealed, rowid, application, athlete_id from tokens"
        came = [(*row[2:], _value_of(Hidden(row))) for row in self._connection.execute(query)]
        rows = [
            (rowid, application, athlete_id, self._decoded(application, athlete_id, value))
            for rowid, application, athlete_id, value in came
        ]
        self._write_canary(self._seal.change())
        for rowid, application, athlete_id, token in rows:
            value = self._seal.encoded(application, athlete_id, token)
            self._connection.execute("update tokens set value = ?, sealed = 1 where rowid = ?", (value.reveal(), rowid))
        return len(rows)

    @cached_property
    def application(self) -> str:
        """Whose rows these are.

        Raises:
            TokenStoreError: none was named, and several have logged in.
        """
        if self._named:
            return self._named
        # Each of these looks at the ends of the primary key's index, however many rows there are.
        if self._connection.execute("select 1 from tokens where application = '' limit 1").fetchone() is not None:
            return ""
        ends = "select (select min(application) from tokens), (select max(application) from tokens)"
        first, last = self._connection.execute(ends).fetchone()
        if first is None or not all(_NAMED_BY_LOGIN.fullmatch(name) for name in (first, last)):
            return ""
        if first != last:
            raise TokenStoreError(
                f"{self._path} has tokens of several applications, such as {first} and {last}: "
                "say which one with SqliteTokenStore(path, application=...)"
            )
        found: str = first
        return found

    def _canary(self) -> str | None:
        row = self._connection.execute("select value from meta where name = 'canary'").fetchone()
        return None if row is None else row[0]

    def _write_canary(self, canary: str) -> None:
        self._connection.execute("replace into meta (name, value) values ('canary', ?)", (canary,))

    def _decoded(self, application: str, athlete_id: int, row: Hidden[tuple[str, bool]]) -> TokenSet:
        value = Hidden(row.reveal()[0])
        return self._seal.decoded(application, athlete_id, value, is_encrypted=row.reveal()[1])


def _value_of(row: Hidden[tuple[Any, ...]]) -> Hidden[tuple[str, bool]]:
    """Return what is in a row, and whether it is encrypted: the first two of what was selected."""
    return Hidden((row.reveal()[0], bool(row.reveal()[1])))
