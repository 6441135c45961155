"""Processes that share a quota in a file are killed, stopped and forked, and the others go on."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from strava_async.quota.fleet.codec import load_fleet, load_row
from tests.limiter.sqlite_processes import ROOT, Workers, ask

if sys.platform == "win32":
    pytest.skip("signals and forks", allow_module_level=True)

SPARE_SECONDS = 4.0  # of a machine that is busy


@pytest.fixture
def workers() -> Iterator[Workers]:
    workers = Workers()
    yield workers
    workers.end()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "quota.db"


def rows(path: Path) -> dict[str, int]:
    """Return what each process holds."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("select process, state from processes").fetchall()
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
    return {process: load_row(state).held.overall for process, state in found}


def new_limiter(workers: Workers, path: Path, base: float) -> subprocess.Popen[str]:
    process = workers.start("limiter", path, base)
    assert ask(process) == "ready"
    assert ask(process, "acquire 5") == "got"
    assert ask(process, "settle 1") == "ok"
    return process


def until(process: subprocess.Popen[str], states: set[str], seconds: float) -> None:
    """Wait until a limiter is in one of the states."""
    give_up_at = time.monotonic() + seconds
    while (state := ask(process, "state")) not in states:
        assert time.monotonic() < give_up_at, f"still {state}"
        time.sleep(0.05)


def test_a_process_killed_inside_its_transaction_leaves_a_sound_file_to_the_others(
    workers: Workers, path: Path
) -> None:
    base = time.monotonic()
    one, other = new_limiter(workers, path, base), new_limiter(workers, path, base)
    assert ask(one, f"signal {signal.SIGKILL:d}") == "ok"
    assert ask(one, "acquire 5") in ("", "got")  # a unit in hand is given before the transaction
    assert one.wait(timeout=10) == -signal.SIGKILL
    for used in range(2, 5):
        assert ask(other, "acquire 5") == "got"
        assert ask(other, f"settle {used}") == "ok"
    assert ask(other, "state") == "shared"
    assert len(rows(path)) == 2


def test_a_process_stopped_inside_its_transaction_holds_up_the_others_for_no_longer_than_a_lease(
    workers: Workers, path: Path
) -> None:
    base = time.monotonic()
    one, other = new_limiter(workers, path, base), new_limiter(workers, path, base)
    assert ask(one, f"signal {signal.SIGSTOP:d}") == "ok"
    assert one.stdin is not None
    one.stdin.write("acquire 60\n")
    one.stdin.flush()
    os.waitid(os.P_PID, one.pid, os.WSTOPPED)
    assert ask(other, "acquire 20") == "got"  # by the rule for a place that is away, or with a unit in hand
    until(other, {"away"}, 3.0 + SPARE_SECONDS)
    os.kill(one.pid, signal.SIGCONT)
    assert ask(one) == "got"
    until(other, {"shared", "healing"}, 3.0 + SPARE_SECONDS)  # it tries again every three seconds at least
    until(one, {"shared"}, 4.0 + SPARE_SECONDS)  # books that were lost heal for four
    assert len(rows(path)) == 2


def test_what_a_process_holds_that_is_stopped_for_longer_than_its_lease_is_given_to_nobody(
    workers: Workers, path: Path, tmp_path: Path
) -> None:
    base, counter = time.monotonic(), tmp_path / "counter"
    spenders = [workers.start("spend", path, base, counter, 60) for _ in range(3)]
    assert [ask(each) for each in spenders] == ["ready"] * 3
    while not counter.exists() or counter.stat().st_size < 30:
        time.sleep(0.01)
    os.kill(spenders[0].pid, signal.SIGSTOP)
    time.sleep(4.0)  # a lease lasts three seconds, and that is what this is about
    os.kill(spenders[0].pid, signal.SIGCONT)
    assert [ask(each) for each in spenders] == ["0"] * 3
    assert counter.stat().st_size <= 100


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_file_that_is_taken_away_again_and_again_stays_one_file_for_all(
    workers: Workers, path: Path, is_replaced: bool
) -> None:
    processes = [workers.start("call", path) for _ in range(4)]
    assert [ask(each) for each in processes] == ["ready"] * 4
    older = path.with_name("older.db")
    for _ in range(12):
        while not path.exists() or path.stat().st_size == 0:
            time.sleep(0.001)
        if is_replaced:
            with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(older)) as target:
                source.backup(target)
            older.replace(path)
        else:
            path.unlink()
        time.sleep(0.02)
    assert all(int(ask(each, "end")) > 1 for each in processes)
    assert all(each.wait(timeout=10) == 0 for each in processes)
    assert len(rows(path)) <= 4
    assert [each.name for each in path.parent.iterdir() if each.is_file()] == [path.name]


