"""The harvest: everything of the athletes that may be kept, fetched within the quota, for days if need be."""

from typing import TYPE_CHECKING

from strava_async._lazy import lazy

if TYPE_CHECKING:
    from strava_async.harvest.base import (
        Activity,
        AthleteState,
        Changes,
        HarvestStore,
        Held,
        Resource,
        Row,
        State,
        StoreCounts,
        Walk,
    )
    from strava_async.harvest.kinds import Kind
    from strava_async.harvest.plan import Plan
    from strava_async.harvest.store_sqlite import SqliteHarvestStore
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "Activity": "base",
            "AthleteState": "base",
            "Changes": "base",
            "HarvestStore": "base",
            "Held": "base",
            "Kind": "kinds",
            "Plan": "plan",
            "Resource": "base",
            "Row": "base",
            "SqliteHarvestStore": "store_sqlite",
            "State": "base",
            "StoreCounts": "base",
            "Walk": "base",
        },
    )

__all__ = [
    "Activity",
    "AthleteState",
    "Changes",
    "HarvestStore",
    "Held",
    "Kind",
    "Plan",
    "Resource",
    "Row",
    "SqliteHarvestStore",
    "State",
    "StoreCounts",
    "Walk",
]
