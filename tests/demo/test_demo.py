"""The demo: its story, what it says at the end, and what is left when it is stopped."""

from __future__ import annotations

import contextlib
import io
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from strava_async.demo.run import Settings, main
from strava_async.display.panel import LiveScreen
from strava_async.display.plain import PlainScreen
from strava_async.testing import Emulator, Fault

ROOT = Path(__file__).parent.parent.parent
DAYS = 20
HELD = "select (select count(*) from resources where kind = 'detail'), (select count(*) from resources)"


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute(query).fetchall()


def demo(path: Path, make: Any = Emulator, days: int = DAYS) -> tuple[int, list[str]]:
    """Run a short one, at whose speed the access token ends soon, and return its exit status and its lines."""
    lines: list[str] = []
    settings = Settings(path, days=days, speed=3_000.0)
    return main(settings, PlainScreen(lines.append), make), lines


def row(lines: list[str], name: str) -> str:
    """Return the figure and the remark of a row of the results."""
    (found,) = (line.strip().removeprefix(name) for line in lines if line.startswith(f"  {name} "))
    return " ".join(found.split())


def test_the_demo_harvests_renews_and_finds_nothing_new_the_second_time(tmp_path: Path) -> None:
    path = tmp_path / "demo.sqlite"
    status, lines = demo(path)
    assert status == 0
    assert re.fullmatch(r"06:00:00 \S.* grants activity:read_all, read", lines[0])
    assert any("access token renewed, once for" in line for line in lines)
    count = int(row(lines, "activities").split()[0])
    assert row(lines, "details") == row(lines, "stream sets") == f"{count} {count} new"
    assert row(lines, "429s") == "0"
    assert int(row(lines, "token renewals")) >= 1  # more where the machine is slow
    assert lines[-1].split()[-1] == str(path)
    fetched_at = rows(path, "select kind, id, fetched_at from resources order by 1, 2")
    status, lines = demo(path)
    assert status == 0
    assert row(lines, "details") == row(lines, "stream sets") == f"{count} 0 new"
    assert int(row(lines, "requests")) <= 2
    assert rows(path, "select kind, id, fetched_at from resources order by 1, 2") == fetched_at


def test_more_days_are_more_activities(tmp_path: Path) -> None:
    path = tmp_path / "demo.sqlite"
    demo(path, days=5)
    (few,) = rows(path, HELD)
    status, lines = demo(path)
    (more,) = rows(path, HELD)
    assert status == 0
    assert row(lines, "details") == f"{more[0]} {more[0] - few[0]} new"
    assert more > few


def test_a_demo_that_lacks_something_says_what_and_exits_with_1(tmp_path: Path) -> None:
    def troubled(**options: Any) -> Emulator:
        strava = Emulator(**options)
        number = strava.world().activities[-2]["id"]
        strava.faults.add(Fault.status(500, {"message": "error\x1b[2J"}), path=f"/activities/{number}", times=None)
        return strava

    status, lines = demo(tmp_path / "demo.sqlite", troubled)
    assert status == 1
    assert row(lines, "details").endswith("; 1 missing")
    assert row(lines, "failed").endswith("error\N{REPLACEMENT CHARACTER}[2J")
    status, lines = demo(tmp_path / "demo.sqlite")
    assert status == 1  # Strava's clock says that it is too early to ask again
    assert row(lines, "details").endswith(" 0 new; 1 missing")


def test_on_a_terminal_the_panel_tells_the_same_story(tmp_path: Path) -> None:
    written = io.StringIO()
    console = Console(file=written, width=80, force_terminal=True, color_system=None)
    path = tmp_path / "demo.sqlite"
    assert main(Settings(path, days=5, speed=10_000.0), LiveScreen(console)) == 0
    drawn = written.getvalue()
    parts = ("grants activity:read_all", "strava-async demo", "10000 × as fast", "429s: 0", "windows waited for")
    assert [part for part in parts if part not in drawn] == []
    # A path that does not fit stays whole, so that it can be copied.
    lines = [line for line in drawn.rpartition("\x1b")[2].splitlines() if line != str(path)]
    assert max(map(len, lines)) <= 80


def test_an_error_is_reported_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "demo.sqlite"
    path.write_bytes(b"my thesis\n" * 200)
    assert demo(path)[0] == 1
    assert re.fullmatch(rf"strava-async demo: {re.escape(str(path))} is [^\n]+\n", capsys.readouterr().err)
    assert path.read_bytes() == b"my thesis\n" * 200


@contextlib.contextmanager
def running_demo(path: Path, *options: str) -> Generator[subprocess.Popen[str]]:
    """Start the demo in a process and let it get to work."""
    command = [sys.executable, "-u", "-m", "strava_async", "demo", "--file", str(path), "--speed", "10", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if re.search(r" details [1-9]", line):
                break
        yield process


def test_a_demo_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "demo.sqlite"
    with running_demo(path) as process:
        process.kill()
    had = set(rows(path, "select kind, id, fetched_at from resources"))
    assert had
    assert rows(path, "pragma integrity_check") == [("ok",)]
    status, lines = demo(path)
    assert status == 0
    now = set(rows(path, "select kind, id, fetched_at from resources"))
    assert had <= now
    new = [int(row(lines, name).split()[1]) for name in ("details", "stream sets")]
    assert sum(new) == len(now - had)


def test_ctrl_c_ends_the_demo_with_a_word(tmp_path: Path) -> None:
    path = tmp_path / "demo.sqlite"
    with running_demo(path) as process:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    told = re.fullmatch(
        rf"Stopped\. Added to {re.escape(str(path))}: (\d+) details(?:, (\d+) stream sets)?; "
        r"the same command goes on from there\.\n",
        errors,
    )
    assert told is not None, errors
    assert rows(path, HELD)[0][0] >= int(told[1]) > 0