FORKED = """
import asyncio, os, sys
from strava_async import SqliteRateLimiter

async def use(limiter, seconds):
    for _ in range(3):
        (await limiter.acquire()).release()
        await asyncio.sleep(seconds)

def is_open():
    paths = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    return any("quota.db" in os.readlink(path) for path in paths if os.path.lexists(path))

limiter = SqliteRateLimiter(sys.argv[1], application="7")

async def main():
    await use(limiter, 0.01)
    assert is_open()
    child = os.fork()
    if not child:
        os._exit(is_open())
    await use(limiter, 0.1)
    assert not os.waitpid(child, 0)[1]
    await limiter.aclose()
    assert not is_open()

asyncio.run(main())
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="the test looks into /proc")
def test_a_fork_inherits_nothing_of_the_file(path: Path) -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKED, str(path)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=30)
    assert len(rows(path)) <= 1


AFTER_FORK = """
import anyio, os, sys
from strava_async.limiter.sqlite_place import SqlitePlace
from strava_async.quota.fleet.messages import Report

place = SqlitePlace(sys.argv[1], "7")

async def use(name):
    for count in range(1, 30):
        await place.call(Report(name, count), 0)
    await place.close()

anyio.run(place.call, Report("parent", 1), 0)
child = os.fork()
anyio.run(use, "child" if not child else "mother")
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize("is_noticed", [True, False])
def test_parent_and_child_go_on_after_a_fork(path: Path, is_noticed: bool) -> None:
    script = AFTER_FORK
    if not is_noticed:  # as where a server written in C forks: nothing of ours is called before
        script = "import os\nos.register_at_fork = lambda **functions: None\n" + script
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(path)], cwd=ROOT, timeout=30, capture_output=True, text=True
    )
    if is_noticed:
        assert done.returncode == 0, done.stderr
        assert rows(path).keys() == {"parent", "mother", "child"}
    else:
        assert "make the limiter after the fork" in done.stderr
        assert rows(path).keys() == {"parent", "mother"}


def test_a_fork_while_another_thread_is_at_work_waits_for_it(path: Path) -> None:
    script = """
import anyio, os, sys, threading
from strava_async.limiter.sqlite_place import SqlitePlace
from strava_async.quota.fleet.messages import Report

place = SqlitePlace(sys.argv[1], "7")

async def use():
    for count in range(1, 200):
        await place.call(Report("parent", count), 0)
anyio.run(place.call, Report("parent", 0), 0)  # imports under way would hang in a child
thread = threading.Thread(target=anyio.run, args=[use])
thread.start()
for number in range(5):
    child = os.fork()
    if not child:
        anyio.run(place.call, Report(f"child {number}", 1), 0)
        os._exit(0)
    assert not os.waitpid(child, 0)[1]
thread.join()
"""
    command = [sys.executable, "-W", "ignore", "-c", script, str(path)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)
    assert rows(path).keys() == {"parent", *(f"child {number}" for number in range(5))}


def test_a_process_that_starts_anew_again_and_again_leaves_a_bounded_number_of_rows(path: Path) -> None:
    script = """
import anyio, sys
from strava_async.limiter.sqlite_place import SqlitePlace
from strava_async.quota.fleet.messages import Report, Spent, Wants

class Clock:
    now = 1_000_000.0
    def time(self): return self.now
    def monotonic(self): return self.now

async def main():
    clock = Clock()
    place = SqlitePlace(sys.argv[1], "7", clock)
    for number in range(250):
        clock.now += 1.0
        held, wants = Spent(1, 1), Wants(normal=1)
        await place.call(Report(f"process {number}", 1, held=held, wants=wants, row_ms=30_000), 0)
    await place.close()

anyio.run(main)
"""
    subprocess.run([sys.executable, "-c", script, str(path)], cwd=ROOT, check=True, timeout=60)
    assert len(rows(path)) <= 32
    with closing(sqlite3.connect(path)) as connection:
        (state,) = connection.execute("select state from fleets").fetchone()
    assert load_fleet(state, {}).sequence == 250
