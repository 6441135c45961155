"""Summaries of what the users and the processes of the service recorded."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

Figures = dict[str, float]


def quantile(sizes: Sequence[float], share: float) -> float:
    """Return a quantile; NaN if there are no sizes.

    Args:
        sizes: in ascending order.
        share: 0.5 for the median, 1 for the maximum.
    """
    return sizes[max(math.ceil(share * len(sizes)), 1) - 1] if sizes else math.nan


def spread(seconds: Sequence[float]) -> Figures:
    """Return how many there are, and how they are spread, in milliseconds."""
    ordered = sorted(seconds)
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {"count": len(ordered), **{name: 1e3 * quantile(ordered, share) for name, share in shares.items()}}


def is_honest(status: int, fields: Mapping[str, str], body: str) -> bool:
    """Say whether a response states that Strava's quota is spent, and when to retry."""
    return status == 503 and fields.get("Retry-After", "").isdecimal() and "quota is spent" in body


class Notes:
    """The users' observations.

    Attributes:
        answers: seconds until the whole answer was there, by the kind of request; of good answers alone.
        honest: responses which stated that the quota is spent, by kind.
        failures: all other wrong responses, by description.
        shown: instants at which an activity came to a page, by the athlete whose page it was, and the activity.
        news: set whenever something was shown.
        reconnects: how often a page's stream ended and was opened again.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[float]] = {}
        self.honest: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.shown: dict[tuple[int, int], list[float]] = {}
        self.news = asyncio.Event()
        self.reconnects = 0

    def answer(
        self, kind: str, status: int, fields: Mapping[str, str], body: str, seconds: float, *, good: int
    ) -> None:
        """Record a response.

        Args:
            kind: the kind of the request.
            status: the HTTP status.
            fields: its header fields.
            body: its text.
            seconds: how long it took.
            good: the status that it should have.
        """
        if status == good:
            self.answers.setdefault(kind, []).append(seconds)
        elif is_honest(status, fields, body):
            self.honest[kind] += 1
        else:
            self.failures[f"{kind}: {status}"] += 1

    def show(self, athlete_id: int, activity_id: int, at: float) -> None:
        """Record that a page of an athlete showed an activity."""
        self.shown.setdefault((athlete_id, activity_id), []).append(at)
        self.news.set()


def fates(
    recorded: Mapping[int, tuple[int, float]], shown: Mapping[tuple[int, int], Sequence[float]]
) -> tuple[Figures, list[float]]:
    """Return how many activities were lost, shown twice or to others, and the seconds until they were shown.

    Args:
        recorded: the athlete and the instant, by the activity's id.
        shown: see ``Notes``.
    """
    owners = {(athlete_id, activity_id): at for activity_id, (athlete_id, at) in recorded.items()}
    figures = {
        "lost": sum(key not in shown for key in owners),
        "twice": sum(len(instants) > 1 for instants in shown.values()),
        "to others": sum(key not in owners for key in shown),
    }
    return dict(figures), [instants[0] - owners[key] for key, instants in shown.items() if key in owners]


def process_figures(
    lags: Iterable[tuple[float, float, float]],
    sizes: Iterable[tuple[float, int, float]],
    began: float,
    settled: float,
    ended: float,
) -> Figures:
    """Return the figures of a process: its loop's lag in milliseconds, its memory, its share of a core.

    Args:
        lags: see ``service_probe.Probe``.
        sizes: likewise.
        began: the instant at which the load began.
        settled: the instant from which memory should be constant.
        ended: the instant at which the load ended.
    """
    lags = [lag for lag in lags if began <= lag[0] <= ended]
    late = spread([late for _, late, _ in lags])
    own = spread([max(late - waited, 0.0) for _, late, waited in lags])
    sizes = [size for size in sizes if began <= size[0] <= ended]
    first, last = sizes[0], sizes[-1]
    return {
        **{f"lag_{name}": value for name, value in late.items()},
        "own_lag_p99": own["p99"],
        "settled_mb": next(size for at, size, _ in sizes if at >= settled) / 1e6,
        "end_mb": last[1] / 1e6,
        "cpu_share": (last[2] - first[2]) / (last[0] - first[0]),
    }


def latency_table(answers: Mapping[str, Figures]) -> str:
    """Return the times until answers were there as a table of plain text, in milliseconds."""
    columns = ("count", "p50", "p95", "p99", "max")
    lines = [f"{'milliseconds':16}" + "".join(f"{column:>9}" for column in columns)]
    lines += [
        f"{kind:16}" + "".join(f"{figures[column]:9,.0f}" for column in columns) for kind, figures in answers.items()
    ]
    return "\n".join(lines)
