"""A harvest on a terminal, drawn with rich."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from strava_async.demo.frame import Frame, Outcome, fits, on_the_clock, plural, results, span
from strava_async.demo.harvest import Kind, Part, Progress
from strava_async.quota.readings import Meter, Quota

WIDEST = 100
ACCENT = "#fc4c02"
_NAME_WIDTH = 15
_FIGURE_WIDTH = 14
_REMARK_WIDTH = 13
_METERS = (
    ("read 15 min", "read_15min"),
    ("read day", "read_day"),
    ("overall 15 min", "overall_15min"),
    ("overall day", "overall_day"),
)


class LiveScreen:
    """A ``Screen`` that keeps a panel up to date.

    Args:
        console: the terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="visible")

    def say(self, text: str) -> None:
        """Print a line, above the panel if there is one."""
        self._console.print(Text.assemble(("✓ ", ACCENT), text))

    def show(self, frame: Frame) -> None:
        """Redraw the panel."""
        # Room for a ^C that the terminal echoes: on a line of its own it would shift the panel.
        self._live.update(panel(frame, min(self._console.width - 2, WIDEST)), refresh=True)

    def finish(self, outcome: Outcome) -> None:
        """Print the results below the panel."""
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim")
        table.add_column(justify="right", style="bold")
        table.add_column()
        for row in results(outcome):
            table.add_row(*row)
        self._console.print()
        if not fits(outcome.path):
            self._console.print(Text(str(outcome.path)), soft_wrap=True)
        self._console.print(table)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


def panel(frame: Frame, width: int) -> Panel:
    """Return the drawing of a frame, that many columns wide."""
    progress = frame.progress
    bar_width = max(8, width - 4 - _NAME_WIDTH - _FIGURE_WIDTH - _REMARK_WIDTH - 3)
    rows = _grid()
    rows.add_row("activities", _list_bar(progress, bar_width), f"{progress.listed:,}", f"{progress.new:,} new")
    for name, kind in (("details", Kind.DETAIL), ("stream sets", Kind.STREAMS)):
        part = progress.parts[kind]
        rows.add_row(name, _part_bar(part, bar_width), f"{part.done:,} / {part.wanted:,}", _part_remark(part))
    meters = _grid()
    for name, attribute in _METERS:
        meters.add_row(*_meter_row(name, _meter(frame.quota, attribute), bar_width))
    body: list[RenderableType] = [rows, Text(), meters, Text(), _wait_line(frame), _traffic_line(frame)]
    return Panel(
        Group(*body),
        title=Text.assemble(("strava-async", f"bold {ACCENT}"), " demo"),
        title_align="left",
        subtitle=f"{on_the_clock(frame.now)} UTC, {frame.speed:g} × as fast as yours",
        subtitle_align="right",
        border_style="dim",
        width=width,
    )


def _grid() -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=_NAME_WIDTH, no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(width=_FIGURE_WIDTH, justify="right", no_wrap=True)
    table.add_column(width=_REMARK_WIDTH, justify="right", style="dim", no_wrap=True)
    return table


def _bar(width: int, *pieces: tuple[float, str]) -> Text:
    """Return a line of that width, whose pieces (a share of it and a style) are heavy; the rest is thin."""
    bar = Text()
    reached, drawn = 0.0, 0
    for share, style in pieces:
        reached = min(1.0, reached + share)
        end = max(drawn, round(reached * width))
        bar.append("━" * (end - drawn), style)
        drawn = end
    bar.append("─" * (width - drawn), "dim")
    return bar


def _list_bar(progress: Progress, width: int) -> Text:
    # Strava does not say how long the list is: half a bar until its end is seen.
    share = 1.0 if progress.list_complete else 0.5 if progress.listed else 0.0
    return _bar(width, (share, "green" if progress.list_complete else ACCENT))


def _part_bar(part: Part, width: int) -> Text:
    whole = part.wanted or 1
    return _bar(
        width, (part.kept / whole, "cyan"), (part.added / whole, "green" if part.done == part.wanted else ACCENT)
    )


def _part_remark(part: Part) -> str:
    if part.failed:
        return f"{part.failed:,} failed"
    if part.empty:
        return f"{part.empty} empty"
    return f"{part.kept:,} kept" if part.kept else ""


def _meter(quota: Quota, attribute: str) -> Meter:
    meter: Meter = getattr(quota, attribute)
    return meter


def _meter_row(name: str, meter: Meter, width: int) -> tuple[str, Text, str, str]:
    resets = f"resets {on_the_clock(meter.resets_at)[:5]}"
    if not meter.limit or meter.usage is None:
        return name, _bar(width), "unknown", resets
    used = meter.usage / meter.limit
    style = "red" if meter.usage >= meter.limit else "yellow" if used > 0.8 else "green"
    bar = _bar(width, (used, style), (meter.reserved / meter.limit, "bright_black"))
    return name, bar, f"{meter.usage:,} / {meter.limit:,}", resets


def _wait_line(frame: Frame) -> Text:
    waiting = frame.waiting
    if waiting is None:
        in_flight = frame.quota.read_15min.reserved
        return Text(f"{plural(in_flight, 'request')} in flight" if in_flight else " ", "dim")
    line = Text.assemble(("waiting for the next window: ", "yellow"), (span(waiting.seconds), "bold yellow"))
    line.append(f" ({waiting.seconds / frame.speed:.0f} s here), {plural(waiting.calls, 'call')} in line", "yellow")
    return line


def _traffic_line(frame: Frame) -> Text:
    traffic = frame.traffic
    rate = f"{frame.rate:.0f}/s ({frame.rate / frame.speed:.1f}/s on its clock)"
    text = f"{plural(traffic.requests, 'request')}, {rate}; 429s: {traffic.refused}; token renewals: {traffic.renewals}"
    return Text(text, no_wrap=True, overflow="ellipsis")
