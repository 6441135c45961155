"""Failures on demand.

A ``Fault`` says what happens to one request; ``Faults.add`` says to which. Several may apply to the same request:
delays add up, alterations are applied in the order they were added. Of those that replace the response or refuse the
request, one applies at a time: the next waits for the next request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

from strava_async.testing.http.responses import (
    HTML_TYPE,
    RATE_FIELDS,
    EncodedBody,
    Response,
    empty_response,
    html_response,
    inactive,
    json_response,
    over_capacity,
    rate_limited,
)

_EDGE_PAGE = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"

MakeError = Callable[[], Exception]
Alter = Callable[[Response], Response]


def _reset() -> Exception:
    return ConnectionResetError("the emulator lost this answer on purpose")


def _refused() -> Exception:
    return ConnectionRefusedError("the emulator refused this connection on purpose")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A failure of one request. The class methods make the usual ones.

    Attributes:
        delay_seconds: how long the request waits on the emulator's clock before anything else.
        refusal: makes the exception to raise before anything is processed or counted.
        instead: the response that is sent without processing the request.
        counted: whether a request that is answered by ``instead`` spends quota.
        short_by: how many items are missing from the requested page.
        alter: changes the finished response.
        loss: makes the exception to raise instead of the response, after the request was processed and counted.
    """

    delay_seconds: float = 0.0
    refusal: MakeError | None = None
    instead: Response | None = None
    counted: bool = True
    short_by: int = 0
    alter: Alter | None = None
    loss: MakeError | None = None

    @property
    def decides(self) -> bool:
        """Whether the request is not processed."""
        return self.instead is not None or self.refusal is not None

    @classmethod
    def status(
        cls,
        status_code: int,
        body: object | bytes | str = b"",
        *,
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
        counted: bool = True,
    ) -> Fault:
        """Answer with that status and body.

        Args:
            status_code: any status.
            body: bytes and text go out as they are; anything else as JSON.
            content_type: None means JSON for a JSON body, HTML for bytes and text.
            headers: further fields.
            counted: see ``Fault``.
        """
        if isinstance(body, bytes | str):
            raw = body.encode() if isinstance(body, str) else body
            answer = Response(status_code, EncodedBody(raw), HTML_TYPE if raw else "", headers or {})
        else:
            answer = json_response(body, status_code, headers)
        return cls(
            instead=answer if content_type is None else replace(answer, content_type=content_type), counted=counted
        )

    @classmethod
    def rate_limited(cls, budget: Literal["overall", "read"] = "overall") -> Fault:
        """Answer 429, whatever the meters say; the rate-limit fields are those of the meters."""
        return cls(instead=rate_limited(budget).response())

    @classmethod
    def server_error(cls, status_code: int = 503, *, html: bool = True) -> Fault:
        """Answer 5xx as the edge does: with a page, or nothing, and without having counted the request."""
        answer = html_response(_EDGE_PAGE.format(status_code), status_code) if html else empty_response(status_code)
        return cls(instead=replace(answer, origin="edge"), counted=False)

    @classmethod
    def html(cls, status_code: int = 200) -> Fault:
        """Answer with a page where JSON belongs, as an edge or a captive portal does."""
        page = html_response(_EDGE_PAGE.format("Strava"), status_code)
        return cls(instead=replace(page, origin="edge"), counted=False)

    @classmethod
    def inactive(cls) -> Fault:
        """Answer 403 ``Application/Status/Inactive``."""
        return cls(instead=inactive().response())

    @classmethod
    def capacity(cls) -> Fault:
        """Answer 403 "Limit of connected athletes exceeded"; meant for ``/oauth/token``."""
        return cls(instead=over_capacity().response())

    @classmethod
    def latency(cls, seconds: float) -> Fault:
        """Delay the request, on the emulator's clock, before it is processed."""
        return cls(delay_seconds=seconds)

    @classmethod
    def truncated(cls, keep: float = 0.5) -> Fault:
        """Truncate the body; ``keep`` is the share that remains. The HTTP around it is correct."""
        return cls(alter=lambda answer: _with_body(answer, answer.body.plain[: int(len(answer.body.plain) * keep)]))

    @classmethod
    def empty_body(cls) -> Fault:
        """Process the request, but send only the status and header fields."""
        return cls(alter=lambda answer: _with_body(answer, b""))

    @classmethod
    def without_rate_headers(cls) -> Fault:
        """Leave the four rate-limit fields out; the request is counted all the same."""
        return cls(alter=lambda answer: _with_fields(answer, dict.fromkeys(RATE_FIELDS)))

    @classmethod
    def rate_headers(cls, fields: Mapping[str, str | None]) -> Fault:
        """Replace rate-limit fields, for instance ``{"X-Ratelimit-Usage": "abc"}``; None leaves one out."""
        return cls(alter=lambda answer: _with_fields(answer, fields))

    @classmethod
    def short_pages(cls, missing: int = 1) -> Fault:
        """Make pages shorter than requested, although they are not the last.

        A page of ``per_page`` covers that many items less ``missing`` (but at least one). Add it with ``times=None``:
        then every page is short in the same way, and reading up to the empty page still sees each item once.
        """
        return cls(short_by=missing)

    @classmethod
    def lost(cls, error: MakeError = _reset) -> Fault:
        """Process the request, then lose the response.

        In process, the application raises ``error()``: pass what your HTTP library raises (``httpx.ReadError``) if
        nothing translates an ``OSError``. Behind ``serve`` the connection is cut in the middle of the answer.
        """
        return cls(loss=error)

    @classmethod
    def refused(cls, error: MakeError = _refused) -> Fault:
        """Refuse the request before anything is processed, counted or recorded; for ``error`` see ``lost``.

        Behind ``serve`` a connection exists already, so it looks like ``lost`` to the client.
        """
        return cls(refusal=error)


