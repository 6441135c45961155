"""What a shared quota costs the Redis server on which it is kept: its time for each call, and its memory.

Time is the server's own count of it (``INFO commandstats``), beside that of an EVALSHA which reads and writes one row,
in turns on the same server: as a text that is not looked at, as what the quota keeps for a process, of which a number
is changed, and as JSON with the same change. What else runs only adds to it, so the least of many turns is compared.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import Any

from redis import Redis

from benchmarks.fleet_redis import running_redis
from strava_async.limiter.redis_packing import pack_report
from strava_async.limiter.redis_script import script
from strava_async.quota.fleet.messages import Report, Spent, Wants

FEW, MANY = 8, 64
_KEYS = ("{strava:benchmark}:quota", "{strava:benchmark}:rows")
_ONE_ROW = """
local text = redis.call('HGET', KEYS[2], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return text
"""
_CHANGED_ROW = """
local row = {struct.unpack('<I6I4i4I6I4I4I4I4I4I4I4I4I4I4BBI2', redis.call('HGET', KEYS[2], ARGV[1]))}
row[2] = row[2] + 1
redis.call('HSET', KEYS[2], ARGV[1], struct.pack('<I6I4i4I6I4I4I4I4I4I4I4I4I4I4BBI2', unpack(row, 1, 17)))
return row[2]
"""
_JSON_ROW = """
local row = cjson.decode(redis.call('HGET', KEYS[2], ARGV[1]))
row.n = row.n + 1
redis.call('HSET', KEYS[2], ARGV[1], cjson.encode(row))
return row.n
"""
_AT = 1_767_693_600_000
_JSON = json.dumps(
    {"n": 1, "q": 1_964_104, "at": _AT, "exp": _AT + 10_000, "gone": _AT + 600_000}
    | dict.fromkeys(("hr", "ho", "dr", "dn", "wi", "wn", "wb", "wu"), 5)
)
_TURNS, _CALLS = 80, 64
_QUARTER = 1_964_104


@dataclass(frozen=True, slots=True)
class ServerCost:
    """The figures.

    Attributes:
        row_us: what an EVALSHA takes that reads and writes one row as text; microseconds.
        changed_us: what it takes where the row is unpacked, changed and packed.
        json_us: what it takes where the row is JSON.
        few_us: what a call takes with 8 processes, all of which wait.
        many_us: the same with 64.
        bytes_each: memory for each process.
    """

    row_us: float
    changed_us: float
    json_us: float
    few_us: float
    many_us: float
    bytes_each: float

    def __str__(self) -> str:
        rows = {"row as text": self.row_us, "row changed": self.changed_us, "row in JSON changed": self.json_us}
        calls = {"8 processes": self.few_us, "64 processes": self.many_us}
        parts = [f"{name} {us:.2f} us" for name, us in rows.items()]
        for name, us in calls.items():
            parts.append(f"{name} {us:.2f} us ({' or '.join(f'{us / row:.1f}x' for row in rows.values())})")
        return "; ".join([*parts, f"{self.bytes_each:.0f} bytes for each"])


class Processes:
    """Processes that always have requests out and others that wait, and have half of the quota's room left.

    Args:
        client: of the server.
        number: of them.
    """

    def __init__(self, client: Any, number: int) -> None:
        self._client = client
        self._number = number
        self._sha = client.script_load(script())
        self._row_sha = client.script_load(_ONE_ROW)
        self._changed_sha = client.script_load(_CHANGED_ROW)
        self._json_sha = client.script_load(_JSON_ROW)
        self._calls = 0

    def report(self) -> tuple[Any, ...]:
        """Make a call, and return its arguments."""
        count, index = divmod(self._calls, self._number)
        self._calls += 1
        report = Report(
            process=f"{index:016x}",
            count=count + 1,
            acknowledged=count,
            seen=self._calls - 1 if count else 0,
            quarter=_QUARTER,
            sure=True,
            ms_left=600_000,
            held=Spent(5, 5),
            done=Spent(2 + count // 8, 2 + count // 8),
            numbers=(400, 400, 400, 400),
            latest=(400, 400, 400, 400),
            number_at=(1, 1),
            known=(400, 400, 400, 400),
            limits=(1_000, 10_000, 2_000, 20_000),
            limits_at=1,
            wants=Wants(0, 20, 0, 0),
            in_advance=5,
            row_ms=600_000,
        )
        return self._sha, len(_KEYS), *_KEYS, report.process, pack_report(report), 1_767_693_600_000 + self._calls

    def take(self, calls: int) -> float:
        """Return the microseconds that the server takes for one of so many calls."""
        return self._taken([self.report() for _ in range(calls)])

    def take_row(self, calls: int) -> float:
        """Return the same for reading and writing one row as text."""
        fields = [f"{index % self._number:016x}" for index in range(calls)]
        rows = {field: self._client.hget(_KEYS[1], field) for field in set(fields)}
        return self._taken([(self._row_sha, len(_KEYS), *_KEYS, field, rows[field]) for field in fields])

    def take_changed(self, calls: int) -> float:
        """Return the same for changing one row, which then is put back."""
        fields = [f"{index % self._number:016x}" for index in range(calls)]
        rows = {field: self._client.hget(_KEYS[1], field) for field in set(fields)}
        taken = self._taken([(self._changed_sha, len(_KEYS), *_KEYS, field) for field in fields])
        self._client.hset(_KEYS[1], mapping=rows)
        return taken

    def take_json(self, calls: int) -> float:
        """Return the same for changing one row that is JSON."""
        fields = [f"{index % self._number:016x}" for index in range(calls)]
        keys = (_KEYS[0], f"{_KEYS[1]}-in-json")
        self._client.hset(keys[1], mapping=dict.fromkeys(fields, _JSON))
        return self._taken([(self._json_sha, len(keys), *keys, field) for field in fields])

    def _taken(self, calls: list[tuple[Any, ...]]) -> float:
        self._client.config_resetstat()
        for arguments in calls:
            self._client.evalsha(*arguments)
        stats: Any = self._client.info("commandstats")
        return float(stats["cmdstat_evalsha"]["usec_per_call"])


def measure(client: Any, *, turns: int = _TURNS) -> ServerCost:
    """Return what a server needs, which is emptied.

    Args:
        client: of it, for this alone.
        turns: how often each is measured.
    """
    least, memory = {}, {}
    rows, changed, in_json = list[float](), list[float](), list[float]()
    for number in (FEW, MANY):
        client.flushall()
        processes = Processes(client, number)
        processes.take(20 * number)
        taken: list[float] = []
        for _ in range(turns):
            taken.append(processes.take(_CALLS))
            rows.append(processes.take_row(_CALLS))
            changed.append(processes.take_changed(_CALLS))
            in_json.append(processes.take_json(_CALLS))
        least[number] = min(taken)
        memory[number] = sum(int(client.memory_usage(key, samples=0) or 0) for key in _KEYS)
    each = (memory[MANY] - memory[FEW]) / (MANY - FEW)
    return ServerCost(
        row_us=min(rows),
        changed_us=min(changed),
        json_us=min(in_json),
        few_us=least[FEW],
        many_us=least[MANY],
        bytes_each=each,
    )


async def _main() -> None:
    async with running_redis() as port:
        with Redis(port=port) as client:
            sys.stdout.write(f"{measure(client)}\n")


if __name__ == "__main__":
    asyncio.run(_main())
