"""``harvest``, ``harvest --status``, ``export`` and ``purge``, in this process."""

from __future__ import annotations

import io
import json
import re
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, get_args

import anyio
import pytest
from rich.console import Console

from strava_async.cli import harvest_options
from strava_async.cli.config import Options
from strava_async.cli.harvest import HarvestSettings, harvest
from strava_async.cli.harvest_data import Data
from strava_async.cli.harvest_values import keep_seconds, next_time, share, since
from strava_async.cli.quota import QuotaSettings, quota
from strava_async.cli.quota_rows import rows_of_fleet
from strava_async.cli.redis import read_fleet
from strava_async.cli.redis_url import RedisUrl
from strava_async.cli.terminal import OutputConsole, Terminal, UsageError
from strava_async.clock import SystemClock
from strava_async.harvest import Kind, Run, SqliteHarvestStore
from strava_async.harvest.export import Format
from strava_async.testing import Fault, MeterLimits
from tests.cli.harvest_desk import NOON, Desk
from tests.redis_server import RedisServer, needs_redis

DAY = 86_400.0


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def row(name: str, out: str) -> str:
    found = re.search(rf"^  {name} +(.*)$", out, re.MULTILINE)
    assert found is not None, out
    return found[1]


# -- harvesting --------------------------------------------------------------------------------------------------------


def test_a_harvest_fetches_everything_and_the_next_one_what_is_new(desk: Desk) -> None:
    assert desk.harvest() == 0
    assert row("activities", desk.out).split()[0] == str(desk.activities())
    assert row("details", desk.out).split()[:2] == [str(desk.activities())] * 2
    assert f"\n{desk.path}\n" in desk.out
    assert desk.out.endswith("Complete. The same command fetches what is new.\n")
    assert desk.err == ""
    desk.paths()
    assert desk.harvest() == 0
    assert row("details", desk.out).split()[:2] == [str(desk.activities()), "0"]
    assert set(desk.paths()) == {"/athlete/activities"}


def test_a_harvest_into_a_directory_has_a_file_for_each_athlete(tmp_path: Path) -> None:
    desk = Desk(tmp_path, athletes=2, years=0.01)
    data = Data(directory=tmp_path / "athletes")
    assert desk.harvest(data=data, athlete_ids=[desk.athlete_id]) == 0
    assert {path.name for path in (tmp_path / "athletes").glob("[0-9]*.sqlite")} == {f"{desk.athlete_id}.sqlite"}
    assert desk.harvest(data=data) == 0
    assert len(list((tmp_path / "athletes").glob("[0-9]*.sqlite"))) == 2


def test_kinds_and_since_choose_what_is_fetched(desk: Desk) -> None:
    newest = desk.emulator.world().activities[-1]
    begins = datetime.fromisoformat(newest["start_date"]) - timedelta(seconds=1)
    assert desk.harvest(kinds="details", since=begins.isoformat()) == 0
    paths = desk.paths()
    assert not [path for path in paths if path.endswith("/streams")]
    assert [path for path in paths if path.startswith("/activities/")] == [f"/activities/{newest['id']}"]


def test_how_long_it_is_kept_is_asked_for_once_and_remembered(desk: Desk) -> None:
    desk.answers = ["what?", "7d"]
    assert desk.harvest(keep=None) == 0
    assert "Strava allows seven days" in desk.out
    assert desk.asked == ["[7d/forever] "] * 2
    assert anyio.run(SqliteHarvestStore(desk.path).settings)["keep"] == "604800"
    desk.answers = []
    assert desk.harvest(keep=None) == 0  # not asked
    assert desk.harvest(keep="forever") == 0
    assert desk.out.startswith("Kept until it is deleted from now on; for 7 days before\n")
    assert anyio.run(SqliteHarvestStore(desk.path).settings)["keep"] == "forever"
    assert desk.harvest(keep="forever") == 0
    assert "from now on" not in desk.out


def test_where_nobody_can_be_asked_it_has_to_be_given(desk: Desk) -> None:
    assert desk.harvest(keep=None) == 2
    assert re.fullmatch(r"strava-async harvest: say for how long it may be kept, --keep 7d or .*\n", desk.err)
    assert not desk.path.exists()
    assert desk.paths() == []


