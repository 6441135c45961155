"""The words and numbers of what is shown. Nothing is drawn here."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo

from strava_async.display.frame import Frame, Result, Row, Waiting
from strava_async.harvest.estimate import Estimate
from strava_async.harvest.kinds import Kind
from strava_async.harvest.outcome import Failure, KindProgress, Progress
from strava_async.quota.readings import Meter, Quota

PLACE_WIDTH = 40  # columns: with what stands before it, less than 80
LISTED_REASONS = 3  # the others are counted
NOUNS = {Kind.DETAIL: "details", Kind.STREAMS: "stream sets"}
METERS = {
    "read_15min": "read 15 min",
    "read_day": "read day",
    "overall_15min": "overall 15 min",
    "overall_day": "overall day",
}
_LONGEST_REASON = 200
_DAY = 86_400


def printable(text: str) -> str:
    """Return a stranger's text in one line, without control characters and lone surrogates."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def noun(kind: Kind, count: int = 2) -> str:
    """Return what so many of a kind are called."""
    name = NOUNS.get(kind, str(kind))
    return name.removesuffix("s") if count == 1 and kind in NOUNS else name


def plural(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun, such as ``1 call`` or ``2,000 calls``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def span(seconds: float) -> str:
    """Return a duration as ``4:12``, ``11:04:12`` or ``6 d 4 h``."""
    whole = round(max(0.0, seconds))
    minutes, hours = whole // 60 % 60, whole // 3600
    if whole >= 2 * _DAY:
        return f"{hours // 24:,} d {hours % 24} h" if whole < 10 * _DAY else f"{hours // 24:,} d"
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def moment(at: float, zone: tzinfo | None) -> datetime:
    """Return an instant in a zone; None means the machine's. One beyond the calendar is the calendar's end."""
    try:
        return datetime.fromtimestamp(at, UTC).astimezone(zone)
    except (OverflowError, ValueError, OSError):
        return datetime.max.replace(tzinfo=UTC)


def clock_time(at: float, zone: tzinfo | None) -> str:
    """Return an instant as the time of day."""
    return f"{moment(at, zone):%H:%M:%S}"


def date_and_time(at: float, now: float, zone: tzinfo | None) -> str:
    """Return an instant as ``14:05``, with its date where that is not today's."""
    then, today = moment(at, zone), moment(now, zone)
    if then.date() == today.date():
        return f"{then:%H:%M}"
    return f"{then:%a} {then.day} {then:%b %H:%M}" if then.year == today.year else f"{then:%Y-%m-%d %H:%M}"


def fits(place: str) -> bool:
    """Say whether a file's name has room beside the figures; else it goes on a line of its own."""
    return len(place) <= PLACE_WIDTH


def fitted(text: str, columns: int) -> str:
    """Return a text whose lines end between words; a word that is longer than a line stays whole."""
    return textwrap.fill(text, max(columns, 1), break_long_words=False, break_on_hyphens=False)


def meters_of(quota: Quota) -> dict[str, Meter]:
    """Return the four meters by name."""
    meters: dict[str, Meter] = {name: getattr(quota, name) for name in METERS}
    return meters


def remark_of(part: KindProgress) -> str:
    """Return what is remarkable about a kind."""
    if part.failed:
        return f"{part.failed:,} failed"
    return f"{part.pending:,} not ready" if part.pending else ""


def wait_text(waiting: Waiting, frame: Frame) -> str:
    """Return what is waited for, and until when."""
    seconds, zone = waiting.until - frame.now, frame.heading.zone
    until, left = clock_time(waiting.until, zone), span(seconds)
    if seconds >= 3_600:
        until, left = date_and_time(waiting.until, frame.now, zone), f"{seconds / 3_600:.0f} h"
    window = METERS.get(waiting.window, printable(waiting.window))
    why = f"reserve of {window}" if waiting.for_reserve else f"{window} is spent"
    return f"waiting until {until} ({left}): {why}"


def done_text(frame: Frame) -> tuple[str, str]:
    """Return when it will be done, by the quota; and what that counts."""
    estimate = frame.estimate
    if frame.progress is not None and _is_done(frame.progress):
        return "nothing left to ask for now", ""
    unlisted = _unlisted(estimate, frame.progress)
    if estimate is None or (estimate.done_at is None and unlisted < estimate.unlisted):
        return "estimating when it is done", ""
    if estimate.done_at is None and unlisted:  # as much was assumed for each
        lists = f"{plural(unlisted, 'list')} {'is' if unlisted == 1 else 'are'} to be read first"
        return f"perhaps never done: {lists}", "the quota may not suffice for renewing everything"
    if estimate.done_at is None:
        whose = "" if estimate.quota_is_known else "with a new application's quota, "
        return "never done: the quota does not suffice", f"{whose}for renewing everything before it is too old"
    if not estimate.requests:
        return "nothing left to ask for now", ""
    at = date_and_time(estimate.done_at, frame.now, frame.heading.zone)
    requests = plural(estimate.requests, "request")
    if estimate.unlisted:
        to_read = f", {plural(unlisted, 'list')} to read" if unlisted else ""
        about, requests = "about ", f"about {requests}{to_read}"
    elif not estimate.quota_is_known:
        about, requests = "about ", f"{requests}, with a new application's quota"
    else:
        about = ""
    if estimate.done_at - frame.now < 1:  # estimates go by quarter hours
        return "done within this quarter hour", requests
    return f"done {about}{at}, in {span(estimate.done_at - frame.now)}", requests


def _unlisted(estimate: Estimate | None, progress: Progress | None) -> int:
    """Return how many lists are still to be read of those that an estimate did not know."""
    if estimate is None or progress is None:
        return 0 if estimate is None else estimate.unlisted
    return min(estimate.unlisted, progress.athletes_total - progress.athletes_listed)


def _is_done(progress: Progress) -> bool:
    return not progress.athletes and not progress.asking and progress.athletes_listed == progress.athletes_total


def reasons(failures: Iterable[Failure], failed: int) -> list[str]:
    """Return why things failed, by how often, each in one line; what belongs together differs in its ids only.

    Args:
        failures: the last of them.
        failed: how many there were.
    """
    counted = Counter(without_ids(failure.reason) for failure in failures)
    told = counted.most_common(LISTED_REASONS)
    lines = [f"{count:,} × {reason}" for reason, count in told]
    others = failed - sum(count for _, count in told)
    return [*lines, f"{others:,} × other reasons"] if told and others > 0 else lines


def results(result: Result) -> list[Row]:
    """Return the result of a harvest, as rows."""
    outcome, progress = result.outcome, result.frame.progress
    counts = outcome.counts
    kinds: Mapping[Kind, KindProgress] = progress.kinds if progress is not None else {}
    rows = [Row("listed", f"{counts.listed:,}", "activities on the pages that were read")]
    if progress is not None and progress.athletes_listed == progress.athletes_total:
        rows = [Row("activities", f"{progress.activities:,}", f"{counts.listed:,} listed")]
    for kind, part in kinds.items():
        missing = part.wanted - part.held
        remark = f"; {missing:,} missing" if missing else ""
        rows.append(Row(noun(kind), f"{part.held:,}", f"{counts.stored.get(kind, 0):,} new{remark}"))
    rows.append(Row("requests", f"{counts.requests:,}"))
    if counts.gone:
        rows.append(Row("deleted", f"{counts.gone:,}", "activities that Strava does not have any more"))
    if counts.purged:
        rows.append(Row("purged", f"{counts.purged:,}", "older than --keep"))
    if counts.failed:
        first, *others = reasons(outcome.failures, counts.failed) or [""]
        rows += [Row("failed", f"{counts.failed:,}", first), *(Row("", "", each) for each in others)]
    return [*rows, *result.rows]


def aligned(rows: Sequence[Row]) -> list[str]:
    """Return rows as lines whose figures stand below each other."""
    names = max((len(row.name) for row in rows), default=0) + 2
    figures = max([8, *(len(row.figure) for row in rows)])
    return [f"  {row.name:<{names}}{row.figure:>{figures}}  {row.remark}".rstrip() for row in rows]


def without_ids(reason: str) -> str:
    """Return an error in one line, such that errors about several things of a kind are equal."""
    text = re.sub(r"(?<=/)[0-9]+(?=[/:?\s]|$)", "{id}", printable(reason[:_LONGEST_REASON]))
    return re.sub(r"\s+", " ", text).strip()
