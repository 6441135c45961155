"""A connection that a process holds to an SQLite file of this library, for many short transactions.

To open one for each takes ten times as long, and who closes the last one waits for the disk twice. The price is that
somebody may do to the file what he would not do to one in use. Rules:

- Before a transaction the path still names the file that was opened, with its mode; else it is opened again, with all
  checks. SQLite takes a WAL for that of the file beside it: so the WAL of a file that was replaced is removed.
- What was written into the file by others than SQLite is seen by its time and size. If it is no longer this library's,
  or is damaged, the WAL is emptied before the connection is closed: SQLite would merge it into what is there now.
- A fork closes the connection before; parent and child open their own. Nothing of SQLite's may go through one.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import threading
import time
import weakref
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from typing import Literal, TypeVar

from strava_async.stores.file_lock import FileLock
from strava_async.stores.sqlite_file import SqliteFile
from strava_async.stores.sqlite_header import Header, time_of
from strava_async.stores.sqlite_shared import MAKING, lock_path

T = TypeVar("T")

# A transaction takes less than a millisecond, unless the disk hangs.
_FORK_WAIT_SECONDS = 5.0
_PAUSE_SECONDS = 0.002
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.0005, 0.005
_DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class HeldConnection:
    """One connection, opened by the first transaction and closed by ``close``. All methods block, in any thread.

    Args:
        wait_seconds: how long to wait for another transaction, of this process or another.
        holder: what has it, as errors name that.
    """

    def __init__(self, wait_seconds: float, holder: str) -> None:
        self._wait_seconds = wait_seconds
        self._holder = holder
        self._mutex = threading.Lock()
        self._opened: _Opened | None = None
        self._finalizer: Callable[[], object] | None = None
        _all.add(self)

    def transact(self, file: SqliteFile, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return what ``work`` returns in a transaction that alone may write; after an error nothing is written.

        Args:
            file: where to; it exists.
            work: reads and writes.

        Raises:
            StoreError: the file cannot be used; it says what to do.
        """
        with file.explained():
            if not self._mutex.acquire(timeout=self._wait_seconds):
                raise file.schema.error(f"an earlier operation on {file.path} has not ended: check its disk")
            try:
                return self._transact(file, work)
            finally:
                self._mutex.release()

    def close(self) -> None:
        """Close it, unless a transaction has not ended; the next one opens it again."""
        if self._mutex.acquire(timeout=self._wait_seconds):
            try:
                self._close()
            finally:
                self._mutex.release()

    def _transact(self, file: SqliteFile, work: Callable[[sqlite3.Connection], T]) -> T:
        opened = self._current(file)
        try:
            with _transaction(file, opened.connection, self._wait_seconds):
                result = work(opened.connection)
            opened.note_time()
            return result
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in _DAMAGED:
                with self._exclusive(file):
                    opened.empty_wal()
            if code not in _BUSY:
                self._close()
            raise

    def _current(self, file: SqliteFile) -> _Opened:
        opened = self._opened
        if opened is not None and opened.pid != os.getpid():
            raise file.schema.error(
                f"this process was forked while {file.path} was in use: make the {self._holder} after the fork"
            )
        if opened is not None and opened.state(file) == "same":
            return opened
        # One process at a time: another must not lose the WAL that it has just begun.
        with self._exclusive(file):
            if opened is not None:
                state = opened.state(file)
                if state == "overwritten":
                    opened.empty_wal()
                elif state == "replaced":
                    opened.remove_companions()
                self._close()
            opened = _Opened.of(file, self._wait_seconds)
        self._opened, self._finalizer = opened, weakref.finalize(self, opened.close)
        return opened

    @contextmanager
    def _exclusive(self, file: SqliteFile) -> Generator[None]:
        lock, waited = FileLock(lock_path(file, MAKING)), 0.0
        while not lock.try_acquire():
            if waited >= self._wait_seconds:
                raise file.schema.error(f"another process is opening {file.path}, and does not end: end it")
            time.sleep(_PAUSE_SECONDS)
            waited += _PAUSE_SECONDS
        try:
            yield
        finally:
            lock.release()

    def _close(self) -> None:
        self._opened = None
        if self._finalizer is not None:
            self._finalizer()

    # -- forks --------------------------------------------------------------------------------------------------------

    def before_fork(self) -> bool:
        """Close it, and let nobody open it until ``after_fork``; return whether that was possible in time."""
        is_held = self._mutex.acquire(timeout=_FORK_WAIT_SECONDS)
        if is_held:
            self._close()
        return is_held

    def after_fork(self) -> None:
        """Let it be opened again."""
        self._mutex.release()

    def in_child(self) -> None:
        """Forget who was using it in the parent."""
        self._mutex = threading.Lock()


