"""Segments: one by its id, the starred ones, what there is within a rectangle, their streams.

What there is are the segments along the roads of the athlete's own activities and saved routes.

Source:
    https://developers.strava.com/docs/reference/ (Segments, Streams).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from anyio.lowlevel import checkpoint

from strava_async.testing.http.parameters import integer, page_of, truth
from strava_async.testing.http.request import Visit
from strava_async.testing.http.responses import Answer, bad_request, closed, json_answer, not_found
from strava_async.testing.quirks import Quirks
from strava_async.testing.state.catalogue import Catalogue, CatalogueOf
from strava_async.testing.world.segments import detail as segment_detail
from strava_async.testing.world.segments import streams as segment_streams
from strava_async.testing.world.segments.effort_times import Pass
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

    async def detail(self, visit: Visit) -> Answer:
        """GET /segments/{id}: private ones, and ``athlete_segment_stats``, with ``read_all``."""
        visit.require("read", "read_all")
        catalogue, segment = self._seen(visit)
        return json_answer(await _detailed(visit, catalogue, segment))

    async def starred(self, visit: Visit) -> Answer:
        """GET /segments/starred: paged, the one starred last first; private ones and records with ``read_all``."""
        visit.require("read", "read_all")
        page, per_page = page_of(visit, clamp=self._quirks.clamp_per_page)
        count = max(1, per_page - visit.short_by)
        catalogue = self._catalogue_of(visit.athlete_id, visit.now)
        known = catalogue.world.segments.all()
        starred = sorted(
            (segment.starred_at, segment_id)
            for segment_id, segment in known.items()
            if segment.starred_at is not None and may_see(visit, segment)
        )
        found = [known[segment_id] for _, segment_id in starred[::-1][(page - 1) * count : page * count]]
        return json_answer([segment.summary | await _starred_part(visit, catalogue, segment) for segment in found])

    async def star(self, visit: Visit) -> Answer:
        """PUT /segments/{id}/starred: a form with ``starred``; the answer is the segment, as it is then."""
        visit.require("profile:write")
        catalogue, segment = self._seen(visit)
        sent = (await visit.parameters()).get("starred")
        if sent is None or sent.lower() not in _WORDS:
            raise bad_request("Segment", "starred", "missing" if sent is None else "invalid")
        starred = catalogue.world.segments.star(segment.summary["id"], starred=_WORDS[sent.lower()], now=visit.now)
        catalogue.touch(catalogue.world.segments.passed_by(starred))  # their details show whether it is starred
        detail = await _detailed(visit, catalogue, starred)
        return json_answer(detail | await _starred_part(visit, catalogue, starred))

    async def explore(self, visit: Visit) -> Answer:
        """GET /segments/explore: the ten most ridden, or run, that begin within ``bounds``; public ones only.

        Since 2026-09-01 it is for applications of the Extended Access tier (see ``Quirks.explore_open``). Riding is
        what is meant without ``activity_type``: the documents of old say so, those of today say nothing.
        """
        visit.require("read", "read_all")
        if not self._quirks.explore_open:
            raise closed()
        south, west, north, east = _bounds(visit)
        types = _ACTIVITY_TYPES.get(visit.query.get("activity_type", "riding"))
        if types is None:
            raise bad_request("Segment", "activity_type")
        low, high = _category(visit, "min_cat", 0), _category(visit, "max_cat", _HARDEST)
        world = self._catalogue_of(visit.athlete_id, visit.now).world
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
        return json_answer({"segments": [segment_detail.explored(segment) for segment in found[:_EXPLORED]]})

    async def streams(self, visit: Visit) -> Answer:
        """GET /segments/{id}/streams: all three without ``keys``; of private ones with ``read_all``."""
        visit.require("read", "read_all")
        _, segment = self._seen(visit)
        keys, by_type = asked_streams(visit, segment_streams.SEGMENT_KEYS)
        streams = segment_streams.segment_streams(segment)
        return json_answer(segment_streams.chosen(streams, keys, by_type=by_type))

    def _seen(self, visit: Visit) -> tuple[Catalogue, Segment]:
        number = visit.number_in_path(not_found("Segment"))
        catalogue = self._catalogue_of(visit.athlete_id, visit.now)
        return catalogue, seen_segment(visit, catalogue, number)


def may_see(visit: Visit, segment: Segment) -> bool:
    """Say whether the token shows that segment."""
    return visit.may("read_all") or not segment.summary["private"]


def seen_segment(visit: Visit, catalogue: Catalogue, segment_id: int) -> Segment:
    """Return a segment; one that is missing or must not be seen is a 404."""
    segment = catalogue.world.segments.all().get(segment_id)
    if segment is None or not may_see(visit, segment):
        raise not_found("Segment")
    return segment


async def seen_efforts(visit: Visit, catalogue: Catalogue, segment: Segment) -> list[Pass]:
    """Return the efforts on a segment whose activities the token shows, the fastest first."""
    await checkpoint()
    for _ in catalogue.world.segments.timing(segment):
        await checkpoint()
    private = visit.may("activity:read_all")
    efforts = catalogue.world.segments.passes(segment)
    return [effort for effort in efforts if catalogue.find(effort.activity["id"], private=private)]


def asked_streams(visit: Visit, default: Collection[str]) -> tuple[Collection[str], bool]:
    """Return which streams are asked for, and whether by type.

    ``resolution`` and ``series_type`` are checked, as they are for activities, and change nothing.
    """
    query = visit.query
    if query.get("resolution", "high") not in _RESOLUTIONS:
        raise bad_request("Application", "resolution")
    if query.get("series_type", "distance") not in _SERIES:
        raise bad_request("Application", "series_type")
    keys = query["keys"].split(",") if "keys" in query else default
    return keys, truth(query, "key_by_type")


async def athlete_part(visit: Visit, catalogue: Catalogue, segment: Segment) -> dict[str, Any]:
    """Return ``athlete_segment_stats``, which takes ``read_all``; without it there is nothing."""
    efforts = await seen_efforts(visit, catalogue, segment)
    return {"athlete_segment_stats": segment_detail.athlete_stats(efforts)} if visit.may("read_all") else {}


async def _detailed(visit: Visit, catalogue: Catalogue, segment: Segment) -> dict[str, Any]:
    part = await athlete_part(visit, catalogue, segment)
    return catalogue.world.segment(segment, now=visit.now) | part


async def _starred_part(visit: Visit, catalogue: Catalogue, segment: Segment) -> dict[str, Any]:
    efforts = await seen_efforts(visit, catalogue, segment) if visit.may("read_all") else []
    return segment_detail.starred_part(segment, efforts)


def _bounds(visit: Visit) -> tuple[float, float, float, float]:
    refusal = bad_request("Segment", "bounds", "invalid" if visit.query.get("bounds") else "missing")
    try:
        south, west, north, east = map(float, visit.query.get("bounds", "").split(","))
    except ValueError as error:
        raise refusal from error
    if not (-90 <= south <= north <= 90 and -180 <= west <= east <= 180):  # so it is for what is no number, too
        raise refusal
    return south, west, north, east


def _category(visit: Visit, name: str, default: int) -> int:
    category = integer(visit.query, name, "Segment")
    if category is None:
        return default
    if not 0 <= category <= _HARDEST:
        raise bad_request("Segment", name)
    return category
