"""One thing that is asked for, and what is kept of the answer.

Rules:

- A body is kept as it came: in gzip if it came so, whichever HTTP client brought it; else it is compressed here. It
  has been read as JSON once, and has the documented shape.
- A list that comes in pages is kept as one list. It is not read past the number of items that the list row gives,
  nor past a page that comes again.
- 404 on streams, laps and the like says that there are none; on the detail, that the activity is gone.
- Streams without samples are not ready yet: they are asked for again after 5, 15 and 45 minutes, and are none then. An
  empty body is a failure.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from strava_async._concurrency.threads import finish_in_thread
from strava_async._types import is_list, is_object
from strava_async.errors import DecodeError, FaultError, NotFoundError, StravaError
from strava_async.harvest.agenda import Job
from strava_async.harvest.base import GZIP, Resource, Row, State
from strava_async.harvest.kinds import PENDING_SECONDS, RULES, Kind, count_of, failed_until, stream_parameters
from strava_async.harvest.listing import PER_PAGE
from strava_async.harvest.rows import row_of_detail
from strava_async.protocol import ApiV3
from strava_async.request.decompression import decompressed
from strava_async.request.json_values import decode
from strava_async.request.reply import MAX_BODY_BYTES

MOST_PAGES = 500
_LONGEST_CURSOR = 1_000
_LEVEL = 4
_LARGE_BYTES = 8 * 1024
_GZIP_BITS = 31  # zlib's number for gzip with the largest window
_SIZE_BYTES = 4  # at the end of gzip: of what is in it
_SENT_AS_GZIP = frozenset({"gzip", "x-gzip"})

Get = Callable[[str, Mapping[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """A body, and the value that it is.

    Attributes:
        value: the JSON decoded.
        body: the JSON.
        packed: the same in gzip, as it came; None if it came in another way.
    """

    value: Any
    body: bytes
    packed: bytes | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What Strava says of an activity that was asked about: its list row and its detail; neither if it is gone."""

    row: Row | None
    detail: Resource | None


class Fetcher:
    """Asks for one athlete.

    Args:
        api: makes the requests.
        asking: returns what is entered around each request.
    """

    def __init__(self, api: ApiV3, asking: Callable[[], AbstractContextManager[None]]) -> None:
        self._api = api
        self._asking = asking

    async def page(self, query: Mapping[str, Any]) -> list[Any]:
        """Return a page of the list of activities."""
        answer = await self._ask("/athlete/activities", query, "list")
        items: list[Any] = answer.value
        return items

    async def fetch(self, job: Job, now: Callable[[], float]) -> Resource | None:
        """Return what is to be kept of a job; None if the activity is gone.

        Raises:
            StravaError: there is no usable answer.
        """
        try:
            answer = await self._answer(job)
        except NotFoundError as error:
            if job.kind == Kind.DETAIL:
                return None
            return Resource(job.kind, job.key, State.NONE, now(), job.stamp, error.status_code)
        if job.kind == Kind.STREAMS and not _has_samples(answer.value):
            return _not_ready(job, now())
        return await _stored(job.kind, job.key, job.stamp, answer, now())

    async def look(self, activity_id: int, now: Callable[[], float]) -> Look:
        """Ask whether an activity is still there, and what it is now.

        Raises:
            StravaError: there is no usable answer.
        """
        path = RULES[Kind.DETAIL].endpoint.path
        try:
            answer = await self._ask(path, {"id": activity_id}, "object")
        except NotFoundError:
            return Look(None, None)
        row = row_of_detail(answer.value)
        if row is None or row.activity.id != activity_id:
            shown = path.format(id=activity_id)
            raise DecodeError(f"{shown} answered without the id or the start of that activity", path=shown)
        stamp = row.activity.stamps[Kind.DETAIL]
        return Look(row, await _stored(Kind.DETAIL, str(activity_id), stamp, answer, now()))

    async def _answer(self, job: Job) -> Answer:
        rule, path = RULES[job.kind], {"id": job.key}
        if job.kind == Kind.STREAMS:
            return await self._streams(path, job.activity is None or job.activity.has_distance)
        if not rule.endpoint.paging:
            return await self._ask(rule.endpoint.path, path, rule.shape)
        items = await self._items(job.kind, path, count_of(job.kind, job.stamp))
        try:
            return Answer(items, json.dumps(items, separators=(",", ":")).encode())
        except RecursionError:
            shown = rule.endpoint.path.format(id=job.key)
            raise DecodeError(f"{shown} answered with what is nested too deeply to be kept", path=shown) from None

    async def _streams(self, path: Mapping[str, Any], has_distance: bool) -> Answer:
        *others, last = stream_parameters(has_distance)
        for query in others:
            try:
                return await self._ask(RULES[Kind.STREAMS].endpoint.path, {**path, **query}, "streams")
            except NotFoundError:
                continue
        return await self._ask(RULES[Kind.STREAMS].endpoint.path, {**path, **last}, "streams")

    async def _items(self, kind: Kind, path: Mapping[str, Any], expected: int | None) -> list[Any]:
        endpoint = RULES[kind].endpoint
        items: list[Any] = []
        before = b""
        query: dict[str, Any] = {"per_page": PER_PAGE, "page": 1}
        if endpoint.paging == "cursor":
            query = {"page_size": PER_PAGE}
        for number in range(1, MOST_PAGES + 1):
            answer = await self._ask(endpoint.path, {**path, **query}, "list")
            if answer.body == before:  # that again: there are no others
                break
            page, before = answer.value, answer.body
            items += page
            cursor = _cursor(page)
            is_end = not page or (expected is not None and len(items) >= expected)
            if is_end or (endpoint.paging == "cursor" and cursor in (None, query.get("after_cursor"))):
                break
            query = {**query, **({"page": number + 1} if endpoint.paging == "page" else {"after_cursor": cursor})}
        return items

    async def _ask(self, path: str, query: Mapping[str, Any], shape: str) -> Answer:
        with self._asking():
            answer: Answer = await self._api.request("GET", path, query, decode_sent=_READERS[shape])
        return answer


