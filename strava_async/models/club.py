"""Clubs and their events."""

from __future__ import annotations

from strava_async.models._fields import Instant, InstantOrEmpty, Place
from strava_async.models._partial import PartialModel
from strava_async.models.athlete import SummaryAthlete
from strava_async.models.club_summary import SummaryClub
from strava_async.models.route import Route
from strava_async.models.sports import OpenSportType

__all__ = ["DetailedClub", "GroupEvent", "SummaryClub"]


class DetailedClub(SummaryClub):
    """A club, in full."""

    description: str | None = None
    """Its description."""
    club_type: str | None = None
    """What kind of group it is, such as ``casual_club`` or ``company``."""
    website: str | None = None
    """Its website."""
    following_count: int | None = None
    """How many of its members the athlete follows."""


class GroupEvent(PartialModel):
    """A ride or run of a club, once or each week. Not documented by Strava."""

    id: int | None = None
    """The event's id."""
    title: str | None = None
    """Its name."""
    description: str | None = None
    """The organizer's description of it."""
    club_id: int | None = None
    """The club's id."""
    club: SummaryClub | None = None
    """The club: little more than its name."""
    organizing_athlete: SummaryAthlete | None = None
    """Who organizes it."""
    activity_type: OpenSportType | None = None
    """The sport."""
    created_at: InstantOrEmpty = None
    """When it was announced."""
    route_id: int | None = None
    """The id of the route."""
    route: Route | None = None
    """The route: its name and its map."""
    women_only: bool | None = None
    """Whether it is for women only."""
    private: bool | None = None
    """Whether only members see it."""
    skill_levels: int | None = None
    """Strava's number for the pace that is expected."""
    terrain: int | None = None
    """Strava's number for the kind of course."""
    upcoming_occurrences: list[Instant] | None = None
    """The start of each planned occurrence."""
    zone: str | None = None
    """The time zone of the place, such as ``Europe/Berlin``."""
    address: str | None = None
    """Where to meet."""
    joined: bool | None = None
    """Whether the athlete takes part."""
    start_latlng: Place = None
    """Where to meet; degrees."""
