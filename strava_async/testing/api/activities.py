"""Activities: lists, details, laps, zones, streams, kudos, comments and photos; creating and changing them.

Source:
    https://developers.strava.com/docs/reference/ (Activities, Streams).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from strava_async.testing.api import cursors
from strava_async.testing.http.parameters import (
    PER_PAGE,
    PER_PAGE_LIMIT,
    decimal,
    instant,
    integer,
    page_of,
    required,
    sport_type,
    text,
    truth,
)
from strava_async.testing.http.request import EmulatorRequest, clean, decode_json
from strava_async.testing.http.responses import (
    RATE_FIELDS,
    EncodedBody,
    HttpError,
    Response,
    bad_request,
    closed,
    json_response,
    not_found,
)
from strava_async.testing.http.serial_executor import SerialExecutor
from strava_async.testing.quirks import Quirks
from strava_async.testing.state.catalogue import Catalogue, CatalogueOf
from strava_async.testing.webhooks.events import state_of
from strava_async.testing.webhooks.publisher import EventPublisher
from strava_async.testing.world.record.streams import KEYS

_THUMBNAIL_SIZE = 100  # pixels
_RESOLUTIONS = ("low", "medium", "high")
_NO_RATE_HEADERS = dict.fromkeys(RATE_FIELDS, "")
_TEXTS = ("name", "description")
_FLAGS = ("trainer", "commute", "hide_from_home")
_WORDS = {"true": True, "1": True, "false": False, "0": False}


class ActivitiesApi:
    """The endpoints below ``/activities`` and ``/athlete/activities``.

    Args:
        catalogue_of: gives the activities of an athlete as of an instant.
        next_id: gives the id of a new activity.
        quirks: see there.
        publisher: publishes new and changed activities.
    """

    def __init__(
        self, catalogue_of: CatalogueOf, next_id: Iterator[int], quirks: Quirks, publisher: EventPublisher
    ) -> None:
        self._catalogue_of = catalogue_of
        self._next_id = next_id
        self._quirks = quirks
        self._publisher = publisher
        self._executor = SerialExecutor()

    async def index(self, request: EmulatorRequest) -> Response:
        """GET /athlete/activities: newest first; oldest first with ``after`` alone.

        Bounds are exclusive. The order with ``after`` alone is what users report; Strava does not document it.
        """
        request.require("activity:read", "activity:read_all")
        page, per_page = page_of(request, clamp=self._quirks.clamp_per_page)
        after, before = integer(request.query, "after"), integer(request.query, "before")
        if after is not None and after > request.now:
            raise bad_request("Application", "after", "future")
        count = max(1, per_page - request.short_by)
        body = self._catalogue_of(request.athlete_id, request.now).page(
            after=after,
            before=before,
            private=request.may("activity:read_all"),
            skip=(page - 1) * count,
            count=count,
            oldest_first=after is not None and before is None,
        )
        return Response(200, body)

    async def detail(self, request: EmulatorRequest) -> Response:
        """GET /activities/{id}; ``include_all_efforts`` makes no difference here."""
        return await self._part(request, ("detail",), lambda catalogue, number: catalogue.world.detail(number))

    async def laps(self, request: EmulatorRequest) -> Response:
        """GET /activities/{id}/laps: not paged."""
        return await self._part(request, ("laps",), lambda catalogue, number: catalogue.world.laps(number))

    async def zones(self, request: EmulatorRequest) -> Response:
        """GET /activities/{id}/zones: not paged; needs the athlete to be a subscriber."""
        catalogue, _ = self._seen(request)
        if not (self._quirks.subscribed and catalogue.world.profile.get("summit", True)):
            raise HttpError(402, "Payment Required")
        return await self._part(request, ("zones",), lambda catalogue, number: catalogue.world.activity_zones(number))

    async def kudos(self, request: EmulatorRequest) -> Response:
        """GET /activities/{id}/kudos: paged."""
        catalogue, number = self._seen(request)
        page, per_page = page_of(request, clamp=self._quirks.clamp_per_page)
        count = max(1, per_page - request.short_by)
        return json_response(catalogue.world.kudos(number)[(page - 1) * count : page * count])

    async def comments(self, request: EmulatorRequest) -> Response:
        """GET /activities/{id}/comments: oldest first; by ``after_cursor``, or by the older ``page``.

        Each comment carries a cursor only if one of the paging parameters was sent.
        """
        catalogue, number = self._seen(request)
        comments = catalogue.world.comments(number)
        query = request.query
        if "page" in query or "per_page" in query:
            page, count = page_of(request, clamp=self._quirks.clamp_per_page)
            skip = (page - 1) * count
        else:
            size = integer(query, "page_size")
            count = PER_PAGE if size is None else size
            if not 1 <= count <= PER_PAGE_LIMIT:
                raise bad_request("Application", "page_size")
            skip = cursors.position(query["after_cursor"], comments) if query.get("after_cursor") else 0
        paged = any(name in query for name in ("page", "per_page", "page_size", "after_cursor"))
        chosen = comments[skip : skip + max(1, count - request.short_by)]
        return json_response([{**c, "cursor": cursors.cursor_of(c) if paged else None} for c in chosen])

    async def photos(self, request: EmulatorRequest) -> Response:
        """GET /activities/{id}/photos: not paged and not documented; without ``size`` the pictures are thumbnails."""
        self._seen(request)
        size = integer(request.query, "size")
        if size is not None and size < 1:
            raise bad_request("Application", "size")
        pixels = size or _THUMBNAIL_SIZE
        kind = ("photos", pixels)
        return await self._part(request, kind, lambda catalogue, number: catalogue.world.photos(number, size=pixels))

    async def streams(self, request: EmulatorRequest) -> Response:
        """GET /activities/{id}/streams.

        Without ``keys`` it is the distance alone. An activity without distance is a 404, unless ``series_type=time`` is
        sent. ``resolution`` is checked and otherwise ignored. Rate-limit fields are missing (for both see ``Quirks``),
        and so are those of Strava's application: another backend answers.
        """
        catalogue, number = self._seen(request)
        query = request.query
        if query.get("resolution", "high") not in _RESOLUTIONS:
            raise bad_request("Application", "resolution")
        series_type = query.get("series_type", "distance")
        if series_type not in ("time", "distance"):
            raise bad_request("Application", "series_type")
        requested = set(query.get("keys", "distance").split(","))
        keys = tuple(key for key in KEYS if key in requested)
        by_type = truth(query, "key_by_type")
        needed = "distance" if series_type == "distance" and self._quirks.streams_need_distance else "time"

        def choose() -> Any:
            streams = catalogue.world.streams(number)
            if streams is None or needed not in streams:
                raise HttpError(404, "Resource Not Found")
            return _chosen(streams, keys, by_type=by_type)

        body = await self._body(catalogue, number, ("streams", keys, by_type, needed), choose)
        headers = {} if self._quirks.streams_send_rate_headers else _NO_RATE_HEADERS
        return Response(200, body, headers=headers, origin="streams")

    async def create(self, request: EmulatorRequest) -> Response:
        """POST /activities: a manual activity; upload class."""
        request.require("activity:write")
        values = await request.parameters()
        name = required(values, "name", "Activity")
        sport = sport_type(values, "Activity")
        if sport is None:
            raise bad_request("Activity", "sport_type", "missing")
        written = required(values, "start_date_local", "Activity")
        instant(written, bad_request("Activity", "start_date_local"))
        elapsed_time = integer(values, "elapsed_time", "Activity")
        if elapsed_time is None or not 0 < elapsed_time <= 31_536_000:
            raise bad_request("Activity", "elapsed_time", "missing" if elapsed_time is None else "invalid")
        fields: dict[str, Any] = {
            "name": name,
            "sport_type": sport,
            "start_date_local": written,
            "elapsed_time": elapsed_time,
            "distance": decimal(values, "distance", "Activity", low=0.0, high=1e8) or 0.0,
            "description": text(values, "description", "Activity"),
            "trainer": truth(values, "trainer"),
            "commute": truth(values, "commute"),
        }
        catalogue = self._catalogue_of(request.athlete_id, request.now)
        activity_id = next(self._next_id)
        try:
            detail = catalogue.world.add_manual(fields, activity_id=activity_id, now=request.now)
        except ValueError as error:
            raise bad_request("Activity", str(error).partition(":")[0]) from error
        catalogue.refresh(activity_id)
        self._publisher.created(detail)
        # As in the recording of 2025-10: an empty pair, which a client must accept.
        return json_response(detail, 201, {"X-Readratelimit-Usage": ","})

    async def update(self, request: EmulatorRequest) -> Response:
        """PUT /activities/{id}: JSON, as documented, or a form; the query is ignored, as its flags are by Strava.

        A recording of 2018 shows a form with texts. How Strava reads flags in a form is not known: here as in
        ``POST /activities``.
        """
        request.require("activity:write")
        catalogue, number = self._own(request)
        detail = change(catalogue, number, self._changes(catalogue, await _sent(request)), self._publisher)
        return json_response(detail)

    async def delete(self, request: EmulatorRequest) -> Response:
        """DELETE /activities/{id}: closed since 2017."""
        raise closed()

    def _changes(self, catalogue: Catalogue, sent: dict[str, Any]) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        texts = {name: clean(value) for name, value in sent.items() if isinstance(value, str)}
        for name in _TEXTS:
            if (value := text(texts, name, "Activity")) is not None:
                changes[name] = value
        for name in _FLAGS:
            if isinstance(sent.get(name), bool):
                changes[name] = sent[name]
        if (sport := sport_type(texts, "Activity")) is not None:
            changes["sport_type"] = sport
        if (gear_id := texts.get("gear_id")) is not None:
            if gear_id != "none" and gear_id not in catalogue.world.gear:
                raise bad_request("Activity", "gear_id")
            changes["gear_id"] = gear_id
        return changes

    def _own(self, request: EmulatorRequest) -> tuple[Catalogue, int]:
        number = request.number_in_path(not_found("Activity"))
        catalogue = self._catalogue_of(request.athlete_id, request.now)
        if catalogue.find(number, private=request.may("activity:read_all")) is None:
            raise not_found("Activity")
        return catalogue, number

    def _seen(self, request: EmulatorRequest) -> tuple[Catalogue, int]:
        request.require("activity:read", "activity:read_all")
        return self._own(request)

    async def _part(
        self, request: EmulatorRequest, kind: tuple[Any, ...], make: Callable[[Catalogue, int], Any]
    ) -> Response:
        catalogue, number = self._seen(request)
        return Response(200, await self._body(catalogue, number, kind, lambda: make(catalogue, number)))

    async def _body(
        self, catalogue: Catalogue, number: int, kind: tuple[Any, ...], make: Callable[[], Any]
    ) -> EncodedBody:
        if catalogue.has_body(number, kind):
            return catalogue.body(number, kind, make)

        def work() -> EncodedBody:
            if catalogue.find(number, private=True) is None:  # deleted while this waited for its turn
                raise not_found("Activity")
            return catalogue.body(number, kind, make)

        return await self._executor.run(work)


async def _sent(request: EmulatorRequest) -> dict[str, Any]:
    """Return the fields of an update, with flags as booleans."""
    if not request.sends_form:
        raw = await request.body()
        return decode_json(raw) if raw.strip() else {}
    fields = await request.fields()
    flags = {name: _WORDS[fields[name].lower()] for name in _FLAGS if fields.get(name, "").lower() in _WORDS}
    return fields | flags


def change(
    catalogue: Catalogue, activity_id: int, changes: dict[str, Any], publisher: EventPublisher
) -> dict[str, Any]:
    """Change an activity, publish that, and return its detail; ``KeyError`` if there is none of that id."""
    before = state_of(catalogue.summary(activity_id))
    detail = catalogue.world.update(activity_id, changes)
    catalogue.refresh(activity_id)
    publisher.changed(detail, before)
    return detail


def _chosen(streams: dict[str, dict[str, Any]], keys: tuple[str, ...], *, by_type: bool) -> Any:
    chosen = {key: streams[key] for key in keys if key in streams}
    return chosen if by_type else [{"type": key, **stream} for key, stream in chosen.items()]
