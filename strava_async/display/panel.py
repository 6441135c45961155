"""A harvest on a terminal, drawn with rich."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Self

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from strava_async.display.frame import Frame, Result
from strava_async.display.wording import (
    METERS,
    clock_time,
    done_text,
    fits,
    meters_of,
    noun,
    plural,
    printable,
    reasons,
    remark_of,
    results,
    wait_text,
)
from strava_async.harvest.outcome import KindProgress, Progress
from strava_async.quota.readings import Meter

WIDEST = 110
ACCENT = "#fc4c02"
_LEAST_FIGURE, _LEAST_REMARK, _LEAST_BAR = 14, 13, 8
_BORDER, _GAPS = 4, 3
_NEARLY_SPENT = 0.8


class LiveScreen:
    """A ``Screen`` that keeps a panel up to date.

    Args:
        console: the terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    def say(self, text: str) -> None:
        """Print a line, above the panel if there is one."""
        self._console.print(Text.assemble(("• ", ACCENT), printable(text)))

    def show(self, frame: Frame) -> None:
        """Redraw the panel."""
        # Room for a ^C that the terminal echoes: on a line of its own it would shift the panel.
        self._live.update(panel(frame, min(self._console.width - 2, WIDEST)), refresh=True)

    def finish(self, result: Result) -> None:
        """Print the results below the panel."""
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(justify="right", style="bold", no_wrap=True)
        table.add_column()
        for row in results(result):
            table.add_row(Text(row.name), Text(row.figure), Text(row.remark))
        place = printable(result.frame.heading.place)
        if fits(place):
            table.add_row("kept in", "", Text(place))
        self._console.print()
        self._console.print(table)
        if not fits(place):
            self._console.print(Text(place), soft_wrap=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


class _Line(NamedTuple):
    """A line with a bar: its pieces are shares of it with a style, from the left."""

    name: str
    pieces: Sequence[tuple[float, str]]
    figure: str
    remark: str


def panel(frame: Frame, width: int) -> Panel:
    """Return the drawing of a frame, that many columns wide."""
    heading, progress = frame.heading, frame.progress
    above = [] if progress is None else [*_athletes(progress), _activities(progress), *_kinds(progress)]
    below = [_meter(name, meter, frame) for name, meter in meters_of(frame.quota).items()]
    grids = _grids([above, below], width - _BORDER)
    body: list[RenderableType] = [grids[0] if above else Text("beginning", "dim"), Text(), grids[1], Text()]
    when, what = done_text(frame)
    body += [_one_line(_wait_line(frame)), _one_line(Text(when, "bold")), _one_line(Text(what or " ", "dim"))]
    if frame.note:
        body.append(_one_line(Text(printable(frame.note), "dim")))
    if progress is not None and progress.counts.failed:
        body += [_one_line(Text(f"failed: {each}", "red")) for each in _failures(progress)]
    now = clock_time(frame.now, heading.zone)
    title = Text.assemble(("strava-async", f"bold {ACCENT}"), f" {printable(heading.title)}")
    if fits(heading.place):
        title.append(f" → {printable(heading.place)}")
    return Panel(
        Group(*body),
        title=title,
        title_align="left",
        subtitle=Text(f"{now}, {printable(heading.remark)}" if heading.remark else now),
        subtitle_align="right",
        border_style="dim",
        width=width,
    )


def _grids(groups: Sequence[Sequence[_Line]], width: int) -> list[Table]:
    """Return a table of each group of lines; all have the same columns.

    What there is no room for is left out: first the remarks, then the bars.
    """
    lines = [line for group in groups for line in group]
    names = max((cell_len(line.name) for line in lines), default=0)
    figures = max(_LEAST_FIGURE, *(cell_len(line.figure) for line in lines))
    remarks = max(_LEAST_REMARK, *(cell_len(line.remark) for line in lines))
    bar = width - names - figures - remarks - _GAPS
    if bar < _LEAST_BAR:
        remarks, bar = 0, bar + remarks + 1
    if bar < _LEAST_BAR:
        bar = 0
    return [_grid(group, names, bar, figures, remarks) for group in groups]


def _grid(lines: Sequence[_Line], names: int, bar: int, figures: int, remarks: int) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=names, no_wrap=True)
    if bar:
        table.add_column(width=bar, no_wrap=True)
    table.add_column(width=figures, justify="right", no_wrap=True)
    if remarks:
        table.add_column(width=remarks, justify="right", style="dim", no_wrap=True)
    for line in lines:
        cells = [Text(line.name), *([_bar(bar, line.pieces)] if bar else []), Text(line.figure)]
        table.add_row(*cells, *([Text(line.remark)] if remarks else []))
    return table


def _bar(width: int, pieces: Sequence[tuple[float, str]]) -> Text:
    """Return a line of that width, whose pieces are heavy; the rest is thin."""
    bar = Text()
    reached, drawn = 0.0, 0
    for share, style in pieces:
        reached = min(1.0, reached + share)
        end = max(drawn, round(reached * width))
        bar.append("━" * (end - drawn), style)
        drawn = end
    bar.append("─" * (width - drawn), "dim")
    return bar


def _athletes(progress: Progress) -> list[_Line]:
    done, total = progress.athletes_total - progress.athletes, progress.athletes_total
    if total <= 1:
        return []
    return [_Line("athletes", [(done / total, "green" if done == total else ACCENT)], f"{done:,} / {total:,}", "")]


def _activities(progress: Progress) -> _Line:
    listed, total = progress.athletes_listed, progress.athletes_total
    # Strava does not say how long a list is: half a step until its end is seen.
    if listed >= total:
        return _Line("activities", [(1.0, "green")], f"{progress.activities:,}", "all listed")
    share = (listed + (0.5 if progress.counts.listed else 0.0)) / total
    count = max(progress.activities, progress.counts.listed)
    return _Line("activities", [(share, ACCENT)], f"{count:,}", "listing")


def _kinds(progress: Progress) -> list[_Line]:
    return [_kind(noun(kind), part) for kind, part in progress.kinds.items()]


def _kind(name: str, part: KindProgress) -> _Line:
    whole = part.wanted or 1
    pieces = [(part.held / whole, "green" if part.held == part.wanted else ACCENT)]
    pieces += [(part.pending / whole, "yellow"), (part.failed / whole, "red")]
    return _Line(name, pieces, f"{part.held:,} / {part.wanted:,}", remark_of(part))


def _meter(name: str, meter: Meter, frame: Frame) -> _Line:
    resets = f"resets {clock_time(meter.resets_at, frame.heading.zone)[:5]}"
    if not meter.limit or meter.usage is None:
        return _Line(METERS[name], [], "unknown", resets)
    used = meter.usage / meter.limit
    style = "red" if meter.usage >= meter.limit else "yellow" if used > _NEARLY_SPENT else "green"
    pieces = [(used, style), (meter.reserved / meter.limit, "bright_black")]
    return _Line(METERS[name], pieces, f"{meter.usage:,} / {meter.limit:,}", resets)


def _wait_line(frame: Frame) -> Text:
    if frame.waiting is not None:
        return Text(wait_text(frame.waiting, frame), "yellow")
    asking = frame.progress.asking if frame.progress is not None else 0
    return Text(f"{plural(asking, 'request')} under way" if asking else " ", "dim")


def _failures(progress: Progress) -> list[str]:
    return reasons(progress.failures, progress.counts.failed)


def _one_line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
