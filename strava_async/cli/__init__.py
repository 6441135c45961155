"""The command ``strava-async`` (extra ``cli``)."""

from strava_async.cli.entry import main

__all__ = ["main"]
