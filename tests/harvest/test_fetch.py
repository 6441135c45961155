"""What is kept of a body: gzip as it came, and in gzip what came otherwise; never what cannot be read."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import nullcontext

import anyio
import httpx
import pytest

from strava_async import ApiV3, RateLimiter, RetryPolicy
from strava_async.errors import DecodeError
from strava_async.harvest import Kind, Resource
from strava_async.harvest.agenda import Job
from strava_async.harvest.fetch import Fetcher, plain_body
from strava_async.testing import FakeClock

pytestmark = pytest.mark.anyio

JSON = json.dumps({"id": 1, "name": "x" * 5_000}).encode()
PACKED = gzip.compress(JSON, compresslevel=1, mtime=0)


class Body(httpx.AsyncByteStream):
    """Bytes that httpx does not unpack beforehand."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content


async def fetched(content: bytes, coding: str) -> Resource | None:
    """Return what is kept of a detail that comes so."""
    fields = {"Content-Type": "application/json", **({"Content-Encoding": coding} if coding else {})}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, headers=fields, stream=Body(content)))
    async with httpx.AsyncClient(transport=transport) as http_client:
        api = ApiV3(
            "token", http_client, rate_limiter=RateLimiter(clock=FakeClock()), retry=RetryPolicy(max_attempts=1)
        )
        return await Fetcher(api, nullcontext).fetch(Job(Kind.DETAIL, "1"), lambda: 5.0)


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZip "])
async def test_gzip_is_kept_as_it_came(coding: str) -> None:
    resource = await fetched(PACKED, coding)
    assert resource is not None
    assert (resource.body, resource.coding) == (PACKED, "gzip")
    assert plain_body(resource) == JSON


@pytest.mark.parametrize(
    ("content", "coding"),
    [
        (JSON, ""),
        (JSON, "identity"),
        (zlib.compress(JSON), "deflate"),
        (gzip.compress(PACKED, mtime=0), "gzip, gzip"),
        (PACKED + b"what is behind it", "gzip"),
        (gzip.compress(JSON[:9], mtime=0) + gzip.compress(JSON[9:], mtime=0), "gzip"),
    ],
    ids=["plain", "identity", "deflate", "gzip twice", "gzip with an end", "gzip in parts"],
)
async def test_what_came_otherwise_is_kept_in_gzip(content: bytes, coding: str) -> None:
    resource = await fetched(content, coding)
    assert resource is not None
    assert resource.body is not None
    assert gzip.decompress(resource.body) == JSON
    assert plain_body(resource) == JSON


@pytest.mark.parametrize("content", [PACKED[:-9], PACKED[:50] + b"\0" * 9 + PACKED[59:], gzip.compress(b"<html>")])
async def test_what_is_damaged_or_no_json_is_not_kept(content: bytes) -> None:
    with anyio.fail_after(60), pytest.raises(DecodeError):
        await fetched(content, "gzip")
