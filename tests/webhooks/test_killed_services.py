"""A service of two processes that is killed again and again: what was accepted is handled, in order."""

import asyncio
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue

import pytest

from strava_async.webhooks import SqliteEventStore
from tests.webhooks.event_service import HurriedClock

OBJECTS = range(1, 7)
WORKERS = 4 + 1
RESEND_SECONDS = 0.5


class Process:
    """One process of the service; what it accepts goes to a queue."""

    def __init__(self, arguments: list[str], accepted: "SimpleQueue[tuple[int, int]]") -> None:
        command = [sys.executable, "-m", "tests.webhooks.event_service", *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._accepted = accepted
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith("\n"):
                number, at = line.split()
                self._accepted.put((int(number), int(at)))

    def send(self, number: int, at: int) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"{number} {at}\n")
            self._process.stdin.flush()

    def kill(self) -> None:
        self._process.kill()
        self._end()

    def stop(self) -> int:
        """End it as a supervisor does, with its input; return its exit code."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._end()

    def _end(self) -> int:
        code = self._process.wait(30)
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
        return code


def stream(arguments: list[str], kills: int, seed: int, is_empty: Callable[[], bool]) -> dict[int, int]:
    """Send events of some objects, each object's in order, and kill processes; return how many each object has had."""
    chance = random.Random(seed)
    accepted: SimpleQueue[tuple[int, int]] = SimpleQueue()
    processes = [Process(arguments, accepted) for _ in range(2)]
    at = dict.fromkeys(OBJECTS, 1)  # what is being sent
    sent_at = dict.fromkeys(OBJECTS, 0.0)
    until_kill, killed = chance.randrange(5, 40), 0
    try:
        while killed < kills:
            for number in OBJECTS:
                if time.monotonic() - sent_at[number] > RESEND_SECONDS:  # as Strava does
                    sent_at[number] = time.monotonic()
                    chance.choice(processes).send(number, at[number])
            try:
                number, was_at = accepted.get(timeout=RESEND_SECONDS / 10)
            except Empty:
                continue
            if was_at == at[number]:
                at[number], sent_at[number] = was_at + 1, 0.0
                until_kill -= 1
            if until_kill <= 0:
                victim = chance.randrange(2)
                processes[victim].kill()
                processes[victim] = Process(arguments, accepted)
                until_kill, killed = chance.randrange(5, 40), killed + 1
        finished = {number: each - 1 for number, each in at.items()}
        wait_until(is_empty)
        assert [process.stop() for process in processes] == [0, 0]
    except BaseException:
        for process in processes:
            process.kill()
        raise
    return finished


def wait_until(is_so: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


def check(log: Path, accepted: dict[int, int], kills: int) -> None:
    handled: dict[int, list[int]] = {number: [] for number in OBJECTS}
    for line in log.read_text().splitlines():
        number, at = map(int, line.split())
        handled[number].append(at)
    twice = 0
    for number, all_at in handled.items():
        assert set(range(1, accepted[number] + 1)) <= set(all_at)  # one more may have been stored without an answer
        assert all_at == sorted(all_at)
        twice += sum(count - 1 for count in Counter(all_at).values())
    assert twice <= kills * WORKERS
    print(f"{sum(accepted.values())} events, {kills} kills, {twice} handled twice")


def run(tmp_path: Path, kills: int) -> None:
    path, log = tmp_path / "events.sqlite", tmp_path / "handled"
    store = SqliteEventStore(path, clock=HurriedClock())
    arguments = ["tests.webhooks.event_service:in_a_file", str(path), str(log)]
    accepted = stream(arguments, kills, kills, lambda: not asyncio.run(store.stats()).unfinished)
    check(log, accepted, kills)


def test_a_service_that_is_killed_five_times_loses_nothing(tmp_path: Path) -> None:
    run(tmp_path, 5)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_service_that_is_killed_fifty_times_loses_nothing(tmp_path: Path) -> None:
    run(tmp_path, 50)
