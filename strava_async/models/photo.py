"""Photos of activities."""

from __future__ import annotations

from strava_async.models._fields import Instant, LocalTime, Place
from strava_async.models._model import StravaModel
from strava_async.models._partial import PartialModel


class PrimaryPhoto(StravaModel):
    """The photo that stands for an activity."""

    id: int | None = None
    """The photo's id, where it has a number."""
    unique_id: str | None = None
    """The photo's id."""
    source: int | None = None
    """Strava's number of where it comes from; 1 is Strava itself."""
    media_type: int | None = None
    """1 a photo, 2 a video."""
    urls: dict[str, str] | None = None
    """Addresses of the picture, by the length of the longer side; pixels."""


class PhotosSummary(StravaModel):
    """What an activity says of its photos."""

    count: int | None = None
    """How many there are."""
    primary: PrimaryPhoto | None = None
    """The one that stands for the activity."""
    use_primary_photo: bool | None = None
    """Whether the activity is shown with it instead of the map."""


class Photo(PartialModel):
    """A photo or a video. Strava does not document it."""

    unique_id: str | None = None
    """The photo's id."""
    athlete_id: int | None = None
    """The id of whose it is."""
    activity_id: int | None = None
    """The id of the activity."""
    activity_name: str | None = None
    """The name of the activity."""
    post_id: int | None = None
    """The id of the post, for photos of posts."""
    caption: str | None = None
    """What the athlete says about it."""
    type: int | None = None
    """1 a photo, 2 a video."""
    source: int | None = None
    """Strava's number of where it comes from; 1 is Strava itself."""
    status: int | None = None
    """Strava's number of how far it is processed."""
    uploaded_at: Instant | None = None
    """When it was sent to Strava."""
    created_at: Instant | None = None
    """When it was taken."""
    created_at_local: LocalTime | None = None
    """When it was taken, by the clock on the wall."""
    location: Place = None
    """Where it was taken; degrees."""
    urls: dict[str, str] | None = None
    """Addresses of the picture, by the size that was asked for; pixels."""
    sizes: dict[str, list[int]] | None = None
    """Width and height of the picture, by the size that was asked for; pixels."""
    default_photo: bool | None = None
    """Whether it is the one that stands for the activity."""
    duration: float | None = None
    """How long a video is; s."""
    video_url: str | None = None
    """The address of a video."""
    cursor: str | None = None
    """Where the next page begins, if there are pages."""
