"""Athletes."""

from __future__ import annotations

from strava_async.models._fields import Instant
from strava_async.models._partial import PartialModel
from strava_async.models.club_summary import SummaryClub
from strava_async.models.gear import SummaryGear
from strava_async.models.sports import OpenMeasurementPreference


class MetaAthlete(PartialModel):
    """A reference to an athlete."""

    id: int | None = None
    """The athlete's id; None for those who gave kudos or wrote comments: Strava does not send it."""


class SummaryAthlete(MetaAthlete):
    """An athlete, as others see one."""

    username: str | None = None
    """The last segment of the profile's URL."""
    firstname: str | None = None
    """The first name."""
    lastname: str | None = None
    """The last name; an initial for those who gave kudos or wrote comments."""
    bio: str | None = None
    """The athlete's description of themselves."""
    city: str | None = None
    """The town."""
    state: str | None = None
    """The state or region."""
    country: str | None = None
    """The country."""
    sex: str | None = None
    """``M`` or ``F``, if stated."""
    premium: bool | None = None
    """Whether the athlete has a subscription. Deprecated in favour of ``summit``."""
    summit: bool | None = None
    """Whether the athlete has a subscription."""
    created_at: Instant | None = None
    """When the athlete joined Strava."""
    updated_at: Instant | None = None
    """When the profile last changed."""
    badge_type_id: int | None = None
    """Strava's number for the badge at the picture."""
    weight: float | None = None
    """The weight; kg."""
    profile_medium: str | None = None
    """URL of a picture of 62 x 62 pixels."""
    profile: str | None = None
    """URL of a picture of 124 x 124 pixels."""
    friend: str | None = None
    """Whether the caller follows this athlete, in Strava's words, such as ``pending``."""
    follower: str | None = None
    """Whether this athlete follows the caller, likewise."""
    blocked: bool | None = None
    """Whether the caller has blocked this athlete."""
    can_follow: bool | None = None
    """Whether the caller may follow this athlete."""


class DetailedAthlete(SummaryAthlete):
    """The athlete of the token, in full."""

    follower_count: int | None = None
    """How many follow the athlete."""
    friend_count: int | None = None
    """How many the athlete follows."""
    mutual_friend_count: int | None = None
    """How many of them the caller follows too."""
    athlete_type: int | None = None
    """0 for a cyclist, 1 for a runner."""
    date_preference: str | None = None
    """The date format that the athlete prefers, such as ``%m/%d/%Y``."""
    measurement_preference: OpenMeasurementPreference | None = None
    """The units that the athlete prefers. The API sends metres and kilograms anyway."""
    ftp: int | None = None
    """Functional threshold power; W."""
    clubs: list[SummaryClub] | None = None
    """The clubs of which the athlete is a member."""
    postable_clubs_count: int | None = None
    """In how many of them the athlete may post."""
    bikes: list[SummaryGear] | None = None
    """The athlete's bikes."""
    shoes: list[SummaryGear] | None = None
    """The athlete's shoes."""
