"""An SQLite file of this library: how it is created, opened and refused.

Rules:

- Its application_id marks a file as this library's. Any other is left alone: nothing is repaired or overwritten.
- A file is opened only through SQLite: closing it elsewhere would drop all locks this process has on it (POSIX).
- A file is read (``reading``) before it is opened for writing (``writing``). SQLite merges a leftover WAL into the file
  when the last writer closes it, which cannot be undone in a damaged file.
- A new file is built under another name, then renamed: no process sees half of one.
- Statements are in lower case, and transactions explicit. In a Turkish locale Python 3.11's sqlite3 does not know
  ``INSERT`` for a statement that writes.

A schema does without STRICT tables: SQLite before 3.37, as in RHEL 9, could not even read such a file. CHECKs do.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from strava_async.errors import StoreError
from strava_async.stores.file_errors import explained, is_read_only
from strava_async.stores.private_files import Privacy

COMPANIONS = ("-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class Schema:
    """What a kind of file is known by, and holds.

    Attributes:
        application_id: SQLite's own mark for whose file it is.
        version: of the tables.
        tables: the statement that makes each, by name.
        error: what is raised for a file that cannot be used.
        is_durable: whether what is committed survives a power failure; else the file does, and the last of it may not,
            and a WAL whose file was removed is removed too.
    """

    application_id: int
    version: int
    tables: Mapping[str, str]
    error: type[StoreError] = StoreError
    is_durable: bool = True

    @property
    def script(self) -> str:
        """What makes a file of this kind."""
        statements = (f"pragma application_id = {self.application_id}", self.mark, *self.tables.values())
        return "; ".join(("pragma journal_mode = wal", "begin", *statements, "commit;"))

    @property
    def mark(self) -> str:
        """A statement that changes nothing, and writes a page."""
        return f"pragma user_version = {self.version}"


class SqliteFile:
    """One file, and a connection for each transaction. Every method blocks, and raises the schema's error.

    Args:
        path: the file, without symbolic links.
        schema: what it holds.
        busy_timeout: how long to wait for another process's transaction; seconds.
        privacy: the rule for a file that other users may read.
    """

    def __init__(self, path: str, schema: Schema, busy_timeout: float, privacy: Privacy) -> None:
        self.path = path
        self.schema = schema
        self._busy_timeout = busy_timeout
        self._privacy = privacy

    def exists(self) -> bool:
        """Return whether something is at the path, be it a database or not."""
        with self.explained():
            try:
                os.stat(self.path)
            except FileNotFoundError:
                return False
            return True

    def create(self) -> None:
        """Create the file, unless there is one. One caller at a time, among all processes."""
        if self.exists():
            return
        if _size(f"{self.path}-wal") and self.schema.is_durable:
            raise self.schema.error(
                f"{self.path} is missing, but {self.path}-wal may hold what was kept: restore the file, or move the "
                "-wal away"
            )
        building = f"{self.path}-new"
        with self.explained():
            _remove(building)  # left by one that was killed here
            os.close(os.open(building, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            try:
                with self._connection(building, "rw") as connection:
                    connection.executescript(self.schema.script)
                # Before there is a file that SQLite would merge them into. Who still has them open has the file that
                # they belong to, and notices.
                _remove_companions(self.path)
                os.replace(building, self.path)
            except BaseException:
                _remove(building)
                raise
            _sync_directory(os.path.dirname(self.path))

    @contextmanager
    def reading(
        self, is_encrypted: Callable[[sqlite3.Connection], bool] = lambda _: False
    ) -> Generator[sqlite3.Connection]:
        """Return a context with a connection that sees one state of the file, and cannot change it.

        Args:
            is_encrypted: returns whether all that the file holds is encrypted.
        """
        self._check_access()
        with self._transaction("ro", "begin") as connection:
            # Here, where it is known to be this library's: the mode of another program's file is not changed.
            companions = [self.path + suffix for suffix in COMPANIONS]
            self._privacy.enforce(self.path, companions, lambda: is_encrypted(connection))
            yield connection

    @contextmanager
    def looking(self) -> Generator[sqlite3.Connection]:
        """Return a context with a connection that sees one state of the file, changes nothing and makes no file.

        It needs no permission to write, and leaves the mode as it is.
        """
        with self.explained():
            try:
                self._check_content(os.stat(self.path))
            except FileNotFoundError as error:
                if not os.path.isdir(os.path.dirname(self.path)):
                    raise
                raise self.schema.error(f"there is no file {self.path}: name another, or make it first") from error
        # Without a WAL all is in the file. SQLite would make one, and the reader who is last could not remove it.
        mode = "ro" if os.path.exists(f"{self.path}-wal") else "ro&immutable=1"
        with self._transaction(mode, "begin") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Generator[sqlite3.Connection]:
        """Return a context with a connection that alone may write; it commits, or after an error rolls back.

        For a file that ``reading`` has found to be sound.
        """
        with self._transaction("rw", "begin immediate") as connection:
            yield connection

    def touch(self) -> None:
        """Write without changing anything, so that a file that cannot be written is an error now. See ``writing``."""
        with self.writing() as connection:
            connection.execute(self.schema.mark)

    def empty_wal(self) -> None:
        """Move what is in the WAL into the file, as far as other processes let it."""
        with suppress(sqlite3.OperationalError), self._connection(self.path, "rw") as connection:
            connection.execute("pragma wal_checkpoint(truncate)")

    @contextmanager
    def explained(self) -> Generator[None]:
        """Return a context that turns errors of SQLite and of the system into sentences that say what to do."""
        with explained(self.path, self._busy_timeout, self.schema.error):
            yield

    def open(self) -> sqlite3.Connection:
        """Return a connection for a file that ``reading`` has found to be sound."""
        return self._opened(self.path, "rw")

    @contextmanager
    def _transaction(self, mode: str, begin: str) -> Generator[sqlite3.Connection]:
        with self.explained(), self._connection(self.path, mode) as connection:
            connection.execute(begin)
            self.check_identity(connection)
            yield connection
            connection.execute("commit")  # without it, closing rolls back

    @contextmanager
    def _connection(self, path: str, mode: str) -> Generator[sqlite3.Connection]:
        with closing(self._opened(path, mode)) as connection:
            yield connection

    def _opened(self, path: str, mode: str) -> sqlite3.Connection:
        address = f"{Path(path).as_uri()}?mode={mode}"
        connection = sqlite3.connect(
            address, uri=True, timeout=self._busy_timeout, isolation_level=None, check_same_thread=False
        )
        try:
            # The default's error would show the text if it is not UTF-8.
            connection.text_factory = _text
            # In full, what is committed survives a power failure. SQLite reads the file for this: it may have to wait.
            connection.execute(f"pragma synchronous = {'full' if self.schema.is_durable else 'normal'}")
            connection.execute("pragma secure_delete = on")  # what is replaced is overwritten
            connection.execute("pragma trusted_schema = off")
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_access(self) -> None:
        """Refuse what SQLite would misread: a missing file, an empty one, or one that must not be written."""
        with self.explained():
            found = os.stat(self.path)
            directory = os.path.dirname(self.path)
            self._check_content(found)
            if is_read_only(self.path):
                raise self.schema.error(f"{self.path} is on a read-only file system: mount it for writing")
            # Root may write anything; the owner's bit says what is meant.
            if not (found.st_mode & stat.S_IWUSR and os.access(self.path, os.R_OK | os.W_OK)):
                raise self.schema.error(f"{self.path} cannot be written: make it writable (chmod 600) for its user")
            if not (os.stat(directory).st_mode & stat.S_IWUSR and os.access(directory, os.W_OK | os.X_OK)):
                raise self.schema.error(f"{directory} cannot be written: SQLite needs to make files in it")

    def _check_content(self, found: os.stat_result) -> None:
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError
        if not stat.S_ISREG(found.st_mode):
            raise self.schema.error(f"{self.path} is a device or a pipe: name another file")
        if not found.st_size:
            raise self.schema.error(
                f"{self.path} is empty, so it was cut off: restore it, or remove it to start with an empty one"
            )

    def check_identity(self, connection: sqlite3.Connection) -> None:
        """Refuse a file that is not this library's, or of another version; inside a transaction."""
        if _pragma(connection, "application_id") != self.schema.application_id:
            raise self.schema.error(f"{self.path} is another program's database: name another file")
        version = _pragma(connection, "user_version")
        if version > self.schema.version:
            raise self.schema.error(f"{self.path} was made by a newer strava-async: upgrade this one")
        if 0 < version < self.schema.version:
            raise self.schema.error(f"{self.path} was made by an earlier strava-async: name another file")
        tables = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
        if version != self.schema.version or not self.schema.tables.keys() <= tables:
            raise self.schema.error(f"{self.path} is damaged: restore a backup, or name another file")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"pragma {name}").fetchone()
    return int(value)


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)
    _remove_companions(path)


def _remove_companions(path: str) -> None:
    for suffix in COMPANIONS:
        with suppress(FileNotFoundError):
            os.unlink(path + suffix)


def _sync_directory(path: str) -> None:
    """Make a rename survive a power failure."""
    if sys.platform != "win32":
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
