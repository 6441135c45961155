"""Exports of what a harvest's store holds: Parquet, CSV, JSON lines, GeoJSON and GPX."""

from typing import TYPE_CHECKING

from strava_async._lazy import lazy

if TYPE_CHECKING:
    from strava_async.harvest.export.base import Exported, Format, Written
    from strava_async.harvest.export.run import export
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "Exported": "base",
            "Format": "base",
            "Written": "base",
            "export": "run",
        },
    )

__all__ = [
    "Exported",
    "Format",
    "Written",
    "export",
]
