"""Segment efforts: the athlete's own on a segment, one by its id, its streams.

All but the streams are for athletes who subscribe (402 otherwise; see ``Quirks.subscribed``). No page names the scopes
of the first two: here they are those of the activities that the efforts come from, or ``read_all``.

Source:
    https://developers.strava.com/docs/reference/ (SegmentEfforts, Streams).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from strava_async.testing.api.segments import asked_streams, athlete_part, seen_efforts, seen_segment
from strava_async.testing.http.parameters import instant, integer, page_of
from strava_async.testing.http.request import EmulatorRequest
from strava_async.testing.http.responses import EncodedBody, HttpError, Response, bad_request, json_response, not_found
from strava_async.testing.http.serial_executor import SerialExecutor
from strava_async.testing.quirks import Quirks
from strava_async.testing.state.catalogue import Catalogue, CatalogueOf
from strava_async.testing.world.segments import streams as segment_streams
from strava_async.testing.world.segments.effort_times import TimedEffort
from strava_async.testing.world.segments.efforts import activity_of


class EffortsApi:
    """The endpoints below ``/segment_efforts``, and ``/segments/{id}/all_efforts``.

    Args:
        catalogue_of: gives the activities of an athlete as of an instant.
        quirks: see there.
    """

    def __init__(self, catalogue_of: CatalogueOf, quirks: Quirks) -> None:
        self._catalogue_of = catalogue_of
        self._quirks = quirks
        self._executor = SerialExecutor()

    async def index(self, request: EmulatorRequest) -> Response:
        """GET /segment_efforts: the fastest first, as many as ``per_page`` says; there is no second page.

        The dates are local times, both inclusive.
        """
        catalogue = self._subscriber(request)
        segment_id = integer(request.query, "segment_id", "SegmentEffort")
        if segment_id is None:
            raise bad_request("SegmentEffort", "segment_id", "missing")
        _, per_page = page_of(request, clamp=self._quirks.clamp_per_page)
        efforts = await _within(request, catalogue, segment_id)
        return await self._listed(catalogue, efforts[: max(1, per_page - request.short_by)])

    async def of_segment(self, request: EmulatorRequest) -> Response:
        """GET /segments/{id}/all_efforts: the same, paged; not documented."""
        catalogue = self._subscriber(request)
        segment_id = request.number_in_path(not_found("Segment"))
        page, per_page = page_of(request, clamp=self._quirks.clamp_per_page)
        count = max(1, per_page - request.short_by)
        efforts = await _within(request, catalogue, segment_id)
        return await self._listed(catalogue, efforts[(page - 1) * count : page * count])

    async def detail(self, request: EmulatorRequest) -> Response:
        """GET /segment_efforts/{id}: with the activity's summary and the athlete's; statistics with ``read_all``."""
        catalogue = self._subscriber(request)
        effort = await self._seen(request, catalogue)
        world = catalogue.world
        segment = world.segments.all()[effort["segment"]["id"]]
        part = {
            "resource_state": 3,
            "activity": catalogue.find(effort["activity"]["id"], private=True),
            "athlete": world.summary_profile,
        }
        return json_response(effort | part | await athlete_part(request, catalogue, segment))

    async def streams(self, request: EmulatorRequest) -> Response:
        """GET /segment_efforts/{id}/streams: the distance alone without ``keys``.

        They are a section of the activity's: time and distance don't start at 0.
        """
        request.require("read_all")
        catalogue = self._catalogue_of(request.athlete_id, request.now)
        effort = await self._seen(request, catalogue)
        keys, by_type = asked_streams(request, ("distance",))
        streams = catalogue.world.streams(effort["activity"]["id"]) or {}
        piece = segment_streams.cut(streams, effort["start_index"], effort["end_index"])
        return json_response(segment_streams.chosen(piece, keys, by_type=by_type))

    def _subscriber(self, request: EmulatorRequest) -> Catalogue:
        request.require("activity:read", "activity:read_all", "read_all")
        catalogue = self._catalogue_of(request.athlete_id, request.now)
        if not (self._quirks.subscribed and catalogue.world.profile.get("summit", True)):
            raise HttpError(402, "Payment Required")
        return catalogue

    async def _seen(self, request: EmulatorRequest, catalogue: Catalogue) -> dict[str, Any]:
        missing = not_found("SegmentEffort")
        activity_id, number = activity_of(request.number_in_path(missing))
        if catalogue.find(activity_id, private=request.may("activity:read_all")) is None:
            raise missing
        efforts = await self._executor.run(lambda: catalogue.world.segment_efforts(activity_id))
        if number >= len(efforts):
            raise missing
        return _shown(efforts[number])

    async def _listed(self, catalogue: Catalogue, efforts: Sequence[TimedEffort]) -> Response:
        parts: list[bytes] = []
        for effort in efforts:  # each may take the time of an activity's streams
            body = await self._executor.run(partial(_body, catalogue, effort))
            parts.append(body.plain)
        return Response(200, EncodedBody(b"[" + b",".join(parts) + b"]"))


async def _within(request: EmulatorRequest, catalogue: Catalogue, segment_id: int) -> list[TimedEffort]:
    since, until = _wall(request, "start_date_local", 0.0), _wall(request, "end_date_local", float("inf"))
    segment = seen_segment(request, catalogue, segment_id)
    return [effort for effort in await seen_efforts(request, catalogue, segment) if since <= effort.wall <= until]


def _wall(request: EmulatorRequest, name: str, default: float) -> float:
    written = request.query.get(name)
    return instant(written, bad_request("SegmentEffort", name)) if written else default


def _body(catalogue: Catalogue, effort: TimedEffort) -> EncodedBody:
    """Return an effort's JSON. All efforts of its activity are cached: clients often list several segments."""

    def make() -> dict[str, Any]:
        made = [_shown(one) for one in catalogue.world.segment_efforts(effort.activity["id"])]
        for one in made[: effort.number] + made[effort.number + 1 :]:
            _keep(catalogue, one)
        return made[effort.number]

    return catalogue.body(effort.activity["id"], ("effort", effort.number), make)


def _keep(catalogue: Catalogue, effort: dict[str, Any]) -> None:
    activity_id, number = activity_of(effort["id"])
    catalogue.body(activity_id, ("effort", number), lambda: effort)


def _shown(effort: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in effort.items() if key != "hidden"}  # only in an activity's detail