@pytest.mark.parametrize(
    "given",
    [
        {"data": Data()},
        {"data": Data(Path("a"), Path("b"))},
        {"data": Data(directory=Path(__file__))},
        {"data": Data(Path(__file__).parent)},
        {"kinds": "details,dances"},
        {"since": "2999-01-01"},
        {"since": "yesterday"},
        {"until": "24:00"},
        {"reserve": "120%"},
        {"keep": "0d"},
        {"keep": "always"},
        {"quota": "redis://:secret@localhost"},
    ],
)
def test_what_is_wrong_is_said_in_a_sentence_before_anything_is_asked(desk: Desk, given: dict[str, Any]) -> None:
    assert desk.harvest(**given) == 2
    assert desk.err.startswith("strava-async harvest: ")
    assert desk.err.count("\n") == 1
    assert "secret" not in desk.err
    assert desk.paths() == []


@pytest.mark.parametrize("quota", ["http://127.0.0.1:6379", "valkey://127.0.0.1"])
def test_a_quota_that_is_neither_a_file_nor_redis_is_refused(desk: Desk, quota: str) -> None:
    assert desk.harvest(quota=quota) == 2
    assert desk.err == "strava-async harvest: --quota takes a file, or a URL with redis://, rediss:// or unix://\n"
    assert desk.paths() == []


def test_who_is_not_connected_is_said(desk: Desk, tmp_path: Path) -> None:
    assert desk.harvest(athlete_ids=[5]) == 1
    assert desk.err.startswith("strava-async harvest: athlete 5 is not connected: strava-async accounts ")
    (tmp_path / "other").mkdir()
    alone = Desk(tmp_path / "other", connected=False)
    assert alone.harvest() == 1
    assert alone.err.startswith("strava-async harvest: nobody is connected; to connect somebody: strava-async login ")
    assert not alone.options().store_path.exists()


def test_without_waiting_it_ends_with_75_and_the_time_to_go_on(tmp_path: Path) -> None:
    desk = Desk(tmp_path, years=0.1, limits=MeterLimits(read_15min=10, overall_15min=20))
    assert desk.harvest(wait=False, reserve="0%") == 75
    at = f"{datetime.fromtimestamp(NOON + 900, UTC).astimezone():%H:%M}"
    assert desk.err == f"strava-async harvest: the quota is spent until {at}; the same command goes on from there\n"
    assert len(desk.paths()) == 10
    assert row("requests", desk.out) == "10"


def test_whose_grant_is_gone_is_said(tmp_path: Path) -> None:
    desk = Desk(tmp_path, athletes=2)
    gone = desk.emulator.athlete_ids[1]
    desk.emulator.disconnect(gone)
    assert desk.harvest() == 1
    assert f"by the same command: athlete {gone}: " in desk.err


def test_a_strava_in_trouble_is_no_quota_that_is_spent(tmp_path: Path) -> None:
    desk = Desk(tmp_path, years=0.1)
    desk.emulator.faults.add(Fault.server_error(503), path="/activities/*", times=None)
    assert desk.harvest(wait=False) == 1
    assert "quota" not in desk.err
    assert re.search(r" failed, and will be tried again by the same command: athlete \d+: \w+ of \d+: 503", desk.err)


def test_a_reserve_is_left_to_others(tmp_path: Path) -> None:
    desk = Desk(tmp_path, years=0.1, limits=MeterLimits(read_15min=20, overall_15min=40))
    assert desk.harvest(wait=False, reserve="50%") == 75
    assert 10 <= len(desk.paths()) < 15  # it shrinks


def test_it_does_not_wait_for_quota_beyond_its_end(tmp_path: Path) -> None:
    desk = Desk(tmp_path, years=0.1, limits=MeterLimits(read_15min=8, overall_15min=16))
    quarter, end = (f"{datetime.fromtimestamp(NOON + s, UTC).astimezone():%H:%M}" for s in (900, 600))
    assert desk.harvest(until=end, reserve="0%") == 0
    told = f"The quota is spent until {quarter}, and it was to end at {end}. The same command goes on.\n"
    assert desk.out.endswith(told)
    assert len(desk.paths()) == 8


def test_who_reads_no_more_ends_it_without_a_traceback(desk: Desk) -> None:
    class Head(io.StringIO):
        def write(self, text: str) -> int:
            if "\n" in self.getvalue():
                raise BrokenPipeError
            return super().write(text)

    terminal = Terminal(OutputConsole(file=Head(), width=200), Console(file=io.StringIO()), lambda: "")
    settings = HarvestSettings(desk.options(), Data(desk.path), "7d")
    with pytest.raises(BrokenPipeError):  # which typer makes status 1 of
        harvest(settings, terminal, make=desk.make, clock=desk.clock)


