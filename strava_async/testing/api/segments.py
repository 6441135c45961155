"""Segments: one by its id, the starred ones, those within a rectangle, their streams.

The segments are those along the athlete's own activities and saved routes.

Source:
    https://developers.strava.com/docs/reference/ (Segments, Streams).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from anyio.lowlevel import checkpoint

from strava_async.testing.http.parameters import integer, page_of, truth
from strava_async.testing.http.request import EmulatorRequest
from strava_async.testing.http.responses import Response, bad_request, closed, json_response, not_found
from strava_async.testing.quirks import Quirks
from strava_async.testing.state.catalogue import Catalogue, CatalogueOf
from strava_async.testing.world.segments import detail as segment_detail
from strava_async.testing.world.segments import streams as segment_streams
from strava_async.testing.world.segments.effort_times import TimedEffort
from strava_async.testing.world.segments.index import Segment

_EXPLORED = 10
_ACTIVITY_TYPES = {"running": ("Run", "VirtualRun"), "riding": ("Ride", "VirtualRide", "EBikeRide")}
_HARDEST = len(segment_detail.CLIMBS) - 1
_WORDS = {"true": True, "1": True, "false": False, "0": False}
_RESOLUTIONS, _SERIES = ("low", "medium", "high"), ("time", "distance")


class SegmentsApi:
    """The endpoints below ``/segments`` but for the efforts.

    Args:
        catalogue_of: gives the activities of an athlete as of an instant.
        quirks: see there.
    """

    def __init__(self, catalogue_of: CatalogueOf, quirks: Quirks) -> None:
        self._catalogue_of = catalogue_of
        self._quirks = quirks

    async def detail(self, request: EmulatorRequest) -> Response:
        """GET /segments/{id}: private ones, and ``athlete_segment_stats``, with ``read_all``."""
        request.require("read", "read_all")
        catalogue, segment = self._seen(request)
        return json_response(await _detailed(request, catalogue, segment))

    async def starred(self, request: EmulatorRequest) -> Response:
        """GET /segments/starred: paged, the one starred last first; private ones and records with ``read_all``."""
        request.require("read", "read_all")
        page, per_page = page_of(request, clamp=self._quirks.clamp_per_page)
        count = max(1, per_page - request.short_by)
        catalogue = self._catalogue_of(request.athlete_id, request.now)
        known = catalogue.world.segments.all()
        starred = sorted(
            (segment.starred_at, segment_id)
            for segment_id, segment in known.items()
            if segment.starred_at is not None and may_see(request, segment)
        )
        found = [known[segment_id] for _, segment_id in starred[::-1][(page - 1) * count : page * count]]
        return json_response([segment.summary | await _starred_part(request, catalogue, segment) for segment in found])

    async def star(self, request: EmulatorRequest) -> Response:
        """PUT /segments/{id}/starred: a form with ``starred``; the answer is the changed segment."""
        request.require("profile:write")
        catalogue, segment = self._seen(request)
        sent = (await request.parameters()).get("starred")
        if sent is None or sent.lower() not in _WORDS:
            raise bad_request("Segment", "starred", "missing" if sent is None else "invalid")
        starred = catalogue.world.segments.star(segment.summary["id"], starred=_WORDS[sent.lower()], now=request.now)
        catalogue.touch(catalogue.world.segments.passed_by(starred))  # their details show whether it is starred
        detail = await _detailed(request, catalogue, starred)
        return json_response(detail | await _starred_part(request, catalogue, starred))

    async def explore(self, request: EmulatorRequest) -> Response:
        """GET /segments/explore: the ten most ridden, or run, that start within ``bounds``; public ones only.

        Since 2026-09-01 it is for applications of the Extended Access tier (see ``Quirks.explore_open``). Without
        ``activity_type`` it means riding, as earlier documents say; today's say nothing.
        """
        request.require("read", "read_all")
        if not self._quirks.explore_open:
            raise closed()
        south, west, north, east = _bounds(request)
        types = _ACTIVITY_TYPES.get(request.query.get("activity_type", "riding"))
        if types is None:
            raise bad_request("Segment", "activity_type")
        low, high = _category(request, "min_cat", 0), _category(request, "max_cat", _HARDEST)
        world = self._catalogue_of(request.athlete_id, request.now).world
        found = [
            segment
            for segment in world.segments.all().values()
            if segment.summary["activity_type"] in types
            and not segment.summary["private"]
            and low <= segment.summary["climb_category"] <= high
            and south <= segment.summary["start_latlng"][0] <= north
            and west <= segment.summary["start_latlng"][1] <= east
        ]
        found.sort(key=segment_detail.popularity, reverse=True)
        return json_response({"segments": [segment_detail.explored(segment) for segment in found[:_EXPLORED]]})

    async def streams(self, request: EmulatorRequest) -> Response:
        """GET /segments/{id}/streams: all three without ``keys``; of private ones with ``read_all``."""
        request.require("read", "read_all")
        _, segment = self._seen(request)
        keys, by_type = asked_streams(request, segment_streams.SEGMENT_KEYS)
        streams = segment_streams.segment_streams(segment)
        return json_response(segment_streams.chosen(streams, keys, by_type=by_type))

    def _seen(self, request: EmulatorRequest) -> tuple[Catalogue, Segment]:
        number = request.number_in_path(not_found("Segment"))
        catalogue = self._catalogue_of(request.athlete_id, request.now)
        return catalogue, seen_segment(request, catalogue, number)


def may_see(request: EmulatorRequest, segment: Segment) -> bool:
    """Say whether the token may see that segment."""
    return request.may("read_all") or not segment.summary["private"]


def seen_segment(request: EmulatorRequest, catalogue: Catalogue, segment_id: int) -> Segment:
    """Return a segment; one that is missing or not visible is a 404."""
    segment = catalogue.world.segments.all().get(segment_id)
    if segment is None or not may_see(request, segment):
        raise not_found("Segment")
    return segment


async def seen_efforts(request: EmulatorRequest, catalogue: Catalogue, segment: Segment) -> list[TimedEffort]:
    """Return the efforts on a segment whose activities the token may see, the fastest first."""
    await checkpoint()
    for _ in catalogue.world.segments.timing(segment):
        await checkpoint()
    private = request.may("activity:read_all")
    efforts = catalogue.world.segments.passes(segment)
    return [effort for effort in efforts if catalogue.find(effort.activity["id"], private=private)]


def asked_streams(request: EmulatorRequest, default: Collection[str]) -> tuple[Collection[str], bool]:
    """Return which streams are requested, and whether keyed by type.

    ``resolution`` and ``series_type`` are checked, as they are for activities, and change nothing.
    """
    query = request.query
    if query.get("resolution", "high") not in _RESOLUTIONS:
        raise bad_request("Application", "resolution")
    if query.get("series_type", "distance") not in _SERIES:
        raise bad_request("Application", "series_type")
    keys = query["keys"].split(",") if "keys" in query else default
    return keys, truth(query, "key_by_type")


async def athlete_part(request: EmulatorRequest, catalogue: Catalogue, segment: Segment) -> dict[str, Any]:
    """Return ``athlete_segment_stats``, which needs ``read_all``; None without it."""
    efforts = await seen_efforts(request, catalogue, segment)
    return {"athlete_segment_stats": segment_detail.athlete_stats(efforts)} if request.may("read_all") else {}


async def _detailed(request: EmulatorRequest, catalogue: Catalogue, segment: Segment) -> dict[str, Any]:
    part = await athlete_part(request, catalogue, segment)
    return catalogue.world.segment(segment, now=request.now) | part


async def _starred_part(request: EmulatorRequest, catalogue: Catalogue, segment: Segment) -> dict[str, Any]:
    efforts = await seen_efforts(request, catalogue, segment) if request.may("read_all") else []
    return segment_detail.starred_part(segment, efforts)


def _bounds(request: EmulatorRequest) -> tuple[float, float, float, float]:
    refusal = bad_request("Segment", "bounds", "invalid" if request.query.get("bounds") else "missing")
    try:
        south, west, north, east = map(float, request.query.get("bounds", "").split(","))
    except ValueError as error:
        raise refusal from error
    if not (-90 <= south <= north <= 90 and -180 <= west <= east <= 180):  # NaN fails the comparison, too
        raise refusal
    return south, west, north, east


def _category(request: EmulatorRequest, name: str, default: int) -> int:
    category = integer(request.query, name, "Segment")
    if category is None:
        return default
    if not 0 <= category <= _HARDEST:
        raise bad_request("Segment", name)
    return category
