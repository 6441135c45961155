"""What is in the SQLite file: the rows of athletes, and the canary that tells whether a key is the right one.

Rules:

- The canary is a known word, sealed. The key that opens it is the key in force: all sealed rows of the file, whichever
  application's, are sealed with it. Only ``rotate`` puts another in force, for all rows at once.
- It is written together with the first sealed row. A file that has one is neither read nor written without its key.
- Rows from before it are plain, and are read as they are.
- A sealed row names its place, so that none can be passed off as another athlete's.
- Who names no application means that of the file: the rows without a name, and if there are none, those that
  ``strava-async login`` wrote. Where it wrote those of several, the name has to be said.
- What is in a row is ``Hidden`` where an error may go through: a frame that had it would show it to crash reporters.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from strava_async._hidden import Hidden
from strava_async._types import is_list
from strava_async.errors import TokenStoreError
from strava_async.oauth.grants import TokenSet
from strava_async.stores._values import from_json, parse, to_json
from strava_async.stores.encryption import Seal
from strava_async.stores.sqlite_file import Schema

_CANARY = "strava-async"
_NAMED_BY_LOGIN = re.compile(r"[1-9][0-9]*(?:@https?://\S+)?")

TOKENS = Schema(
    application_id=0x53747261,  # "Stra"
    version=1,
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
    """Say whether tokens of any application are in the file as they are."""
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
        seals: one for each key, the first of which begins a file and is what ``rotate`` puts in force.

    Raises:
        TokenStoreError: the file is sealed, and not with one of these.
    """

    def __init__(self, connection: sqlite3.Connection, path: str, application: str, seals: Sequence[Seal]) -> None:
        self._connection = connection
        self._path = path
        self._seals = seals
        self._seal = self._in_force()
        self._named = application

    def load(self, athlete_id: int) -> TokenSet | None:
        """Return the athlete's tokens, or None."""
        query = "select value, sealed from tokens where application = ? and athlete_id = ?"
        row = Hidden(self._connection.execute(query, (self.application, athlete_id)).fetchone())
        return None if row.reveal() is None else self._decoded(self.application, athlete_id, _value_of(row))

    def save(self, athlete_id: int, token: TokenSet, saved_at: float) -> None:
        """Write the athlete's row, and the canary if it is the first one sealed."""
        if self._seal is None and self._seals:
            self._put_in_force(self._seals[0])
        value = self._encoded(self.application, athlete_id, token)
        self._connection.execute(
            "replace into tokens (application, athlete_id, value, sealed, saved_at) values (?, ?, ?, ?, ?)",
            (self.application, athlete_id, value.reveal(), int(self._seal is not None), saved_at),
        )

    def delete(self, athlete_id: int) -> None:
        """Remove the athlete's row, if there is one."""
        query = "delete from tokens where application = ? and athlete_id = ?"
        self._connection.execute(query, (self.application, athlete_id))

    def athlete_ids(self) -> list[int]:
        """Return the athletes in ascending order."""
        query = "select athlete_id from tokens where application = ? order by athlete_id"
        return [athlete_id for (athlete_id,) in self._connection.execute(query, (self.application,))]

    def rotate(self) -> int:
        """Seal every row of the file, of all applications, with the first key; return how many."""
        query = "select value, sealed, rowid, application, athlete_id from tokens"
        came = [(*row[2:], _value_of(Hidden(row))) for row in self._connection.execute(query)]
        rows = [
            (rowid, application, athlete_id, self._decoded(application, athlete_id, value))
            for rowid, application, athlete_id, value in came
        ]
        self._put_in_force(self._seals[0])
        for rowid, application, athlete_id, token in rows:
            value = self._encoded(application, athlete_id, token)
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

    def _in_force(self) -> Seal | None:
        row = self._connection.execute("select value from meta where name = 'canary'").fetchone()
        if row is None:
            return None
        if not self._seals:
            raise TokenStoreError(f"the tokens in {self._path} are encrypted: pass the key")
        for seal in self._seals:
            if seal.open(row[0]) == _CANARY:
                return seal
        raise TokenStoreError(f"the tokens in {self._path} are encrypted with another key: pass that key")

    def _put_in_force(self, seal: Seal) -> None:
        self._connection.execute("replace into meta (name, value) values ('canary', ?)", (seal.seal(_CANARY),))
        self._seal = seal

    def _encoded(self, application: str, athlete_id: int, token: TokenSet) -> Hidden[str]:
        text = Hidden(json.dumps([application, athlete_id, to_json(token)]))
        return text if self._seal is None else Hidden(self._seal.seal(text.reveal()))

    def _decoded(self, application: str, athlete_id: int, value: Hidden[tuple[str, bool]]) -> TokenSet:
        token = _token(parse(self._opened(*value.reveal()) or ""), application, athlete_id)
        if token is None:
            raise TokenStoreError(
                f"the row of athlete {athlete_id} in {self._path} cannot be read: restore a backup, "
                "or delete it and connect the athlete again"
            )
        return token

    def _opened(self, value: str, sealed: bool) -> str | None:
        if not sealed:
            return value
        return None if self._seal is None else self._seal.open(value)


def _value_of(row: Hidden[tuple[Any, ...]]) -> Hidden[tuple[str, bool]]:
    """Return what is in a row, and whether it is sealed: the first two of what was selected."""
    return Hidden((row.reveal()[0], bool(row.reveal()[1])))


def _token(value: object, application: str, athlete_id: int) -> TokenSet | None:
    """Return the tokens of a row, if it is one and of that place."""
    if is_list(value) and len(value) == 3 and value[:2] == [application, athlete_id]:
        return from_json(value[2])
    return None
