"""The SQLite file that tokens are kept in: how it is made, opened and refused.

Rules:

- A file is ours if its application_id says so. Anything else is left alone; nothing is repaired or made anew over it.
- No file is opened but through SQLite: closing it elsewhere would drop all locks this process has on it (POSIX).
- A file is looked at read-only (``reading``) before it is opened for writing (``writing``). SQLite folds a leftover WAL
  into the file when the last writer closes it; to a damaged file that would do what cannot be undone.
- A new file is built under another name, then renamed: nobody sees half of one.

The schema does without STRICT tables: SQLite before 3.37, as in RHEL 9, could not even read such a file. CHECKs do.
"""

from __future__ import annotations

import os
import shlex
import sqlite3
import stat
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from strava_async.errors import TokenStoreError

APPLICATION_ID = 0x53747261  # "Stra"
SCHEMA_VERSION = 1
_SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
CREATE TABLE tokens (
    application TEXT NOT NULL CHECK (typeof(application) = 'text'),
    athlete_id INTEGER NOT NULL CHECK (typeof(athlete_id) = 'integer'),
    value TEXT NOT NULL CHECK (typeof(value) = 'text'),
    sealed INTEGER NOT NULL CHECK (sealed IN (0, 1)),
    saved_at REAL NOT NULL CHECK (typeof(saved_at) = 'real'),
    PRIMARY KEY (application, athlete_id)
);
CREATE TABLE meta (
    name TEXT PRIMARY KEY NOT NULL CHECK (typeof(name) = 'text'),
    value TEXT NOT NULL CHECK (typeof(value) = 'text')
);
"""


class SqliteFile:
    """One file, and a connection for each transaction. Every method blocks, and raises TokenStoreError.

    Args:
        path: the file, without symbolic links.
        busy_timeout: how long to wait for another process's transaction; seconds.
    """

    def __init__(self, path: str, busy_timeout: float) -> None:
        self.path = path
        self._busy_timeout = busy_timeout

    def exists(self) -> bool:
        """Say whether something is at the path, be it a database or not."""
        with self.explained():
            try:
                os.stat(self.path)
            except FileNotFoundError:
                return False
            return True

    def create(self) -> None:
        """Make the file, unless there is one. One caller at a time, among all processes."""
        if self.exists():
            return
        if _size(f"{self.path}-wal"):
            raise TokenStoreError(
                f"{self.path} is missing, but {self.path}-wal may hold tokens: restore the file, or move the -wal away"
            )
        building = f"{self.path}-new"
        with self.explained():
            _remove(building)  # of one who died here
            os.close(os.open(building, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            with self._connection(building, "rw") as connection:
                connection.executescript(f"PRAGMA journal_mode = WAL; BEGIN; {_SCHEMA} COMMIT;")
            os.replace(building, self.path)
            _sync_directory(os.path.dirname(self.path))

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """Return a context with a connection that sees one state of the file, and cannot change it."""
        self._check_access()
        with self._transaction("ro", "BEGIN") as connection:
            self._check_privacy()
            yield connection

    @contextmanager
    def writing(self) -> Generator[sqlite3.Connection]:
        """Return a context with a connection that alone may write; it commits, or after an error rolls back.

        For a file that ``reading`` has found to be sound.
        """
        with self._transaction("rw", "BEGIN IMMEDIATE") as connection:
            yield connection

    def empty_wal(self) -> None:
        """Move what is in the WAL into the file, as far as other processes let it."""
        with suppress(sqlite3.OperationalError), self._connection(self.path, "rw") as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def explained(self) -> Generator[None]:
        """Return a context that turns errors of SQLite and of the system into sentences that say what to do."""
        try:
            yield
        except sqlite3.Error as error:
            raise TokenStoreError(_sqlite_sentence(self.path, error, self._busy_timeout)) from error
        except OSError as error:
            raise TokenStoreError(_system_sentence(self.path, error)) from error

    @contextmanager
    def _transaction(self, mode: str, begin: str) -> Generator[sqlite3.Connection]:
        with self.explained(), self._connection(self.path, mode) as connection:
            connection.execute(begin)
            self._check_identity(connection)
            yield connection
            connection.execute("COMMIT")  # without it, closing rolls back

    @contextmanager
    def _connection(self, path: str, mode: str) -> Generator[sqlite3.Connection]:
        address = f"{Path(path).as_uri()}?mode={mode}"
        with closing(
            sqlite3.connect(address, uri=True, timeout=self._busy_timeout, isolation_level=None)
        ) as connection:
            # The default's error would show a text that is no UTF-8.
            connection.text_factory = _text
            connection.execute("PRAGMA synchronous = FULL")  # what is committed survives a power failure
            connection.execute("PRAGMA secure_delete = ON")  # what is replaced is overwritten
            connection.execute("PRAGMA trusted_schema = OFF")
            yield connection

    def _check_access(self) -> None:
        """Refuse what SQLite would misread: no file, an empty one, or one that must not be written."""
        with self.explained():
            found = os.stat(self.path)
            directory = os.path.dirname(self.path)
            if stat.S_ISDIR(found.st_mode):
                raise IsADirectoryError
            if not found.st_size:
                raise TokenStoreError(
                    f"{self.path} is empty, so it was cut off: restore it, or remove it to begin anew"
                )
            # Root may write anything; the owner's bit says what is meant.
            if not (found.st_mode & stat.S_IWUSR and os.access(self.path, os.R_OK | os.W_OK)):
                raise TokenStoreError(f"{self.path} cannot be written: make it writable (chmod 600) for its user")
            if not (os.stat(directory).st_mode & stat.S_IWUSR and os.access(directory, os.W_OK | os.X_OK)):
                raise TokenStoreError(f"{directory} cannot be written: SQLite needs to make files in it")

    def _check_privacy(self) -> None:
        """Refuse a file of ours that others may read; of another program's file nobody is told to change the mode."""
        if sys.platform != "win32" and os.stat(self.path).st_mode & 0o077:
            raise TokenStoreError(f"other users may read or write {self.path}: chmod 600 {shlex.quote(self.path)}")

    def _check_identity(self, connection: sqlite3.Connection) -> None:
        if _pragma(connection, "application_id") != APPLICATION_ID:
            raise TokenStoreError(f"{self.path} is another program's database: name another file")
        version = _pragma(connection, "user_version")
        if version > SCHEMA_VERSION:
            raise TokenStoreError(f"{self.path} was made by a newer strava-async: upgrade this one")
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if version != SCHEMA_VERSION or not {"tokens", "meta"} <= tables:
            raise TokenStoreError(f"{self.path} is damaged: restore a backup, or name another file")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _remove(path: str) -> None:
    for name in (path, f"{path}-wal", f"{path}-shm", f"{path}-journal"):
        with suppress(FileNotFoundError):
            os.unlink(name)


