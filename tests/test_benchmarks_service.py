"""The load test of the service notes what it should, and sums it up rightly. Nothing here is timed."""

import asyncio
import json
import math
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio.lowlevel
import pytest

from benchmarks.environments import SERVICE
from benchmarks.processes import running
from benchmarks.service import LOADS, Load, Result, rows_of
from benchmarks.service_figures import Notes, fates, is_honest, latency_table, process_figures, quantile, spread
from benchmarks.service_probe import Probe, count_probes, read_probes
from benchmarks.service_users import UserJobs
from examples.fastapi_app import embedded
from strava_async.testing import Emulator
from tests.environment import clean_environment

BUSY = {"Retry-After": "30"}
SPENT = "<h1>Strava&#39;s quota is spent</h1>"


def test_a_quantile_is_the_least_size_that_the_share_does_not_exceed() -> None:
    sizes = [float(size) for size in range(1, 101)]
    assert [quantile(sizes, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50.0, 95.0, 99.0, 100.0]
    assert quantile([7.0], 0.5) == quantile([7.0], 1.0) == 7.0
    assert math.isnan(quantile([], 0.5))


def test_a_spread_is_in_milliseconds_whatever_the_order() -> None:
    assert spread([0.003, 0.001, 0.002]) == {"count": 3, "p50": 2.0, "p95": 3.0, "p99": 3.0, "max": 3.0}


@pytest.mark.parametrize(
    ("status", "fields", "body", "honest"),
    [
        (503, BUSY, SPENT, True),
        (503, {}, SPENT, False),
        (503, {"Retry-After": "soon"}, SPENT, False),
        (503, BUSY, "<h1>The service cannot read its own data</h1>", False),
        (500, BUSY, SPENT, False),
    ],
)
def test_only_a_503_that_tells_of_the_quota_and_when_to_come_back_is_honest(
    status: int, fields: Mapping[str, str], body: str, honest: bool
) -> None:
    assert is_honest(status, fields, body) is honest


def test_good_and_bad_answers_are_distinguished() -> None:
    notes = Notes()
    notes.answer("callback", 303, {}, "", 0.2, good=303)
    notes.answer("callback", 200, {}, "", 0.2, good=303)
    notes.answer("dashboard", 503, BUSY, SPENT, 0.2, good=200)
    notes.answer("dashboard", 502, {}, "", 0.2, good=200)
    assert notes.answers == {"callback": [0.2]}
    assert notes.honest == {"dashboard": 1}
    assert notes.failures == {"callback: 200": 1, "dashboard: 502": 1}


def test_an_activity_is_lost_shown_once_shown_twice_or_shown_to_others() -> None:
    recorded = {1: (10, 100.0), 2: (20, 100.0), 3: (30, 100.0)}
    shown = {(10, 1): [101.0], (20, 2): [102.0, 103.0], (10, 3): [101.0]}
    assert fates(recorded, shown) == ({"lost": 1, "twice": 1, "to others": 1}, [1.0, 2.0])


def test_a_process_is_measured_from_the_beginning_of_the_load_to_its_end() -> None:
    lags = [(0.9, 9.0, 0.0), (1.0, 0.001, 0.0), (2.0, 0.002, 0.0), (3.0, 0.003, 0.002), (3.1, 9.0, 0.0)]
    sizes = [(0.0, 1, 0.0), (1.0, 50_000_000, 4.0), (2.0, 60_000_000, 4.5), (3.0, 61_000_000, 5.0), (9.0, 1, 9.0)]
    figures = process_figures(lags, sizes, began=1.0, settled=1.5, ended=3.0)
    assert (figures["lag_count"], figures["lag_p50"], figures["lag_max"]) == (3, 2.0, 3.0)
    assert figures["own_lag_p99"] == 2.0
    assert (figures["settled_mb"], figures["end_mb"], figures["cpu_share"]) == (60.0, 61.0, 0.5)


def test_each_kind_of_answer_has_a_line() -> None:
    table = latency_table({"dashboard": spread([0.0104, 0.02]), "quota": spread([0.001])})
    assert [line.split() for line in table.splitlines()] == [
        ["milliseconds", "count", "p50", "p95", "p99", "max"],
        ["dashboard", "2", "10", "20", "20", "20"],
        ["quota", "1", "1", "1", "1", "1"],
    ]


WORKER = {
    "lag_p50": 1.0,
    "lag_p99": 49.0,
    "own_lag_p99": 9.0,
    "lag_max": 99.0,
    "settled_mb": 80.0,
    "end_mb": 83.0,
    "cpu_share": 0.5,
}
GOOD = Result(
    seen={
        "began": 0.0,
        "ended": 30.0,
        "cpu_share": 0.1,
        "answers": {"dashboard": spread([0.1] * 300)},
        "without_stream": 0,
        "honest": {},
        "failures": {},
    },
    fate={"lost": 0, "twice": 0, "to others": 0, "reconnects": 0, "seconds": spread([1.0])},
    report={"reads": 100, "refused": 0, "events": 1, "events_not_taken": 0},
    workers=[WORKER, WORKER],
    bystander=WORKER,
)
PAUSING, RESTLESS, SPENDING = LOADS


def missed(load: Load, result: Result) -> list[str]:
    return [row.what for row in rows_of(load, result) if row.verdict == "MISSED"]


def test_a_load_that_went_well_misses_nothing() -> None:
    assert missed(PAUSING, GOOD) == missed(RESTLESS, GOOD) == []


@pytest.mark.parametrize(
    ("result", "what"),
    [
        (replace(GOOD, seen={**GOOD.seen, "failures": {"dashboard: 500": 1}}), "failures"),
        (replace(GOOD, seen={**GOOD.seen, "without_stream": 1}), "users without a stream"),
        (replace(GOOD, workers=[WORKER, {**WORKER, "lag_p99": 51.0}]), "process 2: lag of the loop, p99"),
        (replace(GOOD, workers=[{**WORKER, "end_mb": 84.1}]), "process 1: growth of memory from there"),
        (replace(GOOD, fate={**GOOD.fate, "lost": 1}), "activities lost"),
        (replace(GOOD, fate={**GOOD.fate, "twice": 1}), "activities twice"),
        (replace(GOOD, fate={**GOOD.fate, "to others": 1}), "activities to others"),
        (replace(GOOD, report={**GOOD.report, "events_not_taken": 1}), "events not taken"),
    ],
)
def test_whatever_goes_wrong_misses_a_target(result: Result, what: str) -> None:
    assert missed(PAUSING, result) == [what]


def test_a_spent_quota_has_to_show() -> None:
    spent = replace(GOOD, seen={**GOOD.seen, "honest": Counter({"dashboard": 3})})
    assert missed(SPENDING, GOOD) == ["answers that the quota is spent"]
    assert missed(SPENDING, spent) == []


def test_a_queue_of_users_who_never_pause_is_not_held_against_the_loop() -> None:
    assert missed(RESTLESS, replace(GOOD, workers=[{**WORKER, "lag_p99": 500.0}])) == []


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
async def test_a_probe_notes_lag_and_memory_and_hands_them_on(tmp_path: Path) -> None:
    probe = Probe()
    running = asyncio.create_task(probe.run())
    while len(probe.lags) < 3:
        await anyio.lowlevel.checkpoint()
    running.cancel()
    assert count_probes(tmp_path) == 0
    probe.write(tmp_path)
    probe.write(tmp_path)
    assert count_probes(tmp_path) == 1
    [read] = read_probes(tmp_path)
    assert [tuple(lag) for lag in read.lags] == probe.lags
    assert all(lag >= 0 and waited >= 0 for _, lag, waited in probe.lags)
    assert probe.sizes[0][1] > 1_000_000


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
async def test_a_process_does_its_jobs_until_its_input_ends() -> None:
    async with running(sys.executable, "benchmarks.service_users", environ=clean_environment()) as users:
        began = await users.ask("begin", url="http://127.0.0.1", athlete_ids=[], **NO_TIME)
        seen = await users.ask("finish")
    assert seen["began"] == began["began"]
    assert seen["failures"] == {}


NO_TIME: dict[str, Any] = {"seconds": 0.0, "arrive_seconds": 0.0, "think_seconds": 0.0}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
async def test_users_sign_in_look_around_and_are_shown_what_they_record(tmp_path: Path) -> None:
    emulator = Emulator(athletes=2, years=0.05)
    async with embedded.running(emulator, tmp_path) as service, AsyncExitStack() as stack:
        jobs = UserJobs(stack)
        pace = {"seconds": 1.0, "arrive_seconds": 0.0, "think_seconds": 0.2}
        begun = await jobs.begin(service.url, emulator.athlete_ids, **pace)
        await jobs.connected()
        owner = emulator.athlete_ids[1]
        recorded = {str(emulator.record_activity(owner)): (owner, begun["began"])}
        seen = await jobs.finish()
        fate = await jobs.settle(recorded)
    assert not seen["failures"]
    assert {"landing", "static file", "connect", "Strava's page", "callback", "dashboard", "stream"} <= seen[
        "answers"
    ].keys()
    assert seen["answers"]["callback"]["count"] == 2
    assert (fate["lost"], fate["twice"], fate["to others"], fate["reconnects"]) == (0, 0, 0, 0)
    assert fate["seconds"]["count"] == 1
    assert json.dumps([seen, fate])


def test_the_environment_is_that_of_the_examples_and_of_the_users() -> None:
    assert not any(package.startswith("strava-async") for package in SERVICE.packages)
    for name in ("httpx", "pydantic", "fastapi", "uvicorn", "jinja2", "aiohttp"):
        assert sum(package.startswith((f"{name}>", f"{name}=")) for package in SERVICE.packages) == 1
