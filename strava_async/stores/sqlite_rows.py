"""What is in the SQLite file: the rows of athletes, and the canary that shows whether a key is the right one.

Rules:

- The canary is a known word, encrypted. The key that decrypts it is the current key: all encrypted rows of the file,
  whichever application's, are encrypted with it. Only ``rotate`` makes another one current, for all rows at once.
- It is written together with the first encrypted row; the column ``sealed`` says which rows are. A file that has one is
  neither read nor written without its key.
- Rows from before it are plain, and are read as they are.
- An encrypted row names its place, so that none can be moved to another athlete.
- A store that names no application means that of the file: the rows without a name, and if there are none, those that
  ``strava-async login`` wrote. Where it wrote those of several, the application has to be named.
- What is in a row is ``Hidden`` wherever an error may pass: crash reporters show the values in its frames.
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
from strava_async.oauth.token_set import TokenSet
from strava_async.stores._values import from_json, parse, to_json
from strava_async.stores.encryption import Cipher
from strava_async.stores.sqlite_file import Schema

_CANARY = "strava-async"
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
        self._ciphers = ciphers
        self._cipher = self._current_cipher()
        self._named = application

    def load(self, athlete_id: int) -> TokenSet | None:
        """Return the athlete's tokens, or None."""
        query = "select value, sealed from tokens where application = ? and athlete_id = ?"
        row = Hidden(self._connection.execute(query, (self.application, athlete_id)).fetchone())
        return None if row.reveal() is None else self._decoded(self.application, athlete_id, _value_of(row))

    def save(self, athlete_id: int, token: TokenSet, saved_at: float) -> None:
        """Write the athlete's row, and the canary if it is the first one encrypted."""
        if self._cipher is None and self._ciphers:
            self._make_current(self._ciphers[0])
        value = self._encoded(self.application, athlete_id, token)
        self._connection.execute(
            "replace into tokens (application, athlete_id, value, sealed, saved_at) values (?, ?, ?, ?, ?)",
            (self.application, athlete_id, value.reveal(), int(self._cipher is not None), saved_at),
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
        self._make_current(self._ciphers[0])
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

    def _current_cipher(self) -> Cipher | None:
        row = self._connection.execute("select value from meta where name = 'canary'").fetchone()
        if row is None:
            return None
        if not self._ciphers:
            raise TokenStoreError(f"the tokens in {self._path} are encrypted: pass the key")
        for cipher in self._ciphers:
            if cipher.decrypt(row[0]) == _CANARY:
                return cipher
        raise TokenStoreError(f"the tokens in {self._path} are encrypted with another key: pass that key")

    def _make_current(self, cipher: Cipher) -> None:
        self._connection.execute("replace into meta (name, value) values ('canary', ?)", (cipher.encrypt(_CANARY),))
        self._cipher = cipher

    def _encoded(self, application: str, athlete_id: int, token: TokenSet) -> Hidden[str]:
        text = Hidden(json.dumps([application, athlete_id, to_json(token)]))
        return text if self._cipher is None else Hidden(self._cipher.encrypt(text.reveal()))

    def _decoded(self, application: str, athlete_id: int, value: Hidden[tuple[str, bool]]) -> TokenSet:
        token = _token(parse(self._decrypted(*value.reveal()) or ""), application, athlete_id)
        if token is None:
            raise TokenStoreError(
                f"the row of athlete {athlete_id} in {self._path} cannot be read: restore a backup, "
                "or delete it and connect the athlete again"
            )
        return token

    def _decrypted(self, value: str, is_encrypted: bool) -> str | None:
        if not is_encrypted:
            return value
        return None if self._cipher is None else self._cipher.decrypt(value)


def _value_of(row: Hidden[tuple[Any, ...]]) -> Hidden[tuple[str, bool]]:
    """Return what is in a row, and whether it is encrypted: the first two of what was selected."""
    return Hidden((row.reveal()[0], bool(row.reveal()[1])))


def _token(value: object, application: str, athlete_id: int) -> TokenSet | None:
    """Return the tokens of a row, if it is one and of that place."""
    if is_list(value) and len(value) == 3 and value[:2] == [application, athlete_id]:
        return from_json(value[2])
    return None