def test_it_ends_after_so_many_requests(desk: Desk) -> None:
    assert desk.harvest(max_requests=3) == 0
    assert len(desk.paths()) == 3
    assert desk.out.endswith("As many requests were sent as were allowed. The same command goes on.\n")


def test_what_could_not_be_fetched_is_counted_and_said_without_its_control_characters(desk: Desk) -> None:
    bad = desk.emulator.world().activities[-1]["id"]
    fault = Fault.status(500, {"message": "no\x1b[2J\u202e"})
    desk.emulator.faults.add(fault, path=f"/activities/{bad}", times=None)
    assert desk.harvest() == 1
    assert re.match(r"1  1 × 500 for GET /activities/\{id\}: no.\[2J", row("failed", desk.out))
    assert re.fullmatch(r"strava-async harvest: 1 request failed, and will be tried again .*\[2J.*\n", desk.err)
    assert not set("\x1b\u202e") & set(desk.out + desk.err)
    assert desk.harvest() == 1  # it is not due yet, and so not asked for
    assert desk.err == "strava-async harvest: 1 resource failed before: --status says why, and when it is tried again\n"
    assert desk.status(now=NOON + 60) == 0
    assert "1 ×  500 for GET /activities/{id}" in desk.out
    assert not set("\x1b\u202e") & set(desk.out)


def test_a_store_that_is_in_use_is_left_and_its_status_is_read(desk: Desk) -> None:
    is_held, may_end = threading.Event(), threading.Event()

    async def hold() -> None:
        store = SqliteHarvestStore(desk.path)
        await store.add_athlete(desk.athlete_id)
        async with store.hold(desk.athlete_id):
            is_held.set()
            await anyio.to_thread.run_sync(may_end.wait)

    thread = threading.Thread(target=anyio.run, args=(hold,))
    thread.start()
    try:
        assert is_held.wait(60)
        assert desk.harvest() == 1
        assert re.match(rf"strava-async harvest: {desk.path} is in use: process \d+ .*; wait for its end", desk.err)
        assert desk.status() == 0
        assert row("athletes", desk.out).split()[0] == "1"
    finally:
        may_end.set()
        thread.join()


def test_the_events_are_lines_of_json(tmp_path: Path) -> None:
    desk = Desk(tmp_path, athletes=2, years=0.02)
    bad = next(each["id"] for each in desk.emulator.world().activities if not each["manual"])
    fault = Fault.status(500, {"message": "error"})
    desk.emulator.faults.add(fault, path=f"/activities/{bad}/streams", times=None)
    assert desk.harvest(as_json=True) == 1
    events = desk.events()
    assert {"progress", "failure", "estimate", "end"} >= {event["event"] for event in events}
    assert all(isinstance(event["at"], float) for event in events)
    (end,) = (event for event in events if event["event"] == "end")
    assert end["counts"]["stored"]["detail"] == desk.activities()
    assert end["kinds"]["detail"]["held"] == end["kinds"]["detail"]["wanted"] == desk.activities()
    (failure,) = (event for event in events if event["event"] == "failure")
    assert (failure["athlete_id"], failure["kind"], failure["key"]) == (desk.athlete_id, "streams", str(bad))


def test_the_quota_is_shared_in_a_file(desk: Desk, tmp_path: Path) -> None:
    shared = tmp_path / "quota.sqlite"
    assert desk.harvest(quota=str(shared)) == 0
    sent = len(desk.paths())
    assert sent > 3

    def show(terminal: Any) -> int:
        return quota(QuotaSettings(Options(), file=shared, as_json=True), terminal, now=lambda: NOON + 60)

    assert desk._run(show) == 0
    assert json.loads(desk.out)["meters"]["read_day"]["usage"] in (sent - 1, sent)


def test_what_the_library_warns_of_is_said_on_the_screen(desk: Desk, tmp_path: Path) -> None:
    foreign = tmp_path / "thesis.sqlite"
    foreign.write_text("my thesis")
    assert desk.harvest(quota=str(foreign), as_json=True, max_requests=1) == 0
    (message,) = (event["text"] for event in desk.events() if event["event"] == "message")
    assert message.startswith(f"the shared quota in {foreign} is away, ")
    assert (foreign.read_text(), desk.err) == ("my thesis", "")


