"""One of several processes that use the file of a shared quota. Run as a program by the tests beside it.

- ``lock PATH``: it begins a transaction that writes, says "locked", and ends it when it is told a line.
- ``limiter PATH BASE``: it enters a limiter with a lease of three seconds, says "ready", and does what each line says:

  - ``acquire SECONDS``: waits for a permit; says "got" or "refused".
  - ``settle USED``: ends the oldest permit with an answer; says "ok".
  - ``state``: says it.
  - ``signal NUMBER``: sends that to itself inside its next transaction; says "ok" at once.

- ``spend PATH BASE COUNTER COUNT``: it sends so many requests to a meter, which counts in a file; says how many of them
  were over the limit.

- ``call PATH``: it makes one call after the other, whatever becomes of them, until it is told a line; then until one
  succeeds, and says how many it made.

``BASE`` is the instant of the machine's monotonic clock at which a quarter hour begins.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import sys
import threading
import time
from email.utils import formatdate

import anyio
import anyio.to_thread

from strava_async import SqliteRateLimiter
from strava_async.clock import SystemClock
from strava_async.errors import QuotaExceededError, StoreError
from strava_async.limiter.base import Permit
from strava_async.limiter.sqlite_place import SqlitePlace
from strava_async.quota.fleet.messages import Report
from strava_async.testing.clock import SOME_TUESDAY

LIMIT = 100


class WorkerClock:
    """The system's, in a quarter hour that began just now.

    Attributes:
        signal: sent to this process where the time is read inside a transaction; once.
    """

    def __init__(self, base: float) -> None:
        self._base = base
        self._system = SystemClock()
        self.signal = 0

    def monotonic(self) -> float:
        return self._system.monotonic()

    def time(self) -> float:
        number = self.signal
        if number and threading.current_thread() is not threading.main_thread():
            self.signal = 0
            os.kill(os.getpid(), number)
            time.sleep(0.5)  # another thread may take the signal: this one goes on for a moment
        return SOME_TUESDAY + 1.5 + time.monotonic() - self._base

    async def sleep(self, seconds: float) -> None:
        await self._system.sleep(seconds)


def say(*words: object) -> None:
    print(*words, flush=True)


def answer(clock: WorkerClock, used: int) -> dict[str, str]:
    return {
        "date": formatdate(clock.time(), usegmt=True),
        "x-ratelimit-limit": f"{2 * LIMIT},{20 * LIMIT}",
        "x-readratelimit-limit": f"{LIMIT},{10 * LIMIT}",
        "x-ratelimit-usage": f"{used},{used}",
        "x-readratelimit-usage": f"{used},{used}",
    }


def new_limiter(path: str, clock: WorkerClock) -> SqliteRateLimiter:
    return SqliteRateLimiter(path, application="7", clock=clock, lease_seconds=3.0)


def lock(path: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("begin immediate")
    say("locked")
    sys.stdin.readline()
    connection.execute("rollback")
    connection.close()
    say("unlocked")


async def limiter(path: str, base: str) -> None:
    clock = WorkerClock(float(base))
    permits: list[Permit] = []
    async with new_limiter(path, clock) as limiter:
        say("ready")
        while True:
            match (await anyio.to_thread.run_sync(sys.stdin.readline)).split():
                case ["acquire", seconds]:
                    try:
                        permits.append(await limiter.acquire(max_wait=float(seconds)))
                    except QuotaExceededError:
                        say("refused")
                    else:
                        say("got")
                case ["settle", used]:
                    permits.pop(0).settle(200, answer(clock, int(used)))
                    say("ok")
                case ["state"]:
                    say(limiter.state)
                case ["signal", number]:
                    clock.signal = int(number)
                    say("ok")
                case _:
                    break


def counted(path: str) -> int:
    with open(path, "a+", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(".")
        file.flush()
        return file.tell()


async def spend(path: str, base: str, counter: str, count: str) -> None:
    clock = WorkerClock(float(base))
    over = 0
    async with new_limiter(path, clock) as limiter:
        say("ready")
        for _ in range(int(count)):
            try:
                permit = await limiter.acquire(max_wait=10.0)
            except QuotaExceededError:
                break
            used = counted(counter)
            over += used > LIMIT
            await anyio.sleep(0.05)
            permit.settle(200 if used <= LIMIT else 429, answer(clock, used))
    say(over)


async def call(path: str) -> None:
    place, name, count = SqlitePlace(path, "7"), f"process {os.getpid()}", 0
    say("ready")
    line = threading.Thread(target=sys.stdin.readline)
    line.start()
    is_done = False
    while line.is_alive() or not is_done:
        count += 1
        await anyio.sleep(0.001)
        try:
            await place.call(Report(name, count), 0)
        except StoreError:
            is_done = False
        else:
            is_done = True
    await place.close()
    say(count)


if __name__ == "__main__":
    _, order, *arguments = sys.argv
    if order == "lock":
        lock(*arguments)
    else:
        anyio.run({"limiter": limiter, "spend": spend, "call": call}[order], *arguments)
