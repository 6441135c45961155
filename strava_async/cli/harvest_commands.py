"""The commands ``harvest``, ``export`` and ``purge``; see ``commands``."""

from __future__ import annotations

import os
import time

import typer

from strava_async.cli import harvest_options as given
from strava_async.cli.config import Options
from strava_async.cli.help_texts import APPLICATION, epilog
from strava_async.cli.option_types import ClientId, ClientSecret, Config, EmulatorUrl, Store
from strava_async.cli.terminal import this_terminal

HARVEST_END = epilog(
    {
        "strava-async harvest --data rides.sqlite --keep 7d": "everything of everybody, for as long as it takes",
        "strava-async harvest --data rides.sqlite --since 90d --kinds details": "details of the last three months",
        "strava-async harvest --data rides.sqlite --no-wait": "from cron, as much as the quota has left",
        "strava-async harvest --data rides.sqlite --status": "what is there",
    },
    statuses={
        0: "all is there, or it ended where it was told to",
        1: "it failed, or something could not be fetched",
        75: "--no-wait: the quota is spent",
        130: "Ctrl-C or SIGTERM ended it; what came is kept",
    },
    variables=(*APPLICATION, "STRAVA_REDIS_URL"),
)
EXPORT_END = epilog(
    {
        "strava-async export --data rides.sqlite --to parquet --out lake": "for DuckDB, Polars and pandas",
        "strava-async export --data-dir athletes --to gpx --athlete 7": "the tracks of one athlete",
    }
)
PURGE_END = epilog(
    {
        "strava-async purge --data rides.sqlite --older-than 7d": "what Strava does not allow to keep",
        "strava-async purge --data rides.sqlite --athlete 7 --yes": "who asks for it, from a script",
    }
)


def harvest(
    data: given.DataFile = None,
    data_dir: given.DataDirectory = None,
    keep: given.Keep = None,
    since: given.Since = None,
    kinds: given.Kinds = None,
    athlete: given.Athletes = None,
    until: given.Until = None,
    max_requests: given.MostRequests = None,
    reserve: given.Reserve = "20%",
    no_wait: given.NoWait = False,
    quota: given.SharedQuota = None,
    status: given.ShowStatus = False,
    as_json: given.Json = False,
    plain: given.Plain = False,
    client_id: ClientId = None,
    client_secret: ClientSecret = None,
    config: Config = None,
    store: Store = None,
    emulator: EmulatorUrl = None,
) -> None:
    """Fetch the activities of connected athletes into a file.

    It asks for what is missing, has changed or is nearly too old, newest first, and waits for quota by itself: hours,
    or days. Stop it whenever you like: the same command goes on. What is there can be used meanwhile.
    """
    from strava_async.cli.harvest import HarvestSettings
    from strava_async.cli.harvest import harvest as run_harvest
    from strava_async.cli.harvest_data import Data
    from strava_async.cli.harvest_status import status as show_status

    place, terminal = Data(data, data_dir), this_terminal()
    if status:
        raise typer.Exit(show_status(place, athlete or (), terminal, as_json=as_json, now=time.time()))
    key = os.environ.get("STRAVA_TOKEN_KEY")
    options = Options(client_id, client_secret, config, store, emulator, key, os.environ)
    whose, wait = athlete or (), not no_wait
    settings = HarvestSettings(
        options, place, keep, since, kinds, whose, until, max_requests, reserve, wait, quota, as_json, plain
    )
    raise typer.Exit(run_harvest(settings, terminal))


def export(
    to: given.To,
    data: given.DataFile = None,
    data_dir: given.DataDirectory = None,
    out: given.Out = None,
    athlete: given.HeldAthletes = None,
    as_json: given.JsonResult = False,
) -> None:
    """Write what was harvested into files that others read.

    Makes no requests. There is a folder for each athlete and year. The same command brings it up to date: what has not
    changed is left, and what is not held any more goes. What is purged is purged there, too.
    """
    from strava_async.cli.harvest_data import Data
    from strava_async.cli.harvest_export import ExportSettings, export_files

    settings = ExportSettings(Data(data, data_dir), to, out, athlete or (), as_json)
    raise typer.Exit(export_files(settings, this_terminal()))


def purge(
    data: given.DataFile = None,
    data_dir: given.DataDirectory = None,
    older_than: given.OlderThan = None,
    athlete: given.HeldAthlete = None,
    yes: given.Yes = False,
) -> None:
    """Delete what is held of an athlete, or what came long ago.

    No byte of it is left in the data, and it goes from the exports, too. Makes no requests. What is wanted of what was
    deleted by age is fetched again by the next harvest.
    """
    from strava_async.cli.harvest_data import Data
    from strava_async.cli.harvest_purge import PurgeSettings
    from strava_async.cli.harvest_purge import purge as purge_data

    settings = PurgeSettings(Data(data, data_dir), older_than, athlete, yes)
    raise typer.Exit(purge_data(settings, this_terminal(), now=time.time))
