"""``client.segment_efforts``: how long the athlete took for segments."""

from __future__ import annotations

from datetime import datetime

from strava_async.errors import InputError
from strava_async.models.segment_effort import DetailedSegmentEffort
from strava_async.paging.pages import MAX_PER_PAGE, checked_per_page
from strava_async.resources._resource import Resource, wall_time

# The method `list` hides the type of that name inside of its class.
_Efforts = list[DetailedSegmentEffort]


class SegmentEffortsResource(Resource):
    """The athlete's efforts. Strava shows them to subscribers.

    Source:
        https://developers.strava.com/docs/reference/#api-SegmentEfforts
    """

    async def get(self, effort_id: int) -> DetailedSegmentEffort:
        """Return an effort (``getSegmentEffortById``).

        Raises:
            PaymentRequiredError: the athlete has no subscription.
            NotFoundError: there is none, or the token may not see it.
        """
        return await self._get(DetailedSegmentEffort, "/segment_efforts/{id}", id=effort_id)

    async def list(
        self,
        segment_id: int,
        *,
        start_date_local: datetime | str | None = None,
        end_date_local: datetime | str | None = None,
        per_page: int = MAX_PER_PAGE,
    ) -> _Efforts:
        """Return the athlete's efforts on a segment (``getEffortsBySegmentId``), in one request.

        Strava documents no second page: for more than 200, ask for one span of time after the other.

        Args:
            segment_id: which.
            start_date_local: only efforts that began later, by the clock on the wall; with ``end_date_local``.
            end_date_local: only efforts that began earlier.
            per_page: how many, up to 200.

        Raises:
            InputError: one date without the other, a text that is no time, or a number that makes no sense.
            PaymentRequiredError: the athlete has no subscription.
            NotFoundError: there is no such segment.
        """
        if (start_date_local is None) != (end_date_local is None):
            raise InputError("start_date_local and end_date_local go together")
        return await self._get_list(
            DetailedSegmentEffort,
            "/segment_efforts",
            segment_id=segment_id,
            start_date_local=wall_time("start_date_local", start_date_local),
            end_date_local=wall_time("end_date_local", end_date_local),
            per_page=checked_per_page(per_page),
        )
