"""Figures, their medians, and the table that is printed."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HEADINGS = ("target", "what", "figure", "threshold", "")


@dataclass(frozen=True, slots=True)
class Row:
    """One line.

    Attributes:
        target: its name; empty for a line without a target.
        what: the measurement.
        figure: the result.
        unit: of the figure; ``x`` stands behind a ratio.
        at_most: the target; None for no bound.
        at_least: likewise.
    """

    target: str
    what: str
    figure: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def verdict(self) -> str:
        """Whether the target is met; empty without one."""
        if self.at_most is not None:
            return "met" if self.figure <= self.at_most else "MISSED"
        if self.at_least is not None:
            return "met" if self.figure >= self.at_least else "MISSED"
        return ""

    def cells(self) -> tuple[str, ...]:
        """Return the line's texts, in the order of ``HEADINGS``."""
        threshold = ""
        if self.at_most is not None:
            threshold = f"<= {_number(self.at_most)} {self.unit}"
        elif self.at_least is not None:
            threshold = f">= {_number(self.at_least)} {self.unit}"
        return self.target, self.what, f"{_number(self.figure)} {self.unit}", threshold, self.verdict


def render(rows: Iterable[Row]) -> str:
    """Return the rows as a table of plain text."""
    lines = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column == 2 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


async def alternate(
    rounds: int, jobs: Mapping[str, Callable[[], Awaitable[Mapping[str, Any]]]]
) -> dict[str, list[Mapping[str, Any]]]:
    """Run all the jobs in turn, that many times, and return each one's figures: A B C, A B C, ..."""
    figures: dict[str, list[Mapping[str, Any]]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            figures[name].append(await job())
    return figures


def median(figures: Sequence[Mapping[str, Any]], name: str) -> float:
    """Return the median of a figure."""
    return float(statistics.median(figure[name] for figure in figures))


def best(figures: Sequence[Mapping[str, Any]], name: str) -> float:
    """Return the least of a figure."""
    return float(min(figure[name] for figure in figures))


def ratio(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]], name: str) -> float:
    """Return the median of the rounds' ratios, which a slow round does not affect."""
    return float(statistics.median(our[name] / their[name] for our, their in zip(ours, theirs, strict=True)))


def _number(value: float) -> str:
    magnitude = abs(value)
    return f"{value:,.0f}" if magnitude >= 100 else f"{value:.1f}" if magnitude >= 10 else f"{value:.2f}"
