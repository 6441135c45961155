"""Clubs as lists show them.

``club`` has the rest: it imports athletes, which import this.
"""

from __future__ import annotations

from strava_async.models._partial import PartialModel
from strava_async.models.sports import OpenClubMembership, OpenSportType


class SummaryClub(PartialModel):
    """A club, as lists show it."""

    id: int | None = None
    """The club's id."""
    name: str | None = None
    """Its name."""
    profile_medium: str | None = None
    """URL of a small picture."""
    profile: str | None = None
    """URL of a larger picture."""
    cover_photo: str | None = None
    """URL of its cover photo."""
    cover_photo_small: str | None = None
    """URL of a smaller one."""
    activity_types: list[OpenSportType] | None = None
    """The sports that count for the club."""
    activity_types_icon: str | None = None
    """The name of Strava's icon for them."""
    dimensions: list[str] | None = None
    """What its leaderboards compare."""
    sport_type: str | None = None
    """The kind of club: cycling, running, triathlon or other. Deprecated in favour of ``activity_types``."""
    localized_sport_type: str | None = None
    """The kind of club in the athlete's language."""
    city: str | None = None
    """The town."""
    state: str | None = None
    """The state or region."""
    country: str | None = None
    """The country."""
    private: bool | None = None
    """Whether membership has to be requested."""
    member_count: int | None = None
    """How many members it has; 0 where the club is part of an athlete."""
    featured: bool | None = None
    """Whether Strava features it."""
    verified: bool | None = None
    """Whether Strava has verified it."""
    url: str | None = None
    """The last segment of its page's URL."""
    membership: OpenClubMembership | None = None
    """Whether the athlete is a member, or has requested to be."""
    admin: bool | None = None
    """Whether the athlete is an admin of the club."""
    owner: bool | None = None
    """Whether the athlete owns the club."""
