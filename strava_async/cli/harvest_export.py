"""``strava-async export``: writes what was harvested into files that other programs read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import anyio

from strava_async.cli.harvest_data import Data
from strava_async.cli.places import expanded
from strava_async.cli.terminal import DONE, Terminal, run
from strava_async.display.wording import plural
from strava_async.harvest.export import Exported, export

DEFAULT_FOLDER = "strava-export"


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """What can be chosen.

    Attributes:
        data: where the harvest is kept.
        to: the format.
        out: the folder; None means one that is named after the format.
        athlete_ids: whose; empty means all.
        as_json: the result is a line of JSON.
    """

    data: Data
    to: str
    out: Path | None = None
    athlete_ids: Sequence[int] = ()
    as_json: bool = False

    @property
    def folder(self) -> Path:
        """Where the files go."""
        return Path(f"{DEFAULT_FOLDER}-{self.to}") if self.out is None else expanded(self.out, "--out")


def export_files(settings: ExportSettings, terminal: Terminal) -> int:
    """Export and return the exit status. Makes no requests."""
    return run("export", terminal, partial(_export, settings, terminal))


def _export(settings: ExportSettings, terminal: Terminal) -> int:
    store = settings.data.existing_store()
    chosen = list(dict.fromkeys(settings.athlete_ids)) or None
    exported = anyio.run(partial(export, store, settings.folder, to=settings.to, athlete_ids=chosen))
    if settings.as_json:
        terminal.say_whole(json.dumps(asdict(exported)))
    else:
        _tell(exported, terminal)
    return DONE


def _tell(exported: Exported, terminal: Terminal) -> None:
    content = exported.content
    terminal.say(f"  folder      {exported.folder}")
    terminal.say(f"  athletes    {exported.athletes:,}")
    streams = f", {content.streams:,} of them with streams" if content.streams else ""  # CSV has none
    terminal.say(f"  activities  {content.activities:,}{streams}")
    if content.without_track:
        terminal.say(f"  left out    {plural(content.without_track, 'activity', 'activities')} without a track")
    if content.unreadable:
        terminal.say(
            f"  missing     {plural(content.unreadable, 'value')} that Strava sent in another form than it says"
        )
    files = f"{exported.files_written:,} written, {exported.files_kept:,} unchanged, {exported.files_removed:,} removed"
    terminal.say(f"  files       {files}")