def _with_body(answer: Response, body: bytes) -> Response:
    return replace(answer, body=EncodedBody(body))


def _with_fields(answer: Response, fields: Mapping[str, str | None]) -> Response:
    changed = {name.lower(): (name, value) for name, value in fields.items()}
    kept = {name: value for name, value in answer.headers.items() if name.lower() not in changed}
    kept.update({name: value for name, value in changed.values() if value is not None})
    return replace(answer, headers=kept)


@dataclass(slots=True)
class _Rule:
    fault: Fault
    method: str | None
    path: str | None
    times: int | None
    after: int

    def applies(self, method: str, paths: tuple[str, ...]) -> bool:
        if self.method is not None and self.method != method:
            return False
        return self.path is None or any(fnmatchcase(path, self.path) for path in paths)


class Faults:
    """Which fault applies to which requests."""

    def __init__(self) -> None:
        self._rules: list[_Rule] = []

    def add(
        self,
        fault: Fault,
        *,
        method: str | None = None,
        path: str | None = None,
        times: int | None = 1,
        after: int = 0,
    ) -> None:
        """Apply a fault to the next matching requests.

        Args:
            fault: what happens.
            method: only requests of this method.
            path: only this path, with or without the API's prefix; ``*`` stands for any characters, slashes too.
            times: how many requests; None means all from now on.
            after: how many matching requests are spared first.
        """
        self._rules.append(_Rule(fault, method and method.upper(), path, times, after))

    def clear(self) -> None:
        """Remove all faults that are still pending."""
        self._rules.clear()

    @property
    def pending(self) -> int:
        """How many of the added faults have not yet applied as often as they should."""
        return len(self._rules)

    def take(self, method: str, paths: tuple[str, ...]) -> list[Fault]:
        """Return the faults that apply to this request, and count them down."""
        if not self._rules:
            return []
        met: list[Fault] = []
        decided = False
        for rule in [rule for rule in self._rules if rule.applies(method, paths)]:
            if rule.after > 0:
                rule.after -= 1
                continue
            if rule.fault.decides and decided:
                continue
            decided = decided or rule.fault.decides
            met.append(rule.fault)
            if rule.times is not None:
                rule.times -= 1
                if rule.times <= 0:
                    self._rules.remove(rule)
        return met
