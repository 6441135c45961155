"""``client.activities``: activities with their laps, zones, comments, kudos and photos."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

from strava_async._types import UNSET, Unset
from strava_async.clock import Clock
from strava_async.errors import InputError
from strava_async.models.activity import DetailedActivity, SummaryActivity
from strava_async.models.athlete import SummaryAthlete
from strava_async.models.comment import Comment
from strava_async.models.lap import Lap
from strava_async.models.photo import Photo
from strava_async.models.zones import ActivityZone
from strava_async.paging.pages import CursorWalk, PageWalk
from strava_async.paging.walk import Pages, Params
from strava_async.request.endpoints import Endpoints
from strava_async.resources._listing import Listing
from strava_async.resources._moments import Moment, epoch_seconds
from strava_async.resources._resource import Resource, described, id_of, wall_time

# A local clock may be this slow and the list still includes an activity that has just started.
CLOCK_SLACK_SECONDS = 120
_LONGEST_SECONDS = 100_000_000_000

# Inside of the class, the method `list` hides the type of that name.
_Laps = list[Lap]
_ActivityZones = list[ActivityZone]
_Photos = list[Photo]
_Summaries = list[SummaryActivity]


class ActivitiesResource(Resource):
    """The athlete's activities.

    Source:
        https://developers.strava.com/docs/reference/#api-Activities
    """

    def list(
        self,
        *,
        after: Moment | None = None,
        before: Moment | None = None,
        per_page: int = 200,
        limit: int | None = None,
        prefetch: int = 0,
    ) -> Listing[SummaryActivity]:
        """List the athlete's activities (``getLoggedInAthleteActivities``). Needs ``activity:read``.

        Activities that only the athlete may see need ``activity:read_all``. They come in Strava's order, newest first;
        none comes twice, even while new ones arrive. An activity that is uploaded late is listed by its start: to find
        what is new since a certain time, let ``after`` reach further back, or use webhooks.

        Args:
            after: only activities that began later; an aware datetime, a date (its midnight in UTC, whatever the
                athlete's time zone), the text of either in ISO 8601, or epoch seconds.
            before: only activities that began earlier, in the same forms; None means the start of each loop, so that an
                activity that begins during it does not shift the pages.
            per_page: items per request, up to 200.
            limit: items wanted at most; None means all.
            prefetch: how many further pages to request at the same time. Up to that many may be unnecessary.

        Raises:
            InputError: at once, for a time without a zone, in milliseconds or out of range, or a number that is
                invalid.
            MissingScopeError: while iterating: the athlete did not grant ``activity:read``.
        """
        endpoint = Endpoints.ACTIVITIES_LIST
        after, before = epoch_seconds("after", after), epoch_seconds("before", before)

        def begin() -> Pages[SummaryActivity]:
            until = _now(self._view.api.clock) if before is None else before

            async def fetch(numbers: Params) -> _Summaries:
                return await self._get_list(SummaryActivity, endpoint, after=after, before=until, **numbers)

            return Pages(PageWalk(per_page, limit, prefetch, id_of), fetch, endpoint.path)

        return Listing(begin, described(SummaryActivity, endpoint, after=after, before=before, limit=limit))

    async def get(self, activity_id: int, *, include_all_efforts: bool = False) -> DetailedActivity:
        """Return an activity (``getActivityById``). Needs ``activity:read``.

        Args:
            activity_id: which.
            include_all_efforts: include the segment efforts that Strava considers unimportant.

        Raises:
            NotFoundError: it does not exist, or the token may not see it.
        """
        return await self._get(
            DetailedActivity, Endpoints.ACTIVITIES_GET, id=activity_id, include_all_efforts=include_all_efforts or None
        )

    async def create(
        self,
        *,
        name: str,
        sport_type: str,
        start_date_local: datetime | str,
        elapsed_time: float | timedelta,
        description: str | None = None,
        distance: float | None = None,
        trainer: bool | None = None,
        commute: bool | None = None,
    ) -> DetailedActivity:
        """Enter an activity by hand (``createActivity``). Needs ``activity:write``.

        Costs one request of the upload class. It is sent once: if no answer comes, check whether the activity exists
        before you try again, or there may be two.

        Args:
            name: its title.
            sport_type: a ``SportType``, or one that is newer than this library.
            start_date_local: when it began, in local time; the time zone of an aware datetime is dropped.
            elapsed_time: how long it took; seconds or a timedelta.
            description: text.
            distance: metres.
            trainer: whether it was indoors.
            commute: whether it was a commute.

        Raises:
            InputError: an argument is missing or invalid; nothing was sent.
            BadRequestError: Strava does not accept a value.
            MissingScopeError: the athlete did not grant ``activity:write``.
            TransportError, ServerError: no usable answer came; the activity may exist.
        """
        start = wall_time("start_date_local", start_date_local)
        if not (name and sport_type and start):
            raise InputError("an activity needs a name, a sport_type and a start_date_local")
        form = {
            "name": name,
            "sport_type": sport_type,
            "start_date_local": start,
            "elapsed_time": _whole_seconds(elapsed_time),
            "description": description,
            "distance": distance,
            "trainer": None if trainer is None else int(trainer),
            "commute": None if commute is None else int(commute),
        }
        return await self._change(DetailedActivity, Endpoints.ACTIVITIES_CREATE, form)

    async def update(
        self,
        activity_id: int,
        *,
        name: str | Unset = UNSET,
        description: str | Unset = UNSET,
        sport_type: str | Unset = UNSET,
        gear_id: str | Unset | None = UNSET,
        trainer: bool | Unset = UNSET,
        commute: bool | Unset = UNSET,
        hide_from_home: bool | Unset = UNSET,
    ) -> DetailedActivity:
        """Change an activity (``updateActivityById``); what is not passed stays as it is. Needs ``activity:write``.

        An activity that only the athlete may see needs ``activity:read_all`` too.

        Args:
            activity_id: which.
            name: its title.
            description: replaces the whole description.
            sport_type: a ``SportType``, or one that is newer than this library.
            gear_id: such as ``b123``; None removes the gear.
            trainer: whether it was indoors.
            commute: whether it was a commute.
            hide_from_home: whether it is left out of followers' feeds.

        Raises:
            InputError: nothing was passed.
            NotFoundError: it does not exist, or the token may not see it.
        """
        given = {
            "name": name,
            "description": description,
            "sport_type": sport_type,
            "gear_id": "none" if gear_id is None else gear_id,
            "trainer": trainer,
            "commute": commute,
            "hide_from_home": hide_from_home,
        }
        changes: dict[str, Any] = {name: value for name, value in given.items() if not isinstance(value, Unset)}
        if not changes:
            raise InputError("nothing to change: pass at least one field")
        return await self._change(DetailedActivity, Endpoints.ACTIVITIES_UPDATE, {"id": activity_id}, body=changes)

    async def laps(self, activity_id: int) -> _Laps:
        """Return an activity's laps (``getLapsByActivityId``). Needs ``activity:read``.

        Raises:
            NotFoundError: there is no such activity, or the token may not see it.
        """
        return await self._get_list(Lap, Endpoints.ACTIVITIES_LAPS, id=activity_id)

    async def zones(self, activity_id: int) -> _ActivityZones:
        """Return the time that an activity spent in each zone (``getZonesByActivityId``). Needs ``activity:read``.

        Raises:
            PaymentRequiredError, ForbiddenError: the athlete has no subscription.
            NotFoundError: there is no such activity, or the token may not see it.
        """
        return await self._get_list(ActivityZone, Endpoints.ACTIVITIES_ZONES, id=activity_id)

    def comments(self, activity_id: int, *, page_size: int = 200, limit: int | None = None) -> Listing[Comment]:
        """List an activity's comments, oldest first (``getCommentsByActivityId``). Needs ``activity:read``.

        Args:
            activity_id: which.
            page_size: comments per request, up to 200.
            limit: comments wanted at most; None means all.

        Raises:
            InputError: at once, for a number that is invalid.
            NotFoundError: while iterating: there is no such activity, or the token may not see it.
        """
        return self._listing(
            Comment,
            Endpoints.ACTIVITIES_COMMENTS,
            lambda: CursorWalk(page_size, limit, _cursor_of, id_of),
            id=activity_id,
        )

    def kudos(
        self, activity_id: int, *, per_page: int = 200, limit: int | None = None, prefetch: int = 0
    ) -> Listing[SummaryAthlete]:
        """List who gave kudos to an activity (``getKudoersByActivityId``), without ids. Needs ``activity:read``.

        Args:
            activity_id: which.
            per_page: athletes per request, up to 200.
            limit: athletes wanted at most; None means all.
            prefetch: how many further pages to request at the same time.

        Raises:
            InputError: at once, for a number that is invalid.
            NotFoundError: while iterating: there is no such activity, or the token may not see it.
        """
        return self._numbered(SummaryAthlete, Endpoints.ACTIVITIES_KUDOS, per_page, limit, prefetch, id=activity_id)

    async def photos(self, activity_id: int, *, size: int = 2048, photo_sources: bool | None = True) -> _Photos:
        """Return an activity's photos, all at once. Not in Strava's reference; seen to answer in October 2025.

        Args:
            activity_id: which.
            size: the longer side of the picture in ``urls``; pixels.
            photo_sources: include photos from other sources; None leaves it to Strava.

        Raises:
            NotFoundError: there is no such activity, or the token may not see it.
        """
        return await self._get_list(
            Photo, Endpoints.ACTIVITIES_PHOTOS, id=activity_id, size=size, photo_sources=photo_sources
        )


def _cursor_of(comment: Comment) -> str | None:
    cursor = comment.cursor
    return cursor if isinstance(cursor, str) else None


def _now(clock: Clock) -> int:
    return math.ceil(clock.time()) + CLOCK_SLACK_SECONDS


def _whole_seconds(duration: object) -> int:
    if isinstance(duration, timedelta):
        duration = duration.total_seconds()
    if isinstance(duration, bool) or not isinstance(duration, int | float) or not 0.5 <= duration < _LONGEST_SECONDS:
        raise InputError("elapsed_time must be a positive number of seconds, or a timedelta")
    return round(duration)
