"""The harvest: everything of the athletes that may be kept, fetched within the quota, for days if need be."""

from typing import TYPE_CHECKING

from strava_async._lazy import lazy

if TYPE_CHECKING:
    from strava_async.harvest.base import Activity, Changes, HarvestStore, Held, Resource, Row, State, StoreCounts
    from strava_async.harvest.estimate import Estimate
    from strava_async.harvest.kinds import Kind
    from strava_async.harvest.list_state import AthleteState, Walk
    from strava_async.harvest.outcome import Counts, Failure, Followed, KindProgress, Outcome, Progress, Slice
    from strava_async.harvest.plan import Plan
    from strava_async.harvest.reading import StoredActivity, read_activities
    from strava_async.harvest.run import Harvest
    from strava_async.harvest.runs import Run
    from strava_async.harvest.store_sqlite import SqliteHarvestStore
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "Activity": "base",
            "AthleteState": "list_state",
            "Changes": "base",
            "Counts": "outcome",
            "Estimate": "estimate",
            "Failure": "outcome",
            "Followed": "outcome",
            "Harvest": "run",
            "HarvestStore": "base",
            "Held": "base",
            "Kind": "kinds",
            "KindProgress": "outcome",
            "Outcome": "outcome",
            "Plan": "plan",
            "Progress": "outcome",
            "Resource": "base",
            "Row": "base",
            "Run": "runs",
            "Slice": "outcome",
            "SqliteHarvestStore": "store_sqlite",
            "State": "base",
            "StoreCounts": "base",
            "StoredActivity": "reading",
            "Walk": "list_state",
            "read_activities": "reading",
        },
    )

__all__ = [
    "Activity",
    "AthleteState",
    "Changes",
    "Counts",
    "Estimate",
    "Failure",
    "Followed",
    "Harvest",
    "HarvestStore",
    "Held",
    "Kind",
    "KindProgress",
    "Outcome",
    "Plan",
    "Progress",
    "Resource",
    "Row",
    "Run",
    "Slice",
    "SqliteHarvestStore",
    "State",
    "StoreCounts",
    "StoredActivity",
    "Walk",
    "read_activities",
]