def _sync_directory(path: str) -> None:
    """Make a rename survive a power failure."""
    if sys.platform != "win32":
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _sqlite_sentence(path: str, error: sqlite3.Error, busy_timeout: float) -> str:
    # An error of Python's own module, such as a closed connection, has no code.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"another process has locked {path} for more than {busy_timeout:g} s: end what keeps it, or try again"
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return f"{path} is damaged or no database: restore a backup, or name another file"
    if code == sqlite3.SQLITE_FULL:
        return f"the disk has no room for {path}: make some"
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return f"{path} cannot be opened for writing: see to its permissions and those of its directory"
    name = getattr(error, "sqlite_errorname", "unknown")
    return f"{path} cannot be read or written ({name}): look at its disk and the room on it"


def _system_sentence(path: str, error: OSError) -> str:
    match error:
        case FileNotFoundError() if os.path.isdir(os.path.dirname(path)):
            return f"{path} was removed meanwhile: try again"
        case FileNotFoundError():
            return f"the directory {os.path.dirname(path)} does not exist: make it"
        case IsADirectoryError():
            return f"{path} is a directory: name a file in it"
        case NotADirectoryError():
            return f"{os.path.dirname(path)} is no directory: name a file in one"
        case PermissionError():
            return f"no permission for {path}: see to its permissions and those of its directory"
        case _:
            return f"{path} cannot be read or written ({error.strerror}): look at its disk"
