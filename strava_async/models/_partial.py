"""The field that most of Strava's objects have."""

from __future__ import annotations

from strava_async.models._model import StravaModel


class PartialModel(StravaModel):
    """An object with the degree of its detail."""

    resource_state: int | None = None
    """The degree of detail: 1 for little more than the id, 2 for a summary, 3 for all."""
