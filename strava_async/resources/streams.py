"""``client.streams``: what was recorded, sample by sample."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from strava_async._types import is_object
from strava_async.errors import InputError, NotFoundError
from strava_async.models._read_streams import read_streams
from strava_async.models.stream_set import StreamSet
from strava_async.models.stream_type import StreamType
from strava_async.request.endpoints import Endpoint, Endpoints
from strava_async.resources._resource import Resource

Keys = Iterable[StreamType | str]

_OF_SEGMENTS = (StreamType.DISTANCE, StreamType.LATLNG, StreamType.ALTITUDE)


class StreamsResource(Resource):
    """Streams. What was not recorded is left out of the answer.

    Source:
        https://developers.strava.com/docs/reference/#api-Streams
    """

    async def activity(
        self,
        activity_id: int,
        keys: Keys | None = None,
        *,
        resolution: str | None = None,
        series_type: str | None = None,
    ) -> StreamSet:
        """Return an activity's streams (``getActivityStreams``). Needs ``activity:read``.

        What lies in the athlete's privacy zones, and activities that only the athlete may see, need
        ``activity:read_all``.

        An activity without streams has an empty set, which is false. Strava answers it with 404, as it does an activity
        that does not exist, and one without distance, such as indoor rowing, unless its streams over time are
        requested. To distinguish these cases costs more requests of the read class:

        =======================================  ========================================
        the activity                             requests
        =======================================  ========================================
        has streams                              1
        does not exist                           1, or 2 if the first answer is not clear
        was entered by hand                      2
        has streams, but no distance             3, or 1 with ``series_type="time"``
        was recorded, but has no streams         3, or 2 with ``series_type="time"``
        =======================================  ========================================

        Args:
            activity_id: which.
            keys: the streams wanted, ``StreamType`` or names that are newer than this library; None means all eleven.
            resolution: how many samples: ``low`` (100), ``medium`` (1,000) or ``high`` (10,000). No longer documented.
            series_type: what samples of a lower resolution are evenly spaced in: ``distance`` or ``time``. No longer
                documented. An activity without distance is returned over time.

        Raises:
            InputError: ``keys`` is empty.
            NotFoundError: there is no such activity, or the token may not see it.
        """
        names = _names(keys, StreamType)

        async def ask(series_type: str | None) -> StreamSet | None:
            try:
                return await self._streams(
                    Endpoints.STREAMS_ACTIVITY,
                    id=activity_id,
                    keys=names,
                    key_by_type=True,
                    resolution=resolution,
                    series_type=series_type,
                )
            except NotFoundError as error:
                if not _may_mean_no_streams(error):
                    raise
                return None

        streams = await ask(series_type)
        if streams is None:
            activity = await self._view.api.get(Endpoints.ACTIVITIES_GET.path, id=activity_id)
            by_hand = is_object(activity) and activity.get("manual") is True
            if series_type != "time" and not by_hand:
                streams = await ask("time")
        return StreamSet({}) if streams is None else streams

    async def segment_effort(self, effort_id: int, keys: Keys | None = None) -> StreamSet:
        """Return a segment effort's streams (``getSegmentEffortStreams``). Needs ``read_all``.

        They are a section of its activity's.

        Args:
            effort_id: which.
            keys: as for ``activity``.

        Raises:
            InputError: ``keys`` names nothing.
            NotFoundError: there is none, or the token may not see it.
        """
        names = _names(keys, StreamType)
        return await self._streams(Endpoints.STREAMS_SEGMENT_EFFORT, id=effort_id, keys=names, key_by_type=True)

    async def segment(self, segment_id: int, keys: Keys | None = None) -> StreamSet:
        """Return a segment's streams (``getSegmentStreams``). Private ones need ``read_all``.

        Args:
            segment_id: which.
            keys: the streams wanted; None means all that segments have: distance, latlng and altitude.

        Raises:
            InputError: ``keys`` names nothing.
            NotFoundError: there is none, or the token may not see it.
        """
        names = _names(keys, _OF_SEGMENTS)
        return await self._streams(Endpoints.STREAMS_SEGMENT, id=segment_id, keys=names, key_by_type=True)

    async def route(self, route_id: int) -> StreamSet:
        """Return a route's distance, latlng and altitude (``getRouteStreams``). Private ones need ``read_all``.

        Raises:
            NotFoundError: there is none, or the token may not see it.
        """
        return await self._streams(Endpoints.STREAMS_ROUTE, id=route_id)

    async def _streams(self, endpoint: Endpoint, **params: Any) -> StreamSet:
        decode = partial(read_streams, on_invalid=self._view.on_invalid)
        streams: StreamSet = await self._view.api.request(endpoint.method, endpoint.path, params, decode=decode)
        return streams


def _names(keys: Keys | None, default: Keys) -> list[str]:
    given = default if keys is None else [keys] if isinstance(keys, str) else keys
    names = list(dict.fromkeys(map(_name, given)))
    if not all(names) or not names:
        raise InputError("keys is empty: name the streams that are wanted, or pass None for all")
    return names


def _name(key: object) -> str:
    return str(key) if isinstance(key, str) else ""


def _may_mean_no_streams(error: NotFoundError) -> bool:
    """Say whether a 404 is about neither the activity, which would not exist, nor the path, which would be closed."""
    return not any(entry["resource"] == "Activity" or entry["field"] == "path" for entry in error.errors)