def failed(job: Job, error: StravaError, now: float) -> Resource:
    """Return what is kept of a failure."""
    status = error.status_code if isinstance(error, FaultError) else 0
    tries = job.tries + 1
    return Resource(
        job.kind,
        job.key,
        State.FAILED,
        now,
        job.stamp,
        status,
        retry_at=failed_until(now, tries),
        tries=tries,
        reason=printable(str(error)),
    )


def printable(text: str, length: int = 300) -> str:
    """Return a text without control characters and lone surrogates, which no file can hold, and not too long."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:length])


def compressed(body: bytes) -> bytes:
    """Return a body in gzip; the same for the same body."""
    packer = zlib.compressobj(_LEVEL, wbits=_GZIP_BITS)
    return packer.compress(body) + packer.flush()


def plain_body(resource: Resource) -> bytes | None:
    """Return the JSON of a resource that was read; None if there is none."""
    if resource.body is None or resource.coding != GZIP:
        return resource.body
    return decompressed(resource.body, GZIP, MAX_BODY_BYTES)  # as it was when it came, with the same bounds


async def _stored(kind: Kind, key: str, stamp: str, answer: Answer, now: float) -> Resource:
    body, packed = answer.body, answer.packed
    if packed is None:
        # A large one takes milliseconds, in which a thread does not hold the interpreter.
        packed = compressed(body) if len(body) < _LARGE_BYTES else await finish_in_thread(lambda: compressed(body))
    return Resource(kind, key, State.STORED, now, stamp, body=packed, coding=GZIP)


def _not_ready(job: Job, now: float) -> Resource:
    tries = job.tries + 1
    if tries > len(PENDING_SECONDS):
        return Resource(job.kind, job.key, State.NONE, now, job.stamp)
    retry_at = now + PENDING_SECONDS[tries - 1]
    return Resource(job.kind, job.key, State.PENDING, now, job.stamp, retry_at=retry_at, tries=tries)


def _has_samples(streams: Mapping[str, Any]) -> bool:
    return any(is_object(stream) and is_list(stream.get("data")) and stream["data"] for stream in streams.values())


def _object(body: bytes, sent: bytes, coding: str) -> Answer:
    value: object = decode(body)
    if not is_object(value):
        raise ValueError("the answer is no object")
    return Answer(value, body, _packed(body, sent, coding))


def _detail(body: bytes, sent: bytes, coding: str) -> Answer:
    answer = _object(body, sent, coding)
    if not answer.value:
        raise ValueError("the answer is empty")
    return answer


def _list(body: bytes, sent: bytes, coding: str) -> Answer:
    value = decode(body)
    if not is_list(value):
        raise ValueError("the answer is no list")
    return Answer(value, body, _packed(body, sent, coding))


def _packed(body: bytes, sent: bytes, coding: str) -> bytes | None:
    """Return a body as it was sent, if that is gzip with nothing behind it, which every reader of gzip understands."""
    is_gzip = coding.strip().lower() in _SENT_AS_GZIP
    return sent if is_gzip and int.from_bytes(sent[-_SIZE_BYTES:], "little") == len(body) else None


_READERS: Mapping[str, Callable[[bytes, bytes, str], Answer]] = {"object": _detail, "list": _list, "streams": _object}


def _cursor(page: Sequence[Any]) -> str | None:
    last = page[-1] if page else None
    cursor = last.get("cursor") if is_object(last) else None
    is_usable = isinstance(cursor, str) and len(cursor) <= _LONGEST_CURSOR and cursor.isascii() and cursor.isprintable()
    return cursor if is_usable else None
