"""One file and many users of it: tasks, threads, event loops, processes, and those that are killed."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from strava_async._concurrency.threads import THREADS, Job, finish_in_thread
from strava_async.errors import TokenStoreError
from strava_async.stores import SqliteTokenStore
from strava_async.stores.file_lock import FileLock
from tests.stores.contract import FULL, numbered

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.db"


def open_files() -> int:
    return len(os.listdir("/dev/fd"))


def files(path: Path) -> set[str]:
    """Return the names of the files that hold something or are locks."""
    found = [file for file in path.parent.rglob("*") if file.is_file() and not file.name.endswith("-shm")]
    return {file.name for file in found if file.stat().st_size or file.parent != path.parent}


async def lock_and_leave(store: SqliteTokenStore) -> None:
    async with store.lock(7):
        pass


def start(script: str, *args: object) -> subprocess.Popen[str]:
    head = "import os, sys, signal, anyio\nfrom strava_async.stores import SqliteTokenStore\n"
    head += "from tests.stores.contract import numbered\nstore = SqliteTokenStore(sys.argv[1])\n"
    command = [sys.executable, "-c", head + script, *map(str, args)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


# The lock


@pytest.mark.anyio
async def test_waiters_of_one_loop_come_in_in_order(path: Path) -> None:
    store = SqliteTokenStore(path)
    order: list[int] = []

    async def enter(number: int) -> None:
        async with store.lock(7):
            order.append(number)

    await store.athlete_ids()
    async with anyio.create_task_group() as tasks, store.lock(7):
        for number in range(5):
            tasks.start_soon(enter, number)
            await anyio.wait_all_tasks_blocked()
    assert order == [0, 1, 2, 3, 4]


@pytest.mark.anyio
async def test_the_wait_for_a_lock_ends_after_its_timeout(path: Path) -> None:
    store, impatient = SqliteTokenStore(path), SqliteTokenStore(path, lock_timeout=0.03)
    async with store.lock(7):
        with pytest.raises(TokenStoreError, match="not free"):
            async with impatient.lock(7):
                pass
        assert files(path) == {"tokens.db", "7"}
    async with impatient.lock(7):
        pass


@pytest.mark.anyio
async def test_the_wait_behind_a_task_of_the_same_loop_ends_too(path: Path) -> None:
    store = SqliteTokenStore(path, lock_timeout=0.03)
    errors: list[TokenStoreError] = []

    async def enter() -> None:
        try:
            await lock_and_leave(store)
        except TokenStoreError as error:
            errors.append(error)

    async with store.lock(7), anyio.create_task_group() as tasks:
        tasks.start_soon(enter)
        tasks.start_soon(enter)
    assert len(errors) == 2
    async with store.lock(7):
        pass


def test_loops_of_several_threads_share_an_object(path: Path) -> None:
    store = SqliteTokenStore(path)
    rounds, threads = 5, 3

    async def count_up() -> None:
        for _ in range(rounds):
            async with store.lock(7):
                token = await store.load(7)
                await store.save(7, numbered(int(token.access_token[1:]) + 1 if token else 1))

    workers = [threading.Thread(target=anyio.run, args=(count_up,)) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert anyio.run(store.load, 7) == numbered(rounds * threads)


def test_a_loop_that_stopped_inside_a_lock_leaves_it_to_the_next(path: Path) -> None:
    # Not asyncio.run, which ends what is begun: a framework or a test suite may just close its loop.
    store = SqliteTokenStore(path, lock_timeout=0)
    contexts: list[AbstractAsyncContextManager[object]] = []
    before = open_files()

    async def stop_inside() -> None:
        contexts.append(store.lock(7))
        await contexts[-1].__aenter__()

    for _ in range(3):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(stop_inside())
        loop.close()
    anyio.run(lock_and_leave, store)
    assert files(path) == {"tokens.db"}
    assert open_files() == before


def test_a_lock_that_a_running_loop_holds_is_not_given_up(path: Path, anyio_backend: str) -> None:
    store, impatient = SqliteTokenStore(path), SqliteTokenStore(path, lock_timeout=0)
    inside, told = threading.Event(), threading.Event()

    async def hold() -> None:
        async with store.lock(7):
            inside.set()
            await anyio.to_thread.run_sync(told.wait, 10)

    other = threading.Thread(target=partial(anyio.run, hold, backend=anyio_backend))
    other.start()
    assert inside.wait(10)
    try:
        for _ in range(2):
            with pytest.raises(TokenStoreError, match="not free"):
                anyio.run(lock_and_leave, impatient, backend=anyio_backend)
    finally:
        told.set()
        other.join()
    anyio.run(lock_and_leave, impatient, backend=anyio_backend)


def test_a_lock_that_was_taken_without_a_loop_is_not_released(path: Path) -> None:
    lock, store = FileLock(f"{path}-locks/7"), SqliteTokenStore(path, lock_timeout=0)
    assert lock.try_acquire()
    for _ in range(2):
        with pytest.raises(TokenStoreError, match="not free"):
            anyio.run(lock_and_leave, store)
    lock.release()
    anyio.run(lock_and_leave, store)


@pytest.mark.anyio
async def test_cancelled_waiters_leave_no_file_open(path: Path) -> None:
    store, other = SqliteTokenStore(path), SqliteTokenStore(path)
    async with store.lock(7):
        before = open_files()
        async with anyio.create_task_group() as tasks:
            for where in (store, other, other):
                tasks.start_soon(lock_and_leave, where)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert open_files() == before
    async with other.lock(7):
        pass


# Threads and cancellation


@pytest.mark.anyio
async def test_a_full_thread_pool_delays_no_save(path: Path) -> None:
    store, gate = SqliteTokenStore(path), threading.Event()
    anyio.to_thread.current_default_thread_limiter().total_tokens = 1
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, gate.wait, 10)
        await anyio.wait_all_tasks_blocked()
        await store.save(7, FULL)
        gate.set()


@pytest.mark.anyio
async def test_work_that_has_begun_is_finished_before_a_cancelled_caller_leaves() -> None:
    begun, gate = anyio.Event(), threading.Event()
    left: list[str] = []

    def work() -> None:
        anyio.from_thread.run_sync(begun.set)
        gate.wait(10)
        left.append("work")

    async def call() -> None:
        try:
            await finish_in_thread(work)
            await anyio.sleep_forever()
        finally:
            left.append("caller")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await begun.wait()
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await anyio.wait_all_tasks_blocked()
            gate.set()
    assert left == ["work", "caller"]


def test_a_cancelled_task_of_asyncio_does_not_leave_its_work_either() -> None:
    async def main() -> None:
        begun, gate = anyio.Event(), threading.Event()

        def work() -> None:
            anyio.from_thread.run_sync(begun.set)
            gate.wait(10)

        task = asyncio.create_task(finish_in_thread(work))
        await begun.wait()
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert not task.done()
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_a_loop_that_ends_waits_for_a_save_before_it_gives_the_lock_up(path: Path) -> None:
    store = SqliteTokenStore(path)
    order: list[str] = []
    holders: list[asyncio.Task[None]] = []

    async def main() -> None:
        begun, gate = anyio.Event(), threading.Event()

        def work() -> None:
            anyio.from_thread.run_sync(begun.set)
            gate.wait(10)
            order.append("saved")

        async def hold() -> None:
            async with store.lock(7):
                try:
                    await finish_in_thread(work)
                finally:
                    order.append("given up")

        holders.append(asyncio.create_task(hold()))
        await begun.wait()
        asyncio.get_running_loop().call_later(0.02, gate.set)

    asyncio.run(main())
    assert holders[0].cancelled()
    assert order == ["saved", "given up"]


@pytest.mark.anyio
async def test_work_that_is_cancelled_in_the_queue_is_never_done() -> None:
    gate = threading.Event()
    done: list[str] = []
    async with anyio.create_task_group() as tasks:
        for _ in range(THREADS):
            tasks.start_soon(finish_in_thread, lambda: gate.wait(10))
        await anyio.wait_all_tasks_blocked()
        async with anyio.create_task_group() as late:
            late.start_soon(finish_in_thread, lambda: done.append("late"))
            await anyio.wait_all_tasks_blocked()
            late.cancel_scope.cancel()
        gate.set()
    await finish_in_thread(lambda: done.append("next"))
    assert done == ["next"]


def test_work_that_was_called_off_does_not_begin() -> None:
    # As for a task that is cancelled after the thread was asked and before it ran.
    done: list[str] = []
    job = Job(lambda: done.append("called off"))
    assert job.call_off()
    job.run()
    assert done == []


# Processes

COUNT_UP = """
async def main():
    for _ in range(int(sys.argv[2])):
        async with store.lock(7):
            os.close(os.open(sys.argv[1] + ".inside", os.O_CREAT | os.O_EXCL))
            token = await store.load(7)
            await store.save(7, numbered(int(token.access_token[1:]) + 1))
            os.unlink(sys.argv[1] + ".inside")