class _Opened:
    """A connection, and the file that it is of.

    Attributes:
        connection: for writing.
        pid: of the process that opened it.
    """

    def __init__(self, file: SqliteFile, connection: sqlite3.Connection, header: Header, found: os.stat_result) -> None:
        path = file.path
        self.connection = connection
        self.pid = os.getpid()
        self._path = path
        self._header = header
        self._found = found
        self._time = header.time()
        self._is_durable = file.schema.is_durable
        self._companions = [(name, os.stat(name)) for name in (f"{path}-wal", f"{path}-shm")]

    @classmethod
    def of(cls, file: SqliteFile, wait_seconds: float) -> _Opened:
        """Check a file, and open it."""
        with ExitStack() as stack:
            header = Header(file.path)
            stack.callback(header.close)
            with file.reading():  # with all checks; it corrects the mode too
                found = os.stat(file.path)
            connection = file.open()
            stack.callback(connection.close)
            connection.execute("pragma busy_timeout = 0")  # from now on ``_begin`` waits
            with _transaction(file, connection, wait_seconds):
                pass
            if not (header.is_of(found) and os.path.samestat(found, os.stat(file.path))):
                raise FileNotFoundError  # replaced meanwhile
            opened = cls(file, connection, header, found)
            stack.pop_all()
        return opened

    def state(self, file: SqliteFile) -> Literal["same", "altered", "replaced", "overwritten"]:
        """Return what has become of the file, or of its WAL; ``altered`` is its mode or its owner."""
        try:
            found, wal = os.stat(file.path), os.stat(self._companions[0][0])
        except FileNotFoundError:
            return "replaced"
        is_there = os.path.samestat(found, self._found) and os.path.samestat(wal, self._companions[0][1])
        if file.path != self._path or not is_there:
            return "replaced"
        if (found.st_mode, found.st_uid) != (self._found.st_mode, self._found.st_uid):
            return "altered"
        is_ours = time_of(found) == self._time or self._header.application_id() == file.schema.application_id
        return "same" if is_ours else "overwritten"

    def note_time(self) -> None:
        """Take what was written into the file so far for SQLite's doing."""
        self._time = self._header.time()

    def empty_wal(self) -> None:
        """Keep SQLite from merging the WAL into what is in the file now."""
        wal, found = self._companions[0]
        with suppress(OSError):
            if os.path.samestat(os.stat(wal), found):
                if self._is_durable:
                    _keep(wal)
                os.truncate(wal, 0)

    def remove_companions(self) -> None:
        """Keep SQLite from taking the WAL for that of the file that is there now."""
        for name, found in self._companions:
            with suppress(OSError):
                if os.path.samestat(os.stat(name), found):
                    os.unlink(name)

    def close(self) -> None:
        """Close it; in a child that was forked without notice, leave it alone."""
        if self.pid == os.getpid():
            with suppress(sqlite3.Error):
                self.connection.close()
            self._header.close()


def _keep(wal: str) -> None:
    """Copy a WAL, unless that was done before."""
    with suppress(FileExistsError), open(wal, "rb") as source:
        fd = os.open(f"{wal}-kept", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with open(fd, "wb") as target:
            shutil.copyfileobj(source, target)
            target.flush()
            os.fsync(fd)


@contextmanager
def _transaction(file: SqliteFile, connection: sqlite3.Connection, wait_seconds: float) -> Generator[None]:
    """Return a context in which a connection alone may write; it commits, or after an error rolls back."""
    _begin(connection, wait_seconds)
    try:
        file.check_identity(connection)
        yield
        connection.execute("commit")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("rollback")
        raise


def _begin(connection: sqlite3.Connection, wait_seconds: float) -> None:
    """Begin to write. SQLite itself sleeps for up to 100 ms between two attempts, others for less than 1 ms."""
    pause, waited = _FIRST_PAUSE_SECONDS, 0.0
    while True:
        try:
            connection.execute("begin immediate")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or waited >= wait_seconds:
                raise
        time.sleep(pause)
        waited += pause
        pause = min(_LONGEST_PAUSE_SECONDS, pause * 1.1)


_all: weakref.WeakSet[HeldConnection] = weakref.WeakSet()
_closed: list[HeldConnection] = []


def _before_fork() -> None:
    _closed.extend(each for each in list(_all) if each.before_fork())


def _after_fork_in_parent() -> None:
    while _closed:
        _closed.pop().after_fork()


def _after_fork_in_child() -> None:
    _closed.clear()
    for each in list(_all):
        each.in_child()


if sys.platform != "win32":
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
