"""What Strava says of most objects."""

from __future__ import annotations

from strava_async.models._model import StravaModel


class PartialModel(StravaModel):
    """An object that says how much of it is shown."""

    resource_state: int | None = None
    """How much of the object is here: 1 hardly more than the id, 2 a summary, 3 all of it."""
