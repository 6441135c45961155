"""A server of canned bytes with Strava's header fields: ``python -m benchmarks.server``.

Raw asyncio sockets, so that it is never the bottleneck. It answers GET only, on two ports of loopback: one
answers at once, one after ``LATENCY_SECONDS``. Each bearer has its own meters, which never reach their limit. It ends
when its standard input ends, after ``MAX_SECONDS`` or after ``MAX_REQUESTS``.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from email.utils import formatdate

from benchmarks.bodies import Bodies, make_bodies
from strava_async.testing.meters import MeterLimits, Meters

LATENCY_SECONDS = 0.150
MAX_SECONDS = 1_800.0
MAX_REQUESTS = 2_000_000

_LIMIT = 90_000_000
_BEARER = re.compile(rb"\r\nauthorization: *([^\r]*)", re.IGNORECASE)
_PAGE = re.compile(rb"[?&]page=(\d+)")
_NUMBER = re.compile(rb"/activities/(\d+)")
# The fields of a recorded answer of 2025-10, except those that differ from answer to answer.
_FIELDS = b"""\
HTTP/1.1 200 OK
Content-Type: application/json; charset=utf-8
Connection: keep-alive
X-Envoy-Upstream-Service-Time: 376
Server: istio-envoy
Status: 200 OK
Vary: Accept, Origin
Cache-Control: max-age=0, private, must-revalidate
Referrer-Policy: strict-origin-when-cross-origin
X-Permitted-Cross-Domain-Policies: none
X-Xss-Protection: 1; mode=block
X-Request-Id: 55580e5a-f6c8-4983-8b12-ce7c0a0d4986
X-Download-Options: noopen
Etag: W/"293a781e58ba6c1080d86a7b8f2c0f8c"
X-Frame-Options: DENY
X-Content-Type-Options: nosniff
X-Cache: Miss from cloudfront
Via: 1.1 9d75edcf5a40394118428c99809b7ff6.cloudfront.net (CloudFront)
X-Amz-Cf-Pop: JFK52-P3
X-Amz-Cf-Id: 6lPd_5v1JW3nqxoIBs59iPWv1LTQJHXe7jmR01iA6Q8N58YO7B8RNA==
""".replace(b"\n", b"\r\n")


class Answers:
    """Returns the responses, and counts them.

    Args:
        bodies: what to send.
    """

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._meters: dict[bytes, Meters] = {}
        self.count = 0

    def to(self, request: bytes) -> bytes:
        """Return the whole answer to a request."""
        self.count += 1
        body, packed = self._body(request[: request.index(b"\r\n")])
        now = time.time()
        verdict = self._meters_of(request).count("read", now)
        fields = [f"{name}: {value}" for name, value in verdict.headers.items()]
        fields += [f"Date: {formatdate(now, usegmt=True)}", f"Content-Length: {len(body)}"]
        if packed:
            fields.append("Content-Encoding: gzip")
        return b"%s%s\r\n\r\n%s" % (_FIELDS, "\r\n".join(fields).encode("ascii"), body)

    def _body(self, line: bytes) -> tuple[bytes, bool]:
        bodies = self._bodies
        if page := _PAGE.search(line):
            return bodies.pages[int(page[1]) % len(bodies.pages)], True
        if number := _NUMBER.search(line):
            kind = bodies.streams if b"/streams" in line else bodies.details
            return kind[int(number[1]) % len(kind)], True
        return bodies.small, False

    def _meters_of(self, request: bytes) -> Meters:
        bearer = _BEARER.search(request)
        key = bearer[1] if bearer else b""
        if key not in self._meters:
            self._meters[key] = Meters(MeterLimits(_LIMIT, _LIMIT, _LIMIT, _LIMIT))
        return self._meters[key]


class Connection(asyncio.Protocol):
    """One connection.

    Args:
        answers: shared by all.
        latency: seconds before each answer.
    """

    def __init__(self, answers: Answers, latency: float) -> None:
        self._answers = answers
        self._latency = latency
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            request, self._received = self._received[: end + 2], self._received[end + 4 :]
            if self._latency:
                asyncio.get_running_loop().call_later(self._latency, self._answer, request)
            else:
                self._answer(request)

    def _answer(self, request: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._answers.count >= MAX_REQUESTS:
            transport.abort()
            return
        transport.write(self._answers.to(request))


async def listen(answers: Answers, latency: float) -> asyncio.Server:
    """Return a server on a free port of loopback."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Connection(answers, latency), "127.0.0.1", 0, backlog=512)


def url_of(server: asyncio.Server) -> str:
    """Return the base of the API that a server answers for."""
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/v3"


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    answers = Answers(make_bodies())
    async with await listen(answers, 0.0) as prompt, await listen(answers, LATENCY_SECONDS) as distant:
        print(json.dumps({"prompt": url_of(prompt), "distant": url_of(distant)}), flush=True)
        commands = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
        async with asyncio.timeout(MAX_SECONDS):
            await commands.read()


if __name__ == "__main__":
    asyncio.run(_serve())
