"""The benchmark of the stores of webhook events tells what was lost, refused or slow. Nothing is timed."""

import anyio
import pytest

from benchmarks.webhook_sender import post
from benchmarks.webhook_service import open_store
from benchmarks.webhook_stores import TENTH, WHOLE, Figures, burst_rows, p99, steady_rows, to_handler_row
from strava_async.redis import RedisEventStore
from strava_async.webhooks import MemoryEventStore, SqliteEventStore


def test_an_accepted_event_that_was_not_handled_is_lost_and_a_refused_one_is_not() -> None:
    statuses = {1: 200, 2: 503, 3: 200, 4: 200, 5: 500}
    rows = {row.what: (row.figure, row.verdict) for row in burst_rows("file", statuses, [1, 3, 3])}
    assert rows["file: burst, answered 503"] == (1, "")
    assert rows["burst, answered otherwise than 200 or 503"] == (1, "MISSED")
    assert rows["burst, accepted and lost"] == (1, "MISSED")
    assert rows["burst, handled twice"] == (1, "MISSED")


@pytest.mark.parametrize(("milliseconds", "verdict"), [(4.0, "met"), (9.0, "MISSED")])
def test_the_cost_of_a_store_is_told_in_fsyncs(milliseconds: float, verdict: str) -> None:
    figures = {"memory": Figures([1.0] * 100), "file": Figures([milliseconds] * 100, [1.0] * 100)}
    rows = steady_rows(figures)
    assert (rows[-1].figure, rows[-1].verdict) == (milliseconds - 1.0, verdict)


def test_an_event_that_no_handler_had_misses_the_target() -> None:
    assert to_handler_row("file", "another", [10.0] * 99 + [float("inf")] * 5).verdict == "MISSED"
    assert to_handler_row("file", "same process", [10.0] * 100).verdict == "met"
    assert p99([1.0, 1.0]) == 1.0


def test_the_amounts_are_those_of_the_issue() -> None:
    assert (WHOLE.burst, WHOLE.waiting) == (1_000, 100_000)
    assert TENTH.burst * 10 == WHOLE.burst
    assert b'"object_id": 7' in post(7)


def test_a_place_names_a_store(tmp_path: object) -> None:
    async def kinds() -> list[type]:
        return [type(open_store(place)) for place in ("memory", f"file:{tmp_path}/events", "redis:1")]

    assert anyio.run(kinds) == [MemoryEventStore, SqliteEventStore, RedisEventStore]
