"""The panel: what it shows, and that it fits."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from strava_async.display.frame import Frame, Heading, Result, Waiting
from strava_async.display.panel import LiveScreen, panel
from strava_async.harvest import Estimate, Kind, KindProgress, Outcome
from tests.display.frames import COUNTS, KINDS, NOON, NOW, WAITING, counts, failure, frame

BIG = {Kind.DETAIL: KindProgress(1_234_567, 234_567, 0, 1_200), Kind.STREAMS: KindProgress(1_234_567, 34_567, 12)}
HOSTILE = "500 for GET /activities/{}: 競技データがありません \x1b[2J\u202egnol \ud800 [bold]markup[/bold] " + "x" * 500


def drawn(shown: Frame, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False)
    console.print(panel(shown, width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


AT_80 = """\
╭─ strava-async harvest → rides.sqlite ────────────────────────────────────────╮
│ athletes       ━━━━━━━━━━━─────────────────────          1 / 3               │
│ activities     ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━          1,202    all listed │
│ details        ━━━━━━━━━━━━━━━━━━━─────────────    700 / 1,202               │
│ stream sets    ━━━─────────────────────────────     98 / 1,180   2 not ready │
│                                                                              │
│ read 15 min    ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━      200 / 200  resets 12:00 │
│ read day       ━━━━━━━━━━━━━───────────────────    812 / 2,000  resets 00:00 │
│ overall 15 min ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━      200 / 200  resets 12:00 │
│ overall day    ────────────────────────────────        unknown  resets 00:00 │
│                                                                              │
│ waiting until 12:00:00 (4:12): read 15 min is spent                          │
│ done 14:00, in 2:04:12                                                       │
│ 1,590 requests                                                               │
╰─────────────────────────────────────────────────────────────────── 11:55:48 ─╯"""


def test_the_panel_at_80_columns() -> None:
    assert "\n".join(drawn(frame(waiting=WAITING), 80)) == AT_80


@pytest.mark.parametrize("width", [60, 80, 110, 118])
def test_every_line_is_as_wide_as_the_panel_whatever_is_in_it(width: int) -> None:
    long = frame(
        kinds=BIG,
        activities=1_234_567,
        athletes=12_000,
        athletes_total=12_345,
        athletes_listed=12_001,
        counts=counts(failed=1_300),
        failures=tuple(failure(HOSTILE.format(number)) for number in range(5)),
        estimate=Estimate(2_400_000, NOW + 200 * 86_400, 344, True),
        note=HOSTILE,
        heading=Heading(HOSTILE, "走行\x1b[2J.sqlite", remark=HOSTILE),
    )
    for shown in (frame(), frame(waiting=WAITING), long):
        lines = drawn(shown, width)
        assert {cell_len(line) for line in lines} == {width}
        assert all(character.isprintable() for line in lines for character in line)
    assert len(drawn(long, width)) == len(drawn(frame(), width)) + 3  # a note and two reasons


def test_a_long_wait_fits_60_columns() -> None:
    lines = drawn(frame(waiting=Waiting("read_day", NOON + 43_200, 20)), 60)
    assert any("waiting until Tue 2 Jun 00:00 (12 h): read day is spent" in line for line in lines)


def test_at_the_end_nothing_is_estimated() -> None:
    shown = "\n".join(drawn(frame(athletes=0, asking=0), 80))
    assert "nothing left to ask for now" in shown
    assert "1,590" not in shown


@pytest.mark.parametrize("width", [60, 80, 110])
def test_no_sentence_is_cut_off(width: int) -> None:
    estimates = [
        (Estimate(12, NOW, 0, True), "done within this quarter hour"),
        (Estimate(2_400_000, NOW + 200 * 86_400, 344, True), "done about Fri 18 Dec 11:55, in 200 d"),
        (Estimate(12, NOW, 0, True), "done within this quarter hour"),
        (Estimate(2_400_000, NOW + 200 * 86_400, 344, True), "about 2,400,000 requests, 344 lists to read"),
        (Estimate(200, NOW + 60, 0, False), "200 requests, with a new application's quota"),
        (Estimate(200, None, 0, True), "never done: the quota does not suffice"),
        (Estimate(200, None, 2, True), "perhaps never done: 2 lists are to be read first"),
        (Estimate(0, NOW, 0, True), "nothing left to ask for now"),
        (None, "estimating when it is done"),
    ]
    for estimate, text in estimates:
        listed = 400 - (0 if estimate is None else estimate.unlisted)
        drawing = frame(estimate=estimate, waiting=WAITING, athletes_total=400, athletes_listed=listed)
        shown = "\n".join(drawn(drawing, width))
        assert text in shown
        assert "waiting until 12:00:00 (4:12): read 15 min is spent" in shown
        assert "…" not in shown


def test_an_estimate_from_before_the_lists_were_read_does_not_say_that_they_are_to_be_read() -> None:
    shown = "\n".join(drawn(frame(estimate=Estimate(2_400, NOW + 7_200, 3, True)), 80))
    assert "about 2,400 requests" in shown
    assert "lists to read" not in shown


def test_the_columns_of_both_tables_stand_below_each_other() -> None:
    lines = [line for line in drawn(frame(kinds=BIG), 80) if "━" in line or "─── " in line]
    bars = [(line.index("━"), len(line) - len(line.lstrip("│ "))) for line in lines[1:-1] if "━" in line]
    assert len({start for start, _ in bars}) == 1
    ends = {line.rindex("resets") for line in lines if "resets" in line}
    assert len(ends) == 1


def test_what_there_is_no_room_for_is_left_out_whole() -> None:
    narrow = drawn(frame(kinds=BIG), 60)
    assert any("234,567 / 1,234,567" in line for line in narrow)
    assert not any("1,200 failed" in line for line in narrow)
    narrower = drawn(frame(kinds=BIG), 44)
    assert any("234,567 / 1,234,567" in line for line in narrower)


def test_failures_are_counted_by_reason_and_not_by_id() -> None:
    failures = [*(failure(f"500 for GET /activities/{n}/streams: error", n) for n in range(7)), failure("timed out")]
    shown = "\n".join(drawn(frame(counts=counts(failed=9), failures=tuple(failures)), 80))
    assert "7 × 500 for GET /activities/{id}/streams: error" in shown
    assert "1 × timed out" in shown
    assert "1 × other reasons" in shown


def test_before_anything_has_come_the_meters_are_there() -> None:
    shown = frame()
    lines = drawn(Frame(shown.heading, shown.now, 0.0, None, shown.quota), 80)
    assert "beginning" in lines[1]
    assert any("read 15 min" in line for line in lines)


def test_the_list_is_read_to_an_unknown_end() -> None:
    lines = drawn(frame(athletes_total=1, athletes=1, athletes_listed=0, activities=0, kinds={}), 80)
    assert "athletes" not in lines[1]
    assert "1,202" in lines[1]
    assert "listing" in lines[1]


def test_the_live_screen_draws_in_place_and_leaves_the_last_frame() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    with LiveScreen(console) as screen:
        screen.say("something\x1b[2J happened")
        screen.show(frame())
        screen.show(frame(kinds=BIG))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "\x1b[2J" not in shown
    assert shown.index("something") < shown.index("700 / 1,202") < shown.index("234,567 / 1,234,567")
    assert shown.endswith("\x1b[?25h")  # the cursor is back


@pytest.mark.parametrize(
    "place", ["rides.sqlite", "/a-rather-long/name-of-a-folder/and/the-name-of-a-file-in-it.sqlite"]
)
def test_the_results_break_no_name_of_a_file_and_fit_80_columns(place: str) -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    outcome = Outcome(False, NOON, counts(failed=1, gone=2, purged=3), (failure(HOSTILE),))
    LiveScreen(console).finish(Result(outcome, frame(heading=Heading("harvest", place), kinds=KINDS)))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert sum(place in line for line in lines) == 1
    assert max(cell_len(line) for line in lines) <= 80
    assert COUNTS.requests == 812
    assert "812" in "\n".join(lines)
