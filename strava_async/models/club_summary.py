"""Clubs as lists show them.

``club`` has the rest. It needs athletes, and they need these.
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
    """URL of the wide picture at the top of its page."""
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
    """The same in the athlete's language."""
    city: str | None = None
    """The town."""
    state: str | None = None
    """The state or region."""
    country: str | None = None
    """The country."""
    private: bool | None = None
    """Whether one has to ask to join."""
    member_count: int | None = None
    """How many are in it; 0 where the club stands within an athlete."""
    featured: bool | None = None
    """Whether Strava presents it."""
    verified: bool | None = None
    """Whether Strava has checked whose it is."""
    url: str | None = None
    """The last part of its page's address."""
    membership: OpenClubMembership | None = None
    """Whether the athlete is a member, or has asked to be."""
    admin: bool | None = None
    """Whether the athlete runs the club with others."""
    owner: bool | None = None
    """Whether the club is the athlete's."""
