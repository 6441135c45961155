"""The options of ``harvest``, ``export`` and ``purge``, as annotations that typer reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from strava_async.cli.completion import connected_athletes, held_athletes, kinds

DataFile = Annotated[
    Path | None,
    typer.Option("--data", metavar="FILE", show_default=False, help="The SQLite file where it is kept."),
]
DataDirectory = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", metavar="DIR", show_default=False, help="In its place: a directory, with a file for each athlete."
    ),
]
Keep = Annotated[
    str | None,
    typer.Option(
        metavar="7d|forever",
        show_default=False,
        help="For how long it is kept. Strava allows seven days; within that it is fetched again. Asked for once, and "
        "remembered with the data.",
    ),
]
Since = Annotated[
    str | None,
    typer.Option(metavar="DATE", show_default=False, help="Only activities from then on: 2026-01-31, or 90d."),
]
Kinds = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        show_default=False,
        autocompletion=kinds,
        help="What is fetched beside the list of activities, comma-separated: details, streams, laps, zones, comments, "
        "kudos, photos, gear, routes, stats. Else details,streams.",
    ),
]
Athletes = Annotated[
    list[int] | None,
    typer.Option(
        "--athlete",
        metavar="ID",
        show_default=False,
        autocompletion=connected_athletes,
        help="Whose; may be given several times. Else all who are connected.",
    ),
]
HeldAthletes = Annotated[
    list[int] | None,
    typer.Option(
        "--athlete",
        metavar="ID",
        show_default=False,
        autocompletion=held_athletes,
        help="Whose; may be given several times. Else all.",
    ),
]
HeldAthlete = Annotated[
    int | None,
    typer.Option(
        "--athlete",
        metavar="ID",
        show_default=False,
        autocompletion=held_athletes,
        help="Delete everything of this athlete. Tokens stay: strava-async logout.",
    ),
]
Until = Annotated[
    str | None,
    typer.Option(metavar="06:00", show_default=False, help="End at the next such time of the day, by this machine."),
]
MostRequests = Annotated[
    int | None, typer.Option("--max-requests", min=1, show_default=False, help="End after so many requests.")
]
Reserve = Annotated[
    str, typer.Option(metavar="SHARE", help="The share of the quota that is left to others until a window's end.")
]
NoWait = Annotated[
    bool, typer.Option("--no-wait", help="Where it would wait for quota, end: with status 75 and the time to go on.")
]
SharedQuota = Annotated[
    str | None,
    typer.Option(
        "--quota",
        metavar="FILE|URL",
        show_default=False,
        help="Where processes share the quota: the file of a SqliteRateLimiter, or a Redis server. Else the server "
        "that STRAVA_REDIS_URL names, where a URL with a password belongs; else no other process spends any.",
    ),
]
ShowStatus = Annotated[
    bool,
    typer.Option("--status", help="Only show what is held, since when, and what waits. Makes no requests."),
]
Json = Annotated[bool, typer.Option("--json", help="Write a line of JSON for each event; see docs/harvest.md.")]
JsonResult = Annotated[bool, typer.Option("--json", help="Write a line of JSON.")]
Plain = Annotated[bool, typer.Option("--plain", help="Write lines, even on a terminal.")]
To = Annotated[
    Literal["parquet", "csv", "jsonl", "geojson", "gpx"],
    typer.Option(metavar="FORMAT", help="parquet (extra parquet), csv, jsonl, geojson or gpx."),
]
Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", show_default=False, help="The folder. Else strava-export-FORMAT, here."),
]
OlderThan = Annotated[
    str | None,
    typer.Option(metavar="7d", show_default=False, help="Delete what came so long ago, or longer: 7d, 12h."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Delete without a question.")]
