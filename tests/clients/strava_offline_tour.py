"""strava-offline: its command line, with its login in a browser, a renewal, the reports, and GPX of the website."""

import json
import os
import pty
import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path

import led

FOLDER = Path(led.TOUR["folder"])
TOKEN, DATABASE = FOLDER / "token.json", FOLDER / "strava.sqlite"
LED = "import led; led.lead_requests(); from strava_offline.cli import cli; cli()"
tour = led.Tour()


def run(*arguments: str) -> str:
    """Run the command on a terminal: it does not log in without one."""
    keys = ("--client-id", str(led.TOUR["client_id"]), "--client-secret", led.TOUR["client_secret"])
    own = (*keys, "--token-file", str(TOKEN), "--http-port", led.TOUR["free_port"]) if arguments[0] == "sqlite" else ()
    theirs, ours = pty.openpty()
    environment = {**os.environ, "BROWSER": f"{sys.executable} {Path(__file__).parent / 'browser.py'} %s"}
    command = [sys.executable, "-c", LED, arguments[0], *own, "--database", str(DATABASE), *arguments[1:]]
    try:
        done = subprocess.run(
            command, stdin=ours, capture_output=True, text=True, timeout=90, env=environment, cwd=Path(__file__).parent
        )
    finally:
        os.close(theirs)
        os.close(ours)
    if done.returncode:
        raise RuntimeError((done.stdout + done.stderr).strip()[-500:])
    return done.stdout


def rows() -> int:
    with closing(sqlite3.connect(DATABASE)) as database:
        return database.execute("SELECT count(*) FROM activity").fetchone()[0]


def first() -> None:
    run("sqlite")
    led.expect(rows() == led.TOUR["activities"], f"{led.TOUR['activities']} activities, not {rows()}")


def renewed() -> None:
    token = json.loads(TOKEN.read_text())
    TOKEN.write_text(json.dumps({**token, "expires_at": 1, "expires_in": -1}))
    run("sqlite", "--full")
    led.expect(json.loads(TOKEN.read_text())["expires_at"] > 1, "a renewed token")
    led.expect(rows() == led.TOUR["activities"], f"{led.TOUR['activities']} activities, not {rows()}")


def reported(report: str) -> None:
    led.expect(len(run(report).splitlines()) > 2, "a table")


def website() -> None:
    run("gpx", "--strava4-session", "x", "--dir-activities", str(FOLDER / "gpx"))


tour.step("login and activities", first)
tour.step("renewal, and all again", renewed)
for report in ("report-yearly", "report-yearly-bikes", "report-bikes"):
    tour.step(report, partial(reported, report))
tour.step("gpx of the website", website)
