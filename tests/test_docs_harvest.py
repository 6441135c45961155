"""What the page about the harvest shows is what happens."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import strava_async
from strava_async import Strava, TokenSet, WebhookEvent
from strava_async.cli.commands import app
from strava_async.display import events
from strava_async.harvest import Counts, Followed
from strava_async.harvest.estimate import Work, estimated
from strava_async.harvest.kinds import RULES
from strava_async.harvest.listing import PER_PAGE, renewal_seconds
from strava_async.harvest.plan import Plan
from strava_async.harvest.sqlite_schema import SCHEMA
from strava_async.quota.readings import Meter, Quota
from strava_async.testing import Emulator, MeterLimits, serve
from tests import typed_blocks
from tests.environment import clean_environment

PAGE = (Path(__file__).parent.parent / "docs" / "harvest.md").read_text(encoding="utf-8")
README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
PROGRAM, *BLOCKS = typed_blocks.blocks_of("docs/harvest.md")
DAY = 86_400.0
MIDNIGHT = 20_000 * DAY
ROOM = MeterLimits(10**6, 10**6, 10**6, 10**6)


def test_the_program_harvests_and_finds_nothing_to_do_when_it_runs_again(tmp_path: Path) -> None:
    def run() -> list[str]:
        command, environment = [sys.executable, "-c", PROGRAM], clean_environment(PYTHONWARNINGS="error")
        ended = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=True
        )
        assert ended.stderr == ""
        return ended.stdout.splitlines()

    held, first = run()
    assert re.fullmatch(r"([1-9]\d*) activities, \1 details, [1-9]\d* sets of streams", held)
    assert first.startswith("complete: True with ")
    assert run() == [held, "complete: True with 2 requests"]


@pytest.mark.asyncio
async def test_the_other_blocks_run_one_after_the_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    emulator = Emulator(years=0.1, limits=ROOM, longest_seconds=600.0)
    granted = emulator.grant(athlete_id := emulator.athlete_ids[0])
    token = TokenSet(granted["access_token"], granted["refresh_token"], granted["expires_at"], athlete_id=athlete_id)
    async with serve(emulator) as url:
        urls = {"api_url": f"{url}/api/v3", "oauth_url": f"{url}/oauth"}
        async with Strava(emulator.client_id, emulator.client_secret, **urls) as strava:
            await strava.token_store.save(athlete_id, token)
            await strava_async.SqliteTokenStore(tmp_path / "tokens.sqlite").save(athlete_id, token)
            names: dict[str, Any] = {name: getattr(strava_async, name) for name in strava_async.__all__}
            names |= {"strava": strava, "urls": urls, "path": tmp_path / "h.sqlite", "athlete_id": athlete_id}
            names |= {"client_id": emulator.client_id, "client_secret": emulator.client_secret, "verify_token": "any"}
            names |= {"closing": closing, "sqlite3": sqlite3, "Path": Path}
            for block in BLOCKS:
                block = re.sub(r'"([a-z]+(?:\.sqlite|s))"(?=[,)])', rf'"{tmp_path}/\1"', block)
                running = eval(compile(block, "harvest.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
                if inspect.isawaitable(running):
                    await running
                if "on_event" in block:
                    await _check_events(names, emulator)
    shown = capsys.readouterr().out
    assert "requests, done at 2" in shown
    assert "streams: 1 of " in shown
    assert "in use: process" not in shown
    assert len(re.findall(r"^\d{4}-\d\d \d+$", shown, re.M)) >= 3  # kilometers by week
    assert f"{emulator.world().activities[-2]['name']} " in shown
    assert (await names["store"].counts()).activities == 0
    assert {served.status_code for served in emulator.requests} <= {200, 404}
    assert not re.search(r"\b1\d{9}\b", shown)


async def _check_events(names: dict[str, Any], emulator: Emulator) -> None:
    number, athlete_id = emulator.record_activity(), emulator.athlete_ids[0]
    event = WebhookEvent("activity", number, "create", athlete_id, 1, 1_700_000_000)
    assert await names["harvest"].follow(event) == Followed.QUEUED
    await names["on_event"](event)
    assert (await names["store"].state(athlete_id)).checks == (number,)
    assert {route.path for route in names["webhooks"].routes} == {"/nobody-guesses-it"}


def test_the_page_names_all_kinds_and_columns() -> None:
    named = set(re.findall(r"`(\w+)`", PAGE))
    assert {name for name in Plan.__dataclass_fields__ if name not in ("since", "sport_types")} <= named
    assert {"since=", "sport_types="} <= set(re.findall(r"`(\w+=)`", PAGE))
    assert set(RULES) <= named | {"detail", "streams"}
    assert set(SCHEMA.tables) <= named
    with closing(sqlite3.connect(":memory:")) as db:
        for statements in SCHEMA.tables.values():
            db.executescript(statements)
        columns = {row[1] for table in ("activities", "resources") for row in db.execute(f"pragma table_info({table})")}
    assert columns - named == {"start", "has_distance", "stamps", "stamp", "empty", "seen_in"}


def test_the_commands_that_are_shown_are_understood() -> None:
    command = get_command(app)
    shown = [
        *re.findall(r"^\$ strava-async (.*?)(?: +#.*)?$", PAGE, re.M),
        *re.findall(r"`strava-async (harvest --.*?)`", README),
    ]
    assert len(shown) == 5 + 1
    for line in shown:
        name, *arguments = shlex.split(line)
        command.commands[name].make_context(name, [*arguments])  # raises for what it does not know
    named = set(re.findall(r"`(--[a-z-]+)", PAGE))
    known = {option for each in command.commands.values() for parameter in each.params for option in parameter.opts}
    assert named - known == {"--help"}


def test_the_page_has_the_events_of_the_command_line() -> None:
    told = re.findall(r"^``(\w+)``  ", events.__doc__ or "", re.M)
    assert told == re.findall(r"^\| `(message|progress|waiting|estimate|failure|end)` \|", PAGE, re.M)
    fields = re.findall(r"``(\w+)``", events.__doc__ or "")
    assert set(fields) <= set(re.findall(r"`(\w+)`", PAGE)) | set(Counts.__dataclass_fields__)


def _quota(reads: int) -> Quota:
    quarter, day = (Meter(limit, 0, 0, MIDNIGHT + length) for limit, length in ((reads // 10, 900), (reads, DAY)))
    return Quota(read_15min=quarter, read_day=day, overall_15min=quarter, overall_day=day)


def _days(athletes: int, activities: int, per_activity: int, reads: int, keep: float | None) -> float | None:
    requests = athletes * (activities * per_activity + activities // PER_PAGE + 1)
    work = Work([MIDNIGHT] * requests, athletes, athletes * activities, renewal_seconds(keep))
    done_at = estimated(work, _quota(reads), MIDNIGHT, unlisted=0).done_at
    return None if done_at is None else (done_at - MIDNIGHT) / DAY


@pytest.mark.parametrize(
    ("athletes", "reads", "told"),
    [
        (1, 1_000, "2 days"),
        (10, 1_000, "20 days"),
        (10, 3_000, "6 days"),
        (100, 3_000, "73 days"),
        (100, 30_000, "6 days"),
    ],
)
def test_it_takes_as_long_as_the_page_says(athletes: int, reads: int, told: str) -> None:
    days = _days(athletes, 1_000, 2, reads, None)
    assert days is not None
    assert f"{days:.0f} days" == told
    (row,) = re.findall(rf"^\| {athletes} athletes?(?: with .*)? \|.*\|$", PAGE, re.M)
    column = {1_000: 3, 3_000: 4, 30_000: 5}[reads]
    assert row.split("|")[column].strip() == told


def test_seven_days_hold_what_six_days_fetch() -> None:
    assert _days(1, 2_900, 2, 1_000, 7 * DAY) is not None
    assert _days(1, 3_000, 2, 1_000, 7 * DAY) is None
