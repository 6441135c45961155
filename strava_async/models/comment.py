"""Comments."""

from __future__ import annotations

from typing import Any

from strava_async.models._fields import Instant
from strava_async.models._partial import PartialModel
from strava_async.models.athlete import SummaryAthlete


class Comment(PartialModel):
    """A comment on an activity."""

    id: int | None = None
    """The comment's id."""
    activity_id: int | None = None
    """The id of the activity."""
    post_id: int | None = None
    """The id of the post, for comments on posts."""
    text: str | None = None
    """The text."""
    mentions_metadata: Any = None
    """Who is mentioned in it; not documented."""
    created_at: Instant | None = None
    """When it was written."""
    athlete: SummaryAthlete | None = None
    """Who wrote it: first name and initial, without an id."""
    cursor: str | None = None
    """The cursor of the next page; only if pages were requested."""
    reaction_count: int | None = None
    """How many reactions it has."""
    has_reacted: bool | None = None
    """Whether the caller has reacted."""
