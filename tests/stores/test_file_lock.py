"""A lock that the system keeps."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from strava_async.errors import InputError
from strava_async.stores.file_lock import FileLock

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "locks" / "7")


def open_files() -> int:
    return len(os.listdir("/dev/fd"))


def names(path: str) -> list[str]:
    return os.listdir(os.path.dirname(path))


def run(script: str, path: str) -> subprocess.Popen[str]:
    head = "import os, signal, sys\nfrom strava_async.stores.file_lock import FileLock\npath = sys.argv[1]\n"
    return subprocess.Popen([sys.executable, "-c", head + script, path], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_one_holder_at_a_time(path: str) -> None:
    first, second = FileLock(path), FileLock(path)
    assert first.try_acquire()
    assert not second.try_acquire()
    first.release()
    assert second.try_acquire()
    second.release()


def test_the_file_is_there_only_while_somebody_holds_it(path: str) -> None:
    lock = FileLock(path)
    assert lock.try_acquire()
    assert names(path) == ["7"]
    lock.release()
    assert names(path) == []


def test_a_lock_is_held_until_it_is_released_or_its_file_is_removed(path: str) -> None:
    lock = FileLock(path)
    assert not lock.held()
    assert lock.try_acquire()
    assert lock.held()
    lock.release()
    assert not lock.held()
    assert lock.try_acquire()
    os.unlink(path)
    assert not lock.held()
    lock.release()


def test_only_the_owner_may_enter_the_directory(path: str) -> None:
    before = os.umask(0)
    try:
        FileLock(path).try_acquire()
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700


def test_a_file_that_a_killed_holder_left_locks_nobody_out(path: str) -> None:
    os.mkdir(os.path.dirname(path))
    Path(path).touch()
    lock = FileLock(path)
    assert lock.try_acquire()
    lock.release()
    assert names(path) == []


def test_a_lock_on_a_file_that_was_removed_is_worth_nothing(path: str) -> None:
    holder, next_one = FileLock(path), FileLock(path)

    class Overtaken(FileLock):
        """Others come and go between its opening the file and its locking it."""

        def _open(self) -> int | None:
            fd = super()._open()
            holder.release()
            assert next_one.try_acquire()
            return fd

    assert holder.try_acquire()
    assert not Overtaken(path).try_acquire()
    next_one.release()


def test_who_gives_up_a_lock_whose_file_was_replaced_leaves_the_other_file(path: str) -> None:
    first, second = FileLock(path), FileLock(path)
    first.try_acquire()
    os.unlink(path)
    assert second.try_acquire()
    first.release()
    assert names(path) == ["7"]
    assert not FileLock(path).try_acquire()
    second.release()


def test_a_link_is_not_followed(path: str, tmp_path: Path) -> None:
    os.mkdir(os.path.dirname(path))
    os.symlink(tmp_path / "elsewhere", path)
    before = open_files()
    with pytest.raises(OSError, match="symbolic links"):
        FileLock(path).try_acquire()
    assert not (tmp_path / "elsewhere").exists()
    assert open_files() == before


def test_an_object_serves_one_holder(path: str) -> None:
    lock = FileLock(path)
    assert lock.try_acquire()
    with pytest.raises(InputError, match="one object for each"):
        lock.try_acquire()
    lock.release()
    lock.release()


def test_neither_trying_nor_holding_keeps_files_open(path: str) -> None:
    before = open_files()
    lock = FileLock(path)
    lock.try_acquire()
    for _ in range(3):
        FileLock(path).try_acquire()
    lock.release()
    assert open_files() == before


@pytest.mark.anyio
async def test_waiters_come_in_one_by_one(path: str) -> None:
    inside = most = entered = 0

    async def enter() -> None:
        nonlocal inside, most, entered
        async with FileLock(path):
            inside, entered = inside + 1, entered + 1
            most = max(most, inside)
            await anyio.sleep(0.001)
            inside -= 1

    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(enter)
    assert (most, entered) == (1, 6)
    assert names(path) == []


@pytest.mark.anyio
async def test_a_cancelled_waiter_leaves_nothing_behind(path: str) -> None:
    holder, before = FileLock(path), open_files()
    assert holder.try_acquire()
    with anyio.move_on_after(0.03) as scope:
        async with FileLock(path):
            raise AssertionError("two are in")
    assert scope.cancelled_caught
    holder.release()
    assert open_files() == before
    assert names(path) == []


@pytest.mark.anyio
async def test_an_error_inside_gives_it_up(path: str) -> None:
    with pytest.raises(ZeroDivisionError):
        async with FileLock(path):
            raise ZeroDivisionError
    assert FileLock(path).try_acquire()


def test_a_process_that_is_killed_gives_it_up(path: str) -> None:
    holder = run("lock = FileLock(path)\nlock.try_acquire()\nprint('held', flush=True)\nsignal.pause()", path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert not FileLock(path).try_acquire()
    holder.kill()
    holder.communicate()
    lock = FileLock(path)
    assert lock.try_acquire()
    lock.release()
    assert names(path) == []


def test_a_forked_child_neither_holds_nor_gives_up_its_parents_lock(path: str) -> None:
    script = """
lock = FileLock(path)
lock.try_acquire()
child = os.fork()
if not child:
    lock.release()
    print(os.listdir(os.path.dirname(path)), FileLock(path).try_acquire(), flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(os.listdir(os.path.dirname(path)), FileLock(path).try_acquire())
lock.release()
print(os.listdir(os.path.dirname(path)), FileLock(path).try_acquire())
"""
    told, _ = run(script, path).communicate()
    assert told.splitlines() == ["['7'] False", "['7'] False", "[] True"]


def test_a_parent_releases_it_although_its_child_runs(path: str) -> None:
    script = """
lock = FileLock(path)
lock.try_acquire()
child = os.fork()
if not child:
    signal.pause()
lock.release()
print(FileLock(path).try_acquire())
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
"""
    assert run(script, path).communicate()[0] == "True\n"


def test_a_program_that_the_holder_starts_does_not_inherit_it(path: str) -> None:
    lock = FileLock(path)
    assert lock.try_acquire()
    with subprocess.Popen(["sleep", "60"], close_fds=False) as program:
        lock.close_copy()
        try:
            assert FileLock(path).try_acquire()
        finally:
            program.kill()
