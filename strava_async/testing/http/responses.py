"""Responses as Strava writes them: JSON, Faults, HTML; and the exception for a Fault."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

JSON_TYPE = "application/json; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"
GZIP_MINIMUM_BYTES = 1_024

# The spelling of the recordings of 2025-10; the documents write X-RateLimit-Limit.
RATE_FIELDS: tuple[str, ...] = (
    "X-Ratelimit-Limit",
    "X-Ratelimit-Usage",
    "X-Readratelimit-Limit",
    "X-Readratelimit-Usage",
)


class EncodedBody:
    """The bytes of a body; compressed form and entity tag are made on first use."""

    __slots__ = ("_etag", "_gzipped", "plain")

    def __init__(self, plain: bytes) -> None:
        self.plain = plain
        self._gzipped: bytes | None = None
        self._etag = ""

    def etag(self) -> str:
        """Return the weak entity tag: in the recordings of 2025 it is half of the body's SHA-256."""
        if not self._etag:
            self._etag = f'W/"{hashlib.sha256(self.plain).hexdigest()[:32]}"'
        return self._etag

    def gzipped(self) -> bytes:
        """Return the body compressed at the fastest level: a test saves time, not bandwidth."""
        if self._gzipped is None:
            self._gzipped = gzip.compress(self.plain, compresslevel=1, mtime=0)
        return self._gzipped


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response before it is sent.

    Attributes:
        status_code: the status.
        body: the bytes.
        content_type: the field of that name; empty for none.
        headers: further fields.
        origin: which backend sends it: the application, the one for the streams of activities, or the edge.
    """

    status_code: int
    body: EncodedBody
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    origin: Literal["application", "streams", "edge"] = "application"


def json_bytes(value: Any) -> bytes:
    """Encode as Strava does: compact, in UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def json_response(value: Any, status_code: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response."""
    return Response(status_code, EncodedBody(json_bytes(value)), headers=headers or {})


def html_response(page: str, status_code: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an HTML response."""
    return Response(status_code, EncodedBody(page.encode("utf-8", "replace")), HTML_TYPE, headers or {})


def empty_response(status_code: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response without a body."""
    return Response(status_code, EncodedBody(b""), "", headers or {})


class HttpError(Exception):
    """An error response: Strava's Fault. Each of ``errors`` is (resource, field, code)."""

    def __init__(self, status_code: int, message: str, *errors: tuple[str, str, str]) -> None:
        super().__init__(status_code, message, errors)
        self.status_code = status_code
        self.message = message
        self.errors = errors

    def response(self) -> Response:
        """Return the Fault as a response."""
        errors = [{"resource": resource, "field": name, "code": code} for resource, name, code in self.errors]
        return json_response({"message": self.message, "errors": errors}, self.status_code)


def bad_request(resource: str, name: str, code: str = "invalid") -> HttpError:
    """400: a parameter is wrong."""
    return HttpError(400, "Bad Request", (resource, name, code))


def unauthorized() -> HttpError:
    """401: no access token, or one that is not valid."""
    return HttpError(401, "Authorization Error", ("Athlete", "access_token", "invalid"))


def wrong_secret() -> HttpError:
    """401: the client id is known, the secret is wrong."""
    return HttpError(401, "Authorization Error", ("Application", "", "invalid"))


def missing_scope(scope: str) -> HttpError:
    """401: the athlete did not grant that."""
    return HttpError(401, "Authorization Error", ("AccessToken", f"{scope}_permission", "missing"))


def closed() -> HttpError:
    """401: the endpoint is not open to ordinary applications."""
    return HttpError(401, "Authorization Error", ("Application", "internal", "invalid"))


def inactive() -> HttpError:
    """403: the owner of the application has no subscription."""
    return HttpError(403, "Forbidden", ("Application", "Status", "Inactive"))


def cross_site() -> HttpError:
    """403: a page of another site sent it. The emulator's own: Strava's forms carry tokens for that."""
    return HttpError(403, "This was sent from a page of another site")


def over_capacity() -> HttpError:
    """403: as many athletes as the application may have. The shape around the message is not documented."""
    return HttpError(403, "Limit of connected athletes exceeded", ("Application", "athletes", "exceeded"))


def not_found(resource: str) -> HttpError:
    """404: missing, or not visible to this caller."""
    return HttpError(404, "Resource Not Found", (resource, "", "not found"))


def unknown_path() -> HttpError:
    """404: there is no such endpoint."""
    return HttpError(404, "Record Not Found", ("resource", "path", "invalid"))


def rate_limited(exceeded: Literal["overall", "read"]) -> HttpError:
    """429: over the limit of that budget. There is no ``Retry-After``."""
    return HttpError(429, "Rate Limit Exceeded", ("Application", f"{exceeded} rate limit", "exceeded"))