anyio.run(main)
"""
HOLD = """
async def main():
    async with store.lock(7):
        print("held", flush=True)
        await anyio.sleep_forever()
anyio.run(main)
"""
FORK_AND_HOLD = """
async def main():
    async with store.lock(7):
        if not os.fork():
            print(os.getpid(), flush=True)
            signal.pause()
        await anyio.sleep_forever()
anyio.run(main)
"""
SAVE_ON_AND_ON = """
async def main():
    for number in range(int(sys.argv[2]), 10**9):
        await store.save(7, numbered(number))
        print(number, flush=True)
anyio.run(main)
"""
SAVE_ONE = """
import strava_async.stores.sqlite, anyio._backends._asyncio
print("ready", flush=True)
sys.stdin.readline()
anyio.run(store.save, int(sys.argv[2]), numbered(int(sys.argv[2])))
"""


def test_processes_exclude_each_other(path: Path) -> None:
    anyio.run(SqliteTokenStore(path).save, 7, numbered(0))
    processes = [start(COUNT_UP, path, 20) for _ in range(2)]
    assert [process.communicate()[0] for process in processes] == ["", ""]
    assert [process.returncode for process in processes] == [0, 0]
    assert anyio.run(SqliteTokenStore(path).load, 7) == numbered(40)


@pytest.mark.anyio
async def test_a_holder_that_is_killed_lets_the_next_in(path: Path) -> None:
    holder = start(HOLD, path)
    try:
        assert line(holder) == "held"
        with pytest.raises(TokenStoreError, match="not free"):
            await lock_and_leave(SqliteTokenStore(path, lock_timeout=0))
    finally:
        end(holder)
    await lock_and_leave(SqliteTokenStore(path, lock_timeout=0))
    assert files(path) == {"tokens.db"}


@pytest.mark.anyio
async def test_a_child_of_a_killed_holder_does_not_keep_the_lock(path: Path) -> None:
    holder = start(FORK_AND_HOLD, path)
    child = int(line(holder))
    try:
        with pytest.raises(TokenStoreError, match="not free"):
            await lock_and_leave(SqliteTokenStore(path, lock_timeout=0))
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        await lock_and_leave(SqliteTokenStore(path, lock_timeout=0))
    finally:
        os.kill(child, signal.SIGKILL)
        end(holder)


def test_a_process_killed_in_a_storm_of_saves_leaves_whole_tokens(path: Path) -> None:
    store = SqliteTokenStore(path)
    number = 0
    for acknowledged in (1, 12, 37):
        process = start(SAVE_ON_AND_ON, path, number)
        for _ in range(acknowledged):
            number = int(line(process))
        process.kill()
        assert process.stdout is not None
        told = process.stdout.read()  # not communicate(), which would not give what was read ahead
        end(process)
        number = int(told.split()[-1]) if told.split() else number
        assert anyio.run(store.load, 7) in (numbered(number), numbered(number + 1))


def test_processes_that_make_the_file_at_once_all_get_it(path: Path) -> None:
    processes = [start(SAVE_ONE, path, number) for number in range(8)]
    assert [line(process) for process in processes] == ["ready"] * 8
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0] * 8
    store = SqliteTokenStore(path)
    assert anyio.run(store.athlete_ids) == list(range(8))
    assert files(path) == {"tokens.db"}


def test_a_store_serves_both_sides_of_a_fork(path: Path) -> None:
    forked = start(
        """
