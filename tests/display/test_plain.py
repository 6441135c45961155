"""A harvest as lines, and as events."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from strava_async.display.events import EventScreen
from strava_async.display.frame import Heading, Result, Row, Waiting
from strava_async.display.plain import PlainScreen
from strava_async.display.wording import date_and_time, fitted, plural, span
from strava_async.harvest import Estimate, Kind, KindProgress, Outcome
from tests.display.frames import COUNTS, ESTIMATE, HEADING, NOON, NOW, WAITING, counts, failure, frame

LINE = (
    "11:55:48 athletes 1/3, details 700/1202, stream sets 98/1180, read_15min 200/200, read_day 812/2000"
    "{}; done 14:00, in 2:04:12: 1,590 requests"
)


def test_there_is_one_line_a_minute() -> None:
    lines: list[str] = []
    screen = PlainScreen(lines.append)
    for second in range(121):
        screen.show(frame(elapsed=float(second)))
    assert lines == [LINE.format("")] * 3


def test_a_wait_is_told_of_when_it_begins_and_each_quarter_of_an_hour() -> None:
    lines: list[str] = []
    screen = PlainScreen(lines.append)
    screen.show(frame())
    day = Waiting("read_day", NOON + 43_200, 20)
    for minute in range(31):
        screen.show(frame(elapsed=10.0 + 60 * minute, waiting=replace(day, until=day.until + minute / 10)))
    assert len(lines) == 1 + 3
    assert ", waiting until Tue 2 Jun 00:00 (12 h): read day is spent; " in lines[1]
    screen.show(frame(elapsed=2_000.0))
    assert len(lines) == 5


def test_short_waits_and_those_for_the_reserve_do_not_fill_a_log() -> None:
    lines: list[str] = []
    screen = PlainScreen(lines.append)
    for second in range(60):
        screen.show(frame(elapsed=float(second), waiting=Waiting("read_15min", NOW + second, 1)))
        screen.show(frame(elapsed=float(second), waiting=Waiting("read_day", NOW + 600 + 70 * second, 1, True)))
    assert len(lines) == 1


def test_events_and_results_are_lines_without_control_characters() -> None:
    lines: list[str] = []
    screen = PlainScreen(lines.append)
    with screen:
        screen.say("renewed\x1b[2J")
    outcome = Outcome(False, NOON, counts(failed=2), (failure("no\x1b[2J"), failure("no\x1b[2J")))
    screen.finish(Result(outcome, frame(), [Row("token renewals", "1")]))
    assert lines == [
        "renewed\N{REPLACEMENT CHARACTER}[2J",
        "  activities         1,202  1,202 listed",
        "  details              700  700 new; 502 missing",
        "  stream sets           98  98 new; 1,082 missing",
        "  requests             812",
        "  failed                 2  2 × no\N{REPLACEMENT CHARACTER}[2J",
        "  token renewals         1",
        "  kept in                   rides.sqlite",
    ]


def test_a_long_name_of_a_file_is_a_line_of_its_own() -> None:
    lines: list[str] = []
    place = "/a-rather-long/name-of-a-folder/and/the-name-of-a-file-in-it.sqlite"
    PlainScreen(lines.append).finish(Result(Outcome(True, None, COUNTS, ()), frame(heading=Heading("harvest", place))))
    assert lines[-1] == place
    assert max(map(len, lines)) <= 80


# -- events ------------------------------------------------------------------------------------------------------------


class Machine:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.screen = EventScreen(self.lines.append, lambda: NOW)

    def taken(self) -> list[dict[str, Any]]:
        events = [json.loads(line) for line in self.lines]
        self.lines.clear()
        return events

    def names(self) -> list[str]:
        return [event["event"] for event in self.taken()]


def test_progress_is_an_event_once_a_second_and_when_something_has_changed() -> None:
    machine = Machine()
    machine.screen.show(frame(estimate=None))
    (event,) = machine.taken()
    assert event == {
        "event": "progress",
        "at": NOW,
        "athletes": 2,
        "athletes_total": 3,
        "athletes_listed": 3,
        "activities": 1_202,
        "kinds": {
            "detail": {"wanted": 1_202, "held": 700, "pending": 0, "failed": 0},
            "streams": {"wanted": 1_180, "held": 98, "pending": 2, "failed": 0},
        },
        "counts": {
            "requests": 812,
            "listed": 1_202,
            "stored": {"detail": 700, "streams": 98},
            "none": 3,
            "pending": 2,
            "gone": 0,
            "failed": 0,
            "purged": 0,
        },
        "quota": event["quota"],
    }
    assert event["quota"]["read_day"] == {"limit": 2_000, "usage": 812, "reserved": 4, "resets_at": NOON + 43_200}
    machine.screen.show(frame(estimate=None, activities=2, elapsed=0.5))
    assert machine.names() == []
    same = frame(estimate=None, activities=3, elapsed=1.0)
    machine.screen.show(same)
    machine.screen.show(replace(same, elapsed=5.0))
    assert machine.names() == ["progress"]


def test_waits_and_estimates_are_events_when_they_are_new() -> None:
    machine = Machine()
    for _ in range(2):
        machine.screen.show(frame(waiting=WAITING))
        machine.screen.show(frame(waiting=replace(WAITING, until=WAITING.until + 0.2), estimate=replace(ESTIMATE)))
        machine.screen.show(
            frame(waiting=Waiting("read_day", NOW + 5, 3, True), estimate=replace(ESTIMATE, requests=9))
        )
    assert machine.names() == ["progress", "estimate", "waiting", "waiting"]
    machine.screen.show(frame(estimate=Estimate(7, None, 0, True)))
    assert machine.taken()[-1] == {
        "event": "estimate",
        "at": NOW,
        "requests": 7,
        "done_at": None,
        "unlisted": 0,
        "quota_is_known": True,
    }


def test_each_failure_is_an_event_once() -> None:
    machine = Machine()
    first, second = failure("a\x1b\ud800", 1), failure("b", 2)
    machine.screen.show(frame(counts=counts(failed=1), failures=(first,)))
    machine.screen.show(frame(counts=counts(failed=2), failures=(first, second), elapsed=0.1))
    told = [event for event in machine.taken() if event["event"] == "failure"]
    assert [event["key"] for event in told] == ["1", "2"]
    assert told[0] == {
        "event": "failure",
        "at": NOW,
        "athlete_id": 7,
        "kind": "detail",
        "key": "1",
        "reason": "a\x1b\ud800",
    }
    machine.screen.show(frame(counts=counts(failed=5_000), failures=(second,) * 1_000, elapsed=0.2))
    assert machine.names().count("failure") == 1_000


def test_every_line_is_ascii() -> None:
    machine = Machine()
    with machine.screen as screen:
        screen.say("競技\n\x1b[2J\ud800")
        screen.show(frame(counts=counts(failed=1), failures=(failure("競技\n\x1b[2J"),)))
        screen.finish(Result(Outcome(True, None, COUNTS, (), NOON), frame(kinds={Kind.GEAR: KindProgress(1, 1)})))
    assert all(line.isascii() and line.isprintable() for line in machine.lines)
    end = machine.taken()[-1]
    assert (end["event"], end["complete"], end["resume_at"], end["quota_at"]) == ("end", True, None, NOON)
    assert end["kinds"] == {"gear": {"wanted": 1, "held": 1, "pending": 0, "failed": 0}}


def test_the_documents_name_every_event_and_field() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "harvest.md").read_text(encoding="utf-8")
    table = page[page.index("| `event` | fields |") :].split("\n\n")[0]
    told = {row.split("`")[1]: set(re.findall(r"`(\w+)`", row)) for row in table.splitlines()[2:]}
    machine = Machine()
    machine.screen.say("renewed")
    machine.screen.show(frame(waiting=WAITING, counts=counts(failed=1), failures=(failure("no"),)))
    machine.screen.finish(Result(Outcome(True, None, COUNTS, ()), frame()))
    events = {event.pop("event"): event for event in machine.taken()}
    assert told.keys() == events.keys()
    for name, event in events.items():
        assert event.keys() - {"at"} <= told[name]
    assert events["progress"]["kinds"]["detail"].keys() <= told["progress"]
    assert events["progress"]["quota"]["read_day"].keys() <= told["progress"]


# -- words -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0:00"),
        (252.4, "4:12"),
        (3_599.6, "1:00:00"),
        (43_449, "12:04:09"),
        (2 * 86_400 + 4 * 3_600, "2 d 4 h"),
        (200 * 86_400, "200 d"),
    ],
)
def test_a_span_is_written_as_on_a_watch(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_an_instant_has_a_date_where_it_is_not_today() -> None:
    zone = HEADING.zone
    assert date_and_time(NOON, NOW, zone) == "12:00"
    assert date_and_time(NOON + 86_400, NOW, zone) == "Tue 2 Jun 12:00"
    assert date_and_time(NOON + 300 * 86_400, NOW, zone) == "2027-03-28 12:00"
    assert date_and_time(1e15, NOW, zone).startswith("9999-")


def test_a_noun_goes_with_its_count() -> None:
    assert [plural(1, "call"), plural(2_000, "call"), plural(2, "activity", "activities")] == [
        "1 call",
        "2,000 calls",
        "2 activities",
    ]


def test_a_line_ends_between_words() -> None:
    assert fitted("a long-word b", 5).splitlines() == ["a", "long-word", "b"]
