"""The benchmarks' server answers as Strava does, and their table says what it should. Nothing here is timed."""

import gzip
import json
from typing import Any

import httpx
import pytest

from benchmarks.__main__ import ALL as ALL_PARTS
from benchmarks.__main__ import FULL, PARTS, QUICK
from benchmarks.bodies import DISTINCT, SMALL_BYTES, Bodies, make_bodies
from benchmarks.environments import ALL, clean_environ
from benchmarks.many_requests import lag_rows
from benchmarks.server import Answers, listen, url_of
from benchmarks.table import Row, alternate, best, median, ratio, render
from strava_async import ApiV3
from tests.plain_http import NO_TRUST


def bodies() -> Bodies:
    def packed(value: Any) -> bytes:
        return gzip.compress(json.dumps(value).encode())

    return Bodies(
        small=b'{"id":1}',
        pages=(packed([{"id": 10}]), packed([{"id": 11}])),
        details=(packed({"id": 20}), packed({"id": 21}), packed({"id": 22})),
        streams=(packed({"time": {"data": [0, 1]}}),),
    )


def ask(answers: Answers, path: str, bearer: str = "first") -> tuple[dict[str, str], bytes]:
    request = f"GET /api/v3{path} HTTP/1.1\r\nHost: x\r\nauthorization: Bearer {bearer}\r\n"
    head, _, body = answers.to(request.encode()).partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    assert status == "HTTP/1.1 200 OK"
    return {name.lower(): value for name, value in (field.split(": ", 1) for field in fields)}, body


def test_a_path_picks_the_body() -> None:
    answers = Answers(bodies())
    assert ask(answers, "/athlete")[1] == b'{"id":1}'
    assert json.loads(gzip.decompress(ask(answers, "/athlete/activities?per_page=200&page=3")[1])) == [{"id": 11}]
    assert json.loads(gzip.decompress(ask(answers, "/activities/5")[1])) == {"id": 22}
    assert json.loads(gzip.decompress(ask(answers, "/activities/5/streams?keys=time")[1])) == {"time": {"data": [0, 1]}}


def test_an_answer_has_the_fields_of_strava() -> None:
    fields, body = ask(Answers(bodies()), "/activities/1")
    assert len(fields) >= 25
    assert fields["content-encoding"] == "gzip"
    assert int(fields["content-length"]) == len(body)
    assert {"date", "x-ratelimit-limit", "x-readratelimit-usage"} <= fields.keys()


def test_each_bearer_has_meters_of_its_own() -> None:
    answers = Answers(bodies())
    usages = [ask(answers, "/athlete", bearer)[0]["x-readratelimit-usage"] for bearer in ("first", "first", "second")]
    day_usages = [int(usage.split(",")[1]) for usage in usages]
    assert day_usages in ([1, 2, 1], [1, 1, 1])  # the latter over midnight


def test_the_bodies_are_of_realistic_size() -> None:
    made = make_bodies(distinct=4)
    assert DISTINCT > 4
    assert abs(len(made.small) - SMALL_BYTES) < SMALL_BYTES / 5
    assert {len(json.loads(gzip.decompress(page))) for page in made.pages} == {200}
    assert len(made.details) == len(made.streams) == 4
    streams = json.loads(gzip.decompress(max(made.streams, key=len)))
    assert len(streams["time"]["data"]) > 600


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # the server is asyncio's
@pytest.mark.anyio
async def test_the_library_speaks_with_the_server() -> None:
    answers = Answers(bodies())
    async with await listen(answers, 0.0) as server, httpx.AsyncClient(verify=NO_TRUST, trust_env=False) as client:
        api = ApiV3("token", client, api_url=url_of(server))
        assert await api.get("/athlete") == {"id": 1}
        assert await api.get("/athlete/activities", page=2) == [{"id": 10}]
        assert await api.get("/activities/{id}", id=4) == {"id": 21}
        assert api.quota.read_day.usage in (1, 2, 3)
    assert answers.count == 3


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (Row("T", "", 1.0, "s", at_most=1.0), "met"),
        (Row("T", "", 1.1, "s", at_most=1.0), "MISSED"),
        (Row("T", "", 34.0, "x", at_least=34.0), "met"),
        (Row("T", "", 33.9, "x", at_least=34.0), "MISSED"),
        (Row("", "", 1.0, "s"), ""),
    ],
)
def test_a_verdict_follows_from_figure_and_threshold(row: Row, verdict: str) -> None:
    assert row.verdict == verdict


def test_the_table_is_aligned() -> None:
    table = render([Row("T1", "short", 1.0456, "x", at_most=1.1), Row("", "somewhat longer", 12345.6, "us")])
    assert table.splitlines() == [
        "target  what                figure  threshold",
        "------  ---------------  ---------  ---------  ---",
        "T1      short               1.05 x  <= 1.10 x  met",
        "        somewhat longer  12,346 us",
    ]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
async def test_jobs_alternate() -> None:
    order: list[str] = []

    async def job(name: str) -> dict[str, float]:
        order.append(name)
        return {"cpu": float(len(order))}

    figures = await alternate(2, {"a": lambda: job("a"), "b": lambda: job("b")})
    assert order == ["a", "b", "a", "b"]
    assert median(figures["b"], "cpu") == 3.0
    assert ratio(figures["b"], figures["a"], "cpu") == pytest.approx((2 / 1 + 4 / 3) / 2)


def test_the_environments_ask_for_what_they_compare() -> None:
    packages = {environment.name: environment.packages for environment in ALL}
    assert packages["bare"] == ("httpx==0.28.1",)
    assert any(package.startswith("sniffio") for package in packages["core"])
    assert not any("orjson" in package or "aiohttp" in package for package in packages["core"])
    assert any("orjson" in package for package in packages["fast"])
    assert packages["stravalib"] == ("stravalib==2.6.0",)


def test_measured_processes_get_a_plain_environment() -> None:
    assert not any(name.startswith("PYTHON") or name.lower().endswith("_proxy") for name in clean_environ())


def test_the_worst_lag_is_that_of_the_best_round_and_the_median_stands_below() -> None:
    rounds = [{"lag_ms": lag} for lag in (55.0, 39.0, 60.0, 41.0, 70.0)]
    assert best(rounds, "lag_ms") == 39.0
    lines = render(lag_rows({"httpx": rounds, "fast": [{"lag_ms": 44.0}]})).splitlines()[2:]
    assert [line.split()[-1] for line in lines] == ["met", "ms", "MISSED", "ms"]
    assert "on httpx, best of 5 rounds" in lines[0]
    assert "on httpx, median" in lines[1]


def test_a_run_is_of_all_parts_and_asks_for_five_rounds_of_lag() -> None:
    assert {*ALL_PARTS, "lag", "fleet"} == PARTS.keys()
    assert min(QUICK.harvest_rounds, FULL.harvest_rounds) >= 5
