"""What athletes do with a device, in Strava's app or on its pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from strava_async.clock import Clock
from strava_async.testing.api.activities import change
from strava_async.testing.api.uploads import UploadsApi
from strava_async.testing.http.parameters import SPORT_TYPES
from strava_async.testing.state.population import Population
from strava_async.testing.webhooks.publisher import EventPublisher


class AthleteActions:
    """Records, edits and deletes activities.

    Args:
        people: the athletes.
        uploads: is notified of deletions.
        next_id: gives the ids of uploads and activities.
        publisher: publishes the events.
        clock: dates the activities.
    """

    def __init__(
        self, people: Population, uploads: UploadsApi, next_id: Iterator[int], publisher: EventPublisher, clock: Clock
    ) -> None:
        self._people = people
        self._uploads = uploads
        self._next_id = next_id
        self._publisher = publisher
        self._clock = clock

    def record(self, athlete_id: int, *, sport_type: str, name: str | None, private: bool) -> int:
        """Record an activity that has just ended; return its id."""
        _check(sport_type)
        catalogue = self._people.catalogue(athlete_id)
        detail = catalogue.world.add_recorded(
            activity_id=next(self._next_id),
            upload_id=next(self._next_id),
            name=name,
            sport_type=sport_type,
            private=private,
            now=self._clock.time(),
        )
        activity_id: int = detail["id"]
        catalogue.refresh(activity_id)
        self._publisher.created(detail)
        return activity_id

    def activity(self, activity_id: int) -> dict[str, Any] | None:
        """Return the summary of an activity; None if there is none of that id."""
        try:
            return self._people.catalogue(self._people.owner_of(activity_id)).summary(activity_id)
        except KeyError:
            return None

    def edit(self, activity_id: int, *, name: str | None, sport_type: str | None, private: bool | None) -> None:
        """Change an activity; None changes nothing."""
        if sport_type is not None:
            _check(sport_type)
        changes: dict[str, Any] = {"name": name, "sport_type": sport_type, "private": private}
        change(self._people.catalogue(self._people.owner_of(activity_id)), activity_id, changes, self._publisher)

    def delete(self, activity_id: int) -> None:
        """Delete an activity."""
        catalogue = self._people.catalogue(self._people.owner_of(activity_id))
        activity = catalogue.summary(activity_id)
        catalogue.remove(activity_id)
        self._uploads.forget(activity_id)
        self._publisher.deleted(activity)


def _check(sport_type: str) -> None:
    if sport_type not in SPORT_TYPES:
        raise ValueError(f"unknown sport type: {sport_type!r}")
