"""Photos of activities."""

from __future__ import annotations

from strava_async.models._fields import Instant, LocalTime, Place
from strava_async.models._model import StravaModel
from strava_async.models._partial import PartialModel


class PrimaryPhoto(StravaModel):
    """The photo that represents an activity."""

    id: int | None = None
    """The photo's id, where it has a number."""
    unique_id: str | None = None
    """The photo's id."""
    source: int | None = None
    """Strava's number for its source; 1 is Strava itself."""
    media_type: int | None = None
    """1 for a photo, 2 for a video."""
    urls: dict[str, str] | None = None
    """URLs of the picture, by the length of the longer side; pixels."""


class PhotosSummary(StravaModel):
    """The summary of an activity's photos."""

    count: int | None = None
    """How many photos there are."""
    primary: PrimaryPhoto | None = None
    """The one that represents the activity."""
    use_primary_photo: bool | None = None
    """Whether the activity is shown with it instead of the map."""


class Photo(PartialModel):
    """A photo or a video. Not documented by Strava."""

    unique_id: str | None = None
    """The photo's id."""
    athlete_id: int | None = None
    """The id of the athlete whose it is."""
    activity_id: int | None = None
    """The id of the activity."""
    activity_name: str | None = None
    """The name of the activity."""
    post_id: int | None = None
    """The id of the post, for photos of posts."""
    caption: str | None = None
    """The athlete's description of it."""
    type: int | None = None
    """1 for a photo, 2 for a video."""
    source: int | None = None
    """Strava's number for its source; 1 is Strava itself."""
    status: int | None = None
    """Strava's number for the state of its processing."""
    uploaded_at: Instant | None = None
    """When it was uploaded."""
    created_at: Instant | None = None
    """When it was taken."""
    created_at_local: LocalTime | None = None
    """When it was taken, in local time."""
    location: Place = None
    """Where it was taken; degrees."""
    urls: dict[str, str] | None = None
    """URLs of the picture, by the size that was requested; pixels."""
    sizes: dict[str, list[int]] | None = None
    """Width and height of the picture, by the size that was requested; pixels."""
    default_photo: bool | None = None
    """Whether it is the one that represents the activity."""
    duration: float | None = None
    """The duration of a video; s."""
    video_url: str | None = None
    """The URL of a video."""
    cursor: str | None = None
    """The cursor of the next page, if there are pages."""