anyio.run(store.save, 1, numbered(1))
child = os.fork()
anyio.run(store.save, 3 if child else 2, numbered(1))
if child:
    sys.exit(os.waitpid(child, 0)[1])
""",
        path,
    )
    forked.communicate()
    assert forked.returncode == 0
    assert anyio.run(SqliteTokenStore(path).athlete_ids) == [1, 2, 3]


def test_another_users_file_is_left_alone() -> None:
    # Not in tmp_path, which other users cannot enter. Root becomes somebody else; others lose their own permission.
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "tokens.db"
        anyio.run(SqliteTokenStore(path).save, 7, FULL)
        before = path.read_bytes()
        is_root = os.getuid() == 0
        os.chmod(directory, 0o755)
        path.chmod(0o600 if is_root else 0o200)
        process = start(
            """
import strava_async.stores.sqlite, anyio._backends._asyncio
if os.getuid() == 0:
    os.setuid(65534)
async def main():
    for work in (lambda: store.load(7), lambda: store.save(7, numbered(1)), store.lock(7).__aenter__):
        try:
            await work()
        except Exception as error:
            print(type(error).__name__, error)
anyio.run(main)
""",
            path,
        )
        told, _ = process.communicate()
        path.chmod(0o600)
        assert [text.split()[0] for text in told.splitlines()] == ["TokenStoreError"] * 3
        assert str(path) in told
        assert path.read_bytes() == before
