"""For how long a harvest may be kept: ``--keep``, which is asked for once and remembered with the data."""

from __future__ import annotations

from dataclasses import dataclass

from strava_async.cli.harvest_values import FOREVER, keep_seconds
from strava_async.cli.terminal import Terminal, UsageError
from strava_async.display.wording import plural
from strava_async.errors import StoreError
from strava_async.harvest.store_sqlite import SqliteHarvestStore

SETTING = "keep"
_WHY = """\
For how long may this be kept? Strava allows seven days, in which everything is
fetched again as long as it is wanted; forever is for who has another agreement
with Strava, or with the athlete. The answer is kept with the data, and --keep
changes it."""
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Keep:
    """For how long.

    Attributes:
        seconds: None means until Strava does not have it any more.
        before: what was remembered, where that is something else; None if nothing was.
        is_new: whether it is to be remembered.
        is_changed: whether something else was remembered.
    """

    seconds: float | None
    before: float | None = None
    is_new: bool = False
    is_changed: bool = False

    @property
    def setting(self) -> str:
        """How it is kept with the data."""
        return FOREVER if self.seconds is None else f"{self.seconds:.0f}"

    @property
    def notice(self) -> str:
        """What is said of a change; empty if there is none."""
        if not self.is_changed:
            return ""
        return f"Kept {keep_text(self.seconds)} from now on; {keep_text(self.before)} before"


def keep_text(seconds: float | None) -> str:
    """Return for how long something is kept."""
    if seconds is None:
        return "until it is deleted"
    for unit, length in (("day", 86_400), ("hour", 3_600)):
        if seconds % length == 0:
            return f"for {plural(int(seconds // length), unit)}"
    return f"for {plural(round(seconds / 60), 'minute')}"


def remembered(settings: dict[str, str], place: str) -> float | None:
    """Return what a store remembers.

    Raises:
        KeyError: nothing.
        StoreError: something that is no duration.
    """
    text = settings[SETTING]
    try:
        seconds = None if text == FOREVER else float(text)
    except ValueError:
        seconds = 0.0
    if seconds is not None and not 0 < seconds < float("inf"):
        raise StoreError(f"{place} does not say for how long it is kept: give --keep")
    return seconds


def chosen_keep(given: str | None, settings: dict[str, str], place: str, terminal: Terminal) -> Keep:
    """Return what was given, else what is remembered, else what is answered.

    Raises:
        UsageError: there is nothing of that.
    """
    if given is not None:
        seconds = keep_seconds(given)
        try:
            before = remembered(settings, place)
        except (KeyError, StoreError):
            return Keep(seconds, is_new=True)
        return Keep(seconds, before, is_new=before != seconds, is_changed=before != seconds)
    if SETTING in settings:
        return Keep(remembered(settings, place))
    if terminal.ask is None:
        raise UsageError(
            "say for how long it may be kept, --keep 7d or --keep forever: Strava allows seven days. "
            "It is remembered with the data"
        )
    terminal.say(_WHY)
    for _ in range(_TRIES):
        answer = terminal.ask("[7d/forever] ", False)
        try:
            return Keep(keep_seconds(answer), is_new=True)
        except UsageError:
            terminal.complain("Answer 7d, another duration, or forever.")
    raise UsageError("nothing was chosen: give --keep")


async def remember(keep: Keep, store: SqliteHarvestStore) -> None:
    """Keep it with the data, where it is new."""
    if keep.is_new:
        await store.set_setting(SETTING, keep.setting)
