"""``client.segments``: segments, also the starred ones and those in an area."""

from __future__ import annotations

import math
from datetime import date, datetime, time
from typing import Literal

from strava_async.errors import InputError
from strava_async.models.segment import DetailedSegment, ExplorerSegment, ExplorerSegments, SummarySegment
from strava_async.models.segment_effort import DetailedSegmentEffort
from strava_async.request.endpoints import Endpoints
from strava_async.resources._listing import Listing
from strava_async.resources._resource import Resource, wall_time

Coordinates = tuple[float, float]


class SegmentsResource(Resource):
    """Segments.

    Source:
        https://developers.strava.com/docs/reference/#api-Segments
    """

    async def get(self, segment_id: int) -> DetailedSegment:
        """Return a segment (``getSegmentById``). A private one, and the athlete's own values in it, need ``read_all``.

        Raises:
            NotFoundError: it does not exist, or the token may not see it.
        """
        return await self._get(DetailedSegment, Endpoints.SEGMENTS_GET, id=segment_id)

    def starred(self, *, per_page: int = 200, limit: int | None = None, prefetch: int = 0) -> Listing[SummarySegment]:
        """List the segments that the athlete has starred (``getLoggedInAthleteStarredSegments``).

        Private ones need ``read_all``.

        Args:
            per_page: segments per request, up to 200.
            limit: segments wanted at most; None means all.
            prefetch: how many further pages to request at the same time.

        Raises:
            InputError: at once, for a number that is invalid.
        """
        return self._numbered(SummarySegment, Endpoints.SEGMENTS_STARRED, per_page, limit, prefetch)

    async def star(self, segment_id: int, starred: bool = True) -> DetailedSegment:
        """Star a segment, or remove the star (``starSegment``). Needs ``profile:write``.

        Raises:
            MissingScopeError: the athlete did not grant ``profile:write``.
            NotFoundError: there is no such segment, or the token may not see it.
        """
        form = {"starred": bool(starred)}
        return await self._change(DetailedSegment, Endpoints.SEGMENTS_STAR, {"id": segment_id}, form=form)

    async def explore(
        self,
        south_west: Coordinates,
        north_east: Coordinates,
        *,
        activity_type: Literal["riding", "running"] | None = None,
        min_cat: int | None = None,
        max_cat: int | None = None,
    ) -> list[ExplorerSegment]:
        """Return up to ten popular segments in a rectangle (``exploreSegments``).

        Since September 2026 it is open to applications with Extended Access only.

        Args:
            south_west: latitude and longitude of that corner; degrees.
            north_east: latitude and longitude of that corner; degrees.
            activity_type: None means riding.
            min_cat: the lowest climb category, 0 to 5 (hors catégorie).
            max_cat: the highest climb category.

        Raises:
            InputError: a corner is out of range, or the corners are swapped.
            FaultError: the application has no Extended Access; which error that is, Strava does not document.
        """
        bounds = (*_on_the_map(south_west), *_on_the_map(north_east))
        if bounds[0] > bounds[2]:
            raise InputError("the first corner must be the southern one")
        answer = await self._get(
            ExplorerSegments,
            Endpoints.SEGMENTS_EXPLORE,
            bounds=bounds,
            activity_type=activity_type,
            min_cat=min_cat,
            max_cat=max_cat,
        )
        return [] if answer.segments is None or "segments" in answer.misfits else answer.segments

    def all_efforts(
        self,
        segment_id: int,
        *,
        start_date_local: date | str | None = None,
        end_date_local: date | str | None = None,
        per_page: int = 200,
        limit: int | None = None,
    ) -> Listing[DetailedSegmentEffort]:
        """List the athlete's efforts on a segment. Not in Strava's reference; seen to answer in October 2025.

        Args:
            segment_id: which.
            start_date_local: only efforts that began later, in local time; a datetime, a date or its text.
            end_date_local: only efforts that began earlier.
            per_page: efforts per request, up to 200.
            limit: efforts wanted at most; None means all.

        Raises:
            InputError: at once, for a number that is invalid, or a text that is not a time.
            PaymentRequiredError: while iterating: the athlete has no subscription.
        """
        return self._numbered(
            DetailedSegmentEffort,
            Endpoints.SEGMENTS_ALL_EFFORTS,
            per_page,
            limit,
            0,
            id=segment_id,
            start_date_local=_wall_bound("start_date_local", start_date_local),
            end_date_local=_wall_bound("end_date_local", end_date_local),
        )


def _wall_bound(name: str, moment: date | str | None) -> str | None:
    if isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    return wall_time(name, moment)


def _on_the_map(corner: Coordinates) -> Coordinates:
    try:
        lat, lng = map(float, corner)
    except (TypeError, ValueError, OverflowError):
        lat = lng = math.nan
    if not (-90 <= lat <= 90 and -180 <= lng <= 180):
        raise InputError(f"a corner must be (latitude, longitude) in degrees, not {corner!r}")
    return lat, lng