@needs_redis
def test_the_quota_is_shared_on_redis(tmp_path: Path, redis_server: RedisServer) -> None:
    desk = Desk(tmp_path, years=0.05, clock=SystemClock())  # between processes it is the server's
    url = f"redis://127.0.0.1:{redis_server.port}"
    assert desk.harvest(quota=url) == 0
    fleet, now = anyio.run(read_fleet, RedisUrl(url, "--quota"), str(desk.emulator.client_id))
    assert rows_of_fleet(fleet, now).as_json()["meters"]["read_day"]["usage"] in range(1, len(desk.paths()) + 1)
    assert desk.harvest(quota="redis://127.0.0.1:no") == 2
    assert desk.err == "strava-async harvest: --quota is no URL of a Redis server, such as redis://localhost:6379/0\n"


# -- what options say --------------------------------------------------------------------------------------------------


def test_durations() -> None:
    assert [keep_seconds(text) for text in ("7d", "12h", "90m", "forever")] == [7 * DAY, 43_200.0, 5_400.0, None]


def test_the_next_time_of_a_day_is_by_the_clock_on_the_wall() -> None:
    east = timezone(timedelta(hours=2))
    assert next_time("14:30", NOON, east) == NOON + 1_800
    assert next_time("14:00", NOON, east) == NOON + DAY
    assert next_time("6:00", NOON, UTC) == NOON + 18 * 3_600


def test_since_is_a_date_or_so_long_ago() -> None:
    assert since("2026-06-01", NOON, UTC) == NOON - 43_200
    assert since("2026-06-01T10:00Z", NOON) == NOON - 7_200
    assert since("90d", NOON) == NOON - 90 * DAY
    assert since("999999d", NOON) == 0.0


@pytest.mark.parametrize("text", ["x", "-1d", "2026-13-01", "", "9999999d", "٣d"])
def test_since_refuses_what_is_none(text: str) -> None:
    with pytest.raises(UsageError):
        since(text, NOON, UTC)


def test_shares() -> None:
    assert [share(text) for text in ("20%", "0.2", "0%", "100%", "1", "12.5%")] == [0.2, 0.2, 0.0, 1.0, 1.0, 0.125]


def test_every_format_can_be_chosen() -> None:
    assert set(get_args(get_args(harvest_options.To)[0])) == set(Format)


# -- status ------------------------------------------------------------------------------------------------------------


def test_the_status_says_what_is_held_since_when_and_until_when(desk: Desk) -> None:
    assert desk.harvest() == 0
    sent = len(desk.paths())
    assert desk.status(now=NOON + 60) == 0
    assert re.search(
        rf"^The last run began \d\d:\d\d and sent {sent} requests; all was done\.$", desk.out, re.MULTILINE
    )
    assert re.search(rf"^  activities +{desk.activities()}$", desk.out, re.MULTILINE)
    assert re.search(r"^Held since \d\d:\d\d, kept for 7 days: the oldest until \w", desk.out, re.MULTILINE)
    assert "Nothing is older than the seven days that Strava allows." in desk.out
    assert desk.status(now=NOON + 8 * DAY) == 0
    assert "Older than the seven days that Strava allows: " in desk.out
    assert desk.paths() == []


def test_the_status_as_json(desk: Desk) -> None:
    bad = desk.emulator.world().activities[-1]["id"]
    desk.emulator.faults.add(Fault.status(500, {"message": "error"}), path=f"/activities/{bad}", times=None)
    assert desk.harvest(keep="forever") == 1
    assert desk.status(desk.athlete_id, as_json=True, now=NOON + 8 * DAY) == 0
    (found,) = desk.events()
    assert (found["keep"], found["until"], found["activities"]) == ("forever", None, desk.activities())
    assert found["older_than_7_days"]["activities"] == desk.activities()
    assert [reason["count"] for reason in found["failures"]] == [1]
    assert found["failures"][0]["retry_at"] > found["since"]
    last = found["last_run"]
    assert last["outcome"] == "partial"
    assert NOON <= last["began_at"] <= last["ended_at"] < NOON + 3_600
    assert 0 < last["requests"] <= len(desk.paths())  # repetitions after a failure are not counted


