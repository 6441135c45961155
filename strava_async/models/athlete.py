"""Athletes."""

from __future__ import annotations

from strava_async.models._fields import Instant
from strava_async.models._partial import PartialModel
from strava_async.models.club_summary import SummaryClub
from strava_async.models.gear import SummaryGear
from strava_async.models.sports import OpenMeasurementPreference


class MetaAthlete(PartialModel):
    """Who an athlete is."""

    id: int | None = None
    """The athlete's id; None of those who gave kudos or wrote comments: Strava does not tell it."""


class SummaryAthlete(MetaAthlete):
    """An athlete, as others see one."""

    username: str | None = None
    """The last part of the profile's address."""
    firstname: str | None = None
    """The first name."""
    lastname: str | None = None
    """The last name; an initial of those who gave kudos or wrote comments."""
    bio: str | None = None
    """What the athlete says about themselves."""
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
    """Strava's number of the badge at the picture."""
    weight: float | None = None
    """The weight; kg."""
    profile_medium: str | None = None
    """URL of a picture of 62 x 62 pixels."""
    profile: str | None = None
    """URL of a picture of 124 x 124 pixels."""
    friend: str | None = None
    """How far the caller is in following this athlete, in a word of Strava's."""
    follower: str | None = None
    """How far this athlete is in following the caller, likewise."""
    blocked: bool | None = None
    """Whether the caller has blocked this athlete."""
    can_follow: bool | None = None
    """Whether the caller may follow this athlete."""


class DetailedAthlete(SummaryAthlete):
    """The athlete whose token it is, all of it."""

    follower_count: int | None = None
    """How many follow the athlete."""
    friend_count: int | None = None
    """How many the athlete follows."""
    mutual_friend_count: int | None = None
    """How many of them are the caller's friends too."""
    athlete_type: int | None = None
    """0 a cyclist, 1 a runner."""
    date_preference: str | None = None
    """How the athlete wants dates written, such as ``%m/%d/%Y``."""
    measurement_preference: OpenMeasurementPreference | None = None
    """The units that the athlete wants to see. What the API sends is in metres and kilograms all the same."""
    ftp: int | None = None
    """Functional threshold power; W."""
    clubs: list[SummaryClub] | None = None
    """The clubs that the athlete is in."""
    postable_clubs_count: int | None = None
    """In how many of them the athlete may post."""
    bikes: list[SummaryGear] | None = None
    """The athlete's bikes."""
    shoes: list[SummaryGear] | None = None
    """The athlete's shoes."""
