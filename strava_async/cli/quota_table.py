"""How ``strava-async quota`` looks: two tables, and a sentence or two around them."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.table import Table
from rich.text import Text

from strava_async.cli.quota_rows import MeterRow, ProcessRow, QuotaRows
from strava_async.cli.terminal import Terminal, plain_ascii

TITLES = {
    "read_15min": "reads, quarter hour",
    "read_day": "reads, day",
    "overall_15min": "all, quarter hour",
    "overall_day": "all, day",
}
BAR_CELLS = 32
_WIDE = 100  # columns
_LONGEST_ID = 32


def draw(rows: QuotaRows, place: str, terminal: Terminal) -> None:
    """Write the tables.

    Args:
        rows: what there is to show.
        place: where it was read.
        terminal: where to.
    """
    terminal.say(f"{place}: {_sentence(rows)}")
    if rows.state == "unused":
        return
    terminal.say()
    terminal.show(_meters(rows, with_bars=_has_room(terminal)))
    terminal.say()
    for line in _times(rows):
        terminal.say(line)
    if rows.processes:
        terminal.say()
        terminal.show(_processes(rows))


def duration(seconds: float) -> str:
    """Return a duration in words, with the two largest units."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60} min"


def _sentence(rows: QuotaRows) -> str:
    count = len(rows.processes)
    if rows.state == "unused":
        return "no process has used it yet."
    if rows.state == "asked":
        return "the answer to one request, which counted as a read."
    share = "1 process shares" if count == 1 else f"{count or 'no'} processes share"
    waiting = (
        "" if not rows.waiting else ", with calls that wait" if count == 1 else f", {rows.waiting} of them waiting"
    )
    if rows.state == "healing":
        return f"{share} the quota{waiting}. What was known here was lost: nothing starts until all have told it again."
    return f"{share} the quota{waiting}."


def _times(rows: QuotaRows) -> list[str]:
    first, day = rows.meters[0], rows.meters[1]
    lines: list[str] = []
    if first.resets_at is not None and first.resets_in is not None and day.resets_in is not None:
        lines.append(f"The next quarter hour begins in {duration(first.resets_in)}{_at(first.resets_at)}.")
        lines.append(f"The next day, by UTC, begins in {duration(day.resets_in)}.")
    for what, seconds in zip(("Reads", "All requests"), rows.cooldown_seconds, strict=True):
        if seconds:
            lines.append(f"{what} wait {duration(seconds)} more, after a 429 that no number explains.")
    return lines


def _at(instant: int) -> str:
    try:
        return f", at {datetime.fromtimestamp(instant, UTC).astimezone():%H:%M}"
    except (ValueError, OverflowError, OSError):  # a window that no clock shows, which others have written
        return ""


def _has_room(terminal: Terminal) -> bool:
    console = terminal.out
    return console.is_terminal and console.width >= _WIDE and console.encoding.lower().startswith("utf")


def _table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))


def _meters(rows: QuotaRows, *, with_bars: bool) -> Table:
    table = _table()
    is_shared = rows.state != "asked"
    table.add_column("Meter", no_wrap=True)
    for title in ("Limit", "Used", *(("Held", "Unconfirmed") if is_shared else ()), "Left"):
        table.add_column(title, justify="right", no_wrap=True)
    if with_bars:
        table.add_column("", no_wrap=True)
    for row in rows.meters:
        shared = [_number(row.reserved), _number(row.unconfirmed)] if is_shared else []
        cells: list[str | Text] = [
            TITLES[row.name],
            _number(row.limit),
            _number(row.usage),
            *shared,
            _number(row.remaining),
        ]
        table.add_row(*cells, *([_bar(row)] if with_bars else []))
    return table


def _bar(row: MeterRow) -> Text:
    """Return used and held as a bar, in the proportions of the limit."""
    if not row.limit or row.usage is None:
        return Text()
    used = min(BAR_CELLS, round(BAR_CELLS * row.usage / row.limit))
    ours = round(BAR_CELLS * (row.usage + row.reserved + row.unconfirmed) / row.limit)
    held = max(0, min(BAR_CELLS, ours) - used)
    style = "red" if row.remaining == 0 else "green"
    return Text.assemble(("█" * used, style), ("▒" * held, "yellow"), ("░" * (BAR_CELLS - used - held), "dim"))


def _processes(rows: QuotaRows) -> Table:
    table = _table()
    table.add_column("Process", no_wrap=True)
    for title in ("Held", "Done", "Waiting"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("Heard", no_wrap=True)
    for row in rows.processes:
        table.add_row(
            plain_ascii(row.process, _LONGEST_ID), str(row.reserved), str(row.done), str(row.waiting.total), _heard(row)
        )
    return table


def _heard(row: ProcessRow) -> str:
    seconds = row.heard_seconds
    return f"{seconds:.1f} s ago" if seconds < 10 else f"{duration(seconds)} ago"


def _number(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"