@pytest.mark.parametrize(
    ("ended", "sentence"),
    [
        (None, "and has not ended, or was killed."),
        (Run(NOON, NOON + 9, 1, "cancelled"), "and sent 1 request; it was stopped."),
        (Run(NOON, NOON + 9, 0, "StoreError"), "and sent 0 requests; StoreError ended it."),
    ],
)
def test_the_status_says_how_the_last_run_ended(desk: Desk, ended: Run | None, sentence: str) -> None:
    async def run_once(store: SqliteHarvestStore) -> None:
        number = await store.begin_run(NOON)
        if ended is not None:
            await store.end_run(number, ended)

    anyio.run(run_once, SqliteHarvestStore(desk.path))
    assert desk.status(now=NOON + 2 * DAY) == 0
    assert re.search(rf"^The last run began \w.* \d\d:\d\d,? {re.escape(sentence)}$", desk.out, re.MULTILINE), desk.out
    assert "Nothing is held." in desk.out


def test_there_is_no_status_of_what_is_not_there(desk: Desk) -> None:
    assert desk.status(now=0.0) == 1
    assert desk.err == f"strava-async harvest: there is no harvest in {desk.path}: strava-async harvest makes one\n"
    assert not desk.path.exists()
    assert desk.harvest() == 0
    assert desk.status(5, now=0.0) == 1
    assert "nothing is held of athlete 5" in desk.err


# -- purging and exporting ---------------------------------------------------------------------------------------------


def test_an_athlete_is_purged_when_that_is_confirmed(tmp_path: Path) -> None:
    desk = Desk(tmp_path, athletes=2, years=0.02)
    first, second = desk.emulator.athlete_ids
    assert desk.harvest() == 0
    assert desk.export("csv") == 0
    assert desk.purge(athlete_id=first) == 2
    assert desk.err == "strava-async purge: nobody can be asked whether to delete it: give --yes\n"
    desk.answers = ["n"]
    assert desk.purge(athlete_id=first) == 0
    assert desk.out.endswith("Nothing was deleted.\n")
    desk.answers = ["y"]
    assert desk.purge(athlete_id=first) == 0
    assert desk.out.splitlines()[-1].startswith("Deleted: ")
    assert str(first).encode() not in desk.path.read_bytes()
    left = {path.name for path in (tmp_path / "out" / "activities").iterdir()}
    assert left == {f"athlete_id={second}"}
    assert desk.purge(athlete_id=first, yes=True) == 1
    assert "nothing is held of athlete" in desk.err


def test_what_is_old_is_purged(desk: Desk) -> None:
    assert desk.harvest() == 0
    assert desk.export("jsonl") == 0
    desk.answers = []
    assert desk.purge(older_than="7d", now=NOON + 60) == 0
    assert "Nothing was deleted" in desk.out  # and nobody was asked
    assert desk.purge(older_than="7d", now=NOON + 8 * DAY, yes=True) == 0
    assert anyio.run(SqliteHarvestStore(desk.path).counts).activities == 0
    assert not list((desk.directory / "out").rglob("*.jsonl"))


@pytest.mark.parametrize("given", [{}, {"older_than": "7d", "athlete_id": 1}, {"older_than": "soon"}])
def test_a_purge_says_what_it_needs(desk: Desk, given: dict[str, Any]) -> None:
    assert desk.harvest() == 0
    assert desk.purge(yes=True, **given) == 2
    assert desk.err.startswith("strava-async purge: ")


def test_an_export_says_what_it_has_written(desk: Desk) -> None:
    assert desk.harvest() == 0
    assert desk.export("csv", as_json=True) == 0
    (found,) = desk.events()
    assert found["format"] == "csv"
    assert found["content"]["activities"] == desk.activities()
    assert desk.export("csv") == 0
    assert row("activities", desk.out) == str(desk.activities())
    assert " unchanged" in row("files", desk.out)
    assert desk.export("csv", [5]) == 1
    assert desk.err.startswith("strava-async export: nothing is held of athlete 5")
    assert desk.paths() is not None


def test_kinds_have_names_in_the_results(desk: Desk) -> None:
    assert desk.harvest(kinds="laps") == 0
    assert row(Kind.LAPS, desk.out)


def test_a_repr_shows_no_url_of_a_server() -> None:
    settings = HarvestSettings(Options(), Data(Path("x")), quota="redis://:secret@host")
    assert "secret" not in repr(settings)
    assert harvest.__doc__
