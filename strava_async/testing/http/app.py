"""The ASGI application: from a request to a route, past access control and faults, and back as a response."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from fnmatch import fnmatchcase

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from strava_async.clock import Clock
from strava_async.testing.faults import Fault, Faults
from strava_async.testing.http.access import UPLOAD_CLASS, AccessControl
from strava_async.testing.http.headers import application_fields, is_chunked
from strava_async.testing.http.hosts import is_cross_site
from strava_async.testing.http.request import EmulatorRequest
from strava_async.testing.http.responses import GZIP_MINIMUM_BYTES, HttpError, Response, cross_site, unknown_path
from strava_async.testing.http.routing import RouteTable

REQUESTS_KEPT = 100_000
_CHUNK_BYTES = 16_384  # of a body without a length
_SECRET_PARAMETERS = frozenset({"access_token", "client_secret", "code", "refresh_token", "token"})


@dataclass(frozen=True, slots=True)
class Served:
    """A request that was answered.

    Attributes:
        method: its method.
        path: its path, as requested.
        status_code: the status of the response, delivered or lost.
        at: when it was processed; Unix seconds on the emulator's clock.
        athlete_id: of the access token; None without a known token.
        client_id: of the access token; None without a known token.
        query: the parameters of the query; secrets are masked.
    """

    method: str
    path: str
    status_code: int
    at: float
    athlete_id: int | None
    client_id: int | None
    query: Mapping[str, str] = field(default_factory=dict[str, str])


class EmulatorApp:
    """The ASGI application.

    Args:
        clock: the time used for windows, tokens and ``Date`` fields.
        access: checks every call of the API.
        faults: failures on demand.
        api_prefix: the path of the API; empty if it is the root.
        latency_seconds: how long a request takes on the clock, half of it before and half after it is processed.
    """

    def __init__(
        self, clock: Clock, access: AccessControl, faults: Faults, *, api_prefix: str, latency_seconds: float
    ) -> None:
        self.api = RouteTable()
        self.pages = RouteTable()
        self.polled = RouteTable()  # the front page's own requests: no faults, no record
        self.requests: deque[Served] = deque(maxlen=REQUESTS_KEPT)
        self.latency_seconds = latency_seconds
        self._clock = clock
        self._access = access
        self._faults = faults
        self._prefix = api_prefix
        self._date = (0, "")

    def names(self, path: str) -> tuple[str, ...]:
        """Return the path as requested and, for one of the API, as the documents name it."""
        below = path.removeprefix(self._prefix) if path.startswith(f"{self._prefix}/") else path
        return (path,) if below == path else (path, below)

    def count(self, method: str | None, path: str | None) -> int:
        """Return how many of ``requests`` match; see ``Emulator.count``."""
        return sum(
            1
            for served in self.requests
            if (method is None or served.method == method.upper())
            and (path is None or any(fnmatchcase(name, path) for name in self.names(served.path)))
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of the ASGI protocol."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            request = EmulatorRequest(Request(scope, receive), _path_below_mount(scope))
            try:
                answer = await self._answer(request)
            except ClientDisconnect:
                return
            await _send(request, answer, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _answer(self, request: EmulatorRequest) -> Response:
        if (polled := self.polled.find(request.method, request.path)) is not None:
            request.now = self._clock.time()
            return self._complete(request, await polled[0](request))
        foreign = is_cross_site(request.method, request.asgi_request.headers)
        faults = () if foreign else self._faults.take(request.method, self.names(request.path))
        for fault in faults:
            if fault.refusal is not None:
                raise fault.refusal()
        half = self.latency_seconds / 2
        # Without latency this is only a checkpoint: requests sent together are in flight together.
        await self._clock.sleep(half + sum(fault.delay_seconds for fault in faults))
        request.now = self._clock.time()
        answer = self._complete(request, await self._process(request, faults, foreign=foreign))
        for fault in faults:
            answer = fault.alter(answer) if fault.alter is not None else answer
        self._record(request, answer)
        for fault in faults:
            if fault.loss is not None:
                raise fault.loss()
        if half > 0:
            await self._clock.sleep(half)
        return answer

    async def _process(self, request: EmulatorRequest, faults: Iterable[Fault], *, foreign: bool) -> Response:
        request.short_by = max((fault.short_by for fault in faults), default=0)
        try:
            for fault in faults:
                if fault.instead is not None:
                    if fault.counted:
                        self._check_access(request, checked=False)
                    return fault.instead
            _ = request.query  # a query that cannot be read is refused whether it is needed or not
            if foreign:
                raise cross_site()
            return await self._dispatch(request)
        except HttpError as refusal:
            return refusal.response()

    async def _dispatch(self, request: EmulatorRequest) -> Response:
        page = self.pages.find(request.method, request.path)
        if page is None and (below := self._check_access(request, checked=True)) is not None:
            page = self.api.find(request.method, below)
        if page is None:
            raise unknown_path()
        handler, request.path_values = page
        return await handler(request)

    def _check_access(self, request: EmulatorRequest, *, checked: bool) -> str | None:
        """Identify, count and (if ``checked``) check; return the path below the API, None for one outside."""
        if not request.path.startswith(f"{self._prefix}/") or request.path.startswith("/oauth/"):
            return None
        below = request.path.removeprefix(self._prefix)
        if below.startswith("/oauth/"):
            return None
        self._access.identify(request, self._access.token_of(request))
        refusal = self._access.count(request, "upload" if (request.method, below) in UPLOAD_CLASS else "read")
        if checked:
            if refusal is not None:
                raise refusal
            self._access.check(request)
        return below

    def _complete(self, request: EmulatorRequest, answer: Response) -> Response:
        second = int(request.now)
        if self._date[0] != second:
            self._date = (second, formatdate(second, usegmt=True))
        # Fields of the handler take precedence; an empty value removes a field.
        present = {name.lower() for name in answer.headers}
        around = {"Date": self._date[1], **application_fields(answer), **(request.rate_headers or {})}
        headers = {name: value for name, value in around.items() if name.lower() not in present} | dict(answer.headers)
        return replace(answer, headers={name: value for name, value in headers.items() if value})

    def _record(self, request: EmulatorRequest, answer: Response) -> None:
        query = {name: "***" if name in _SECRET_PARAMETERS else value for name, value in request.query.items()}
        token = request.token
        athlete_id, client_id = (token.athlete_id, token.client_id) if token else (None, None)
        served = Served(request.method, request.path, answer.status_code, request.now, athlete_id, client_id, query)
        self.requests.append(served)


def _path_below_mount(scope: Scope) -> str:
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _send(request: EmulatorRequest, answer: Response, send: Send) -> None:
    body = answer.body.plain
    fields = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in answer.headers.items()]
    if answer.content_type:
        fields.append((b"Content-Type", answer.content_type.encode("latin-1")))
    if len(body) >= GZIP_MINIMUM_BYTES and "gzip" in request.asgi_request.headers.get("accept-encoding", ""):
        body = answer.body.gzipped()
        fields.append((b"Content-Encoding", b"gzip"))
        if "Vary" not in answer.headers:
            fields.append((b"Vary", b"Accept-Encoding"))
    pieces = [body]
    if is_chunked(answer):
        pieces = [body[start : start + _CHUNK_BYTES] for start in range(0, len(body), _CHUNK_BYTES)]
    else:
        fields.append((b"Content-Length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": answer.status_code, "headers": fields})
    for piece in pieces if request.method != "HEAD" else ():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
