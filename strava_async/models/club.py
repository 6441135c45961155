"""Clubs, and what they do together."""

from __future__ import annotations

from strava_async.models._fields import Instant, InstantOrEmpty, Place
from strava_async.models._partial import PartialModel
from strava_async.models.athlete import SummaryAthlete
from strava_async.models.club_summary import SummaryClub
from strava_async.models.route import Route
from strava_async.models.sports import OpenSportType

__all__ = ["DetailedClub", "GroupEvent", "SummaryClub"]


class DetailedClub(SummaryClub):
    """A club, all of it."""

    description: str | None = None
    """What it says about itself."""
    club_type: str | None = None
    """What kind of group it is, such as ``casual_club`` or ``company``."""
    website: str | None = None
    """The address that it names."""
    following_count: int | None = None
    """How many of its members the athlete follows."""


class GroupEvent(PartialModel):
    """A ride or run that a club invites to, once or each week. Strava does not document it."""

    id: int | None = None
    """The event's id."""
    title: str | None = None
    """What it is called."""
    description: str | None = None
    """What the organizer says about it."""
    club_id: int | None = None
    """The club's id."""
    club: SummaryClub | None = None
    """The club: hardly more than its name."""
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
    """Strava's number of the pace that is asked for."""
    terrain: int | None = None
    """Strava's number of the kind of course."""
    upcoming_occurrences: list[Instant] | None = None
    """When it begins, each time that is planned."""
    zone: str | None = None
    """The time zone of the place, such as ``Europe/Berlin``."""
    address: str | None = None
    """Where to meet."""
    joined: bool | None = None
    """Whether the athlete takes part."""
    start_latlng: Place = None
    """Where to meet; degrees."""
