"""One request: its parameters, its caller, and the rate-limit fields of its response."""

from __future__ import annotations

import json
import re
from typing import Any, cast
from urllib.parse import parse_qsl

from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, parse_options_header
from starlette.requests import Request

from strava_async.testing.http.responses import HttpError, missing_scope, unauthorized
from strava_async.testing.state.grants import AccessToken, Application

FORM_LIMIT_BYTES = 1 << 20
FORM_LIMIT_FIELDS = 500
QUERY_LIMIT_BYTES = 16_384

_ID = re.compile(r"[0-9]{1,18}", re.ASCII)


def clean(text: str) -> str:
    """Return text that UTF-8 can encode: JSON may contain an unpaired surrogate."""
    return text.encode("utf-8", "replace").decode()


def decode_pairs(raw: bytes) -> dict[str, str]:
    """Decode a query or a form; of a name that comes twice, the last counts."""
    try:
        pairs = parse_qsl(
            raw.decode("utf-8", "replace"), keep_blank_values=True, errors="replace", max_num_fields=FORM_LIMIT_FIELDS
        )
    except ValueError as error:
        raise HttpError(400, "Bad Request") from error
    return dict(pairs)


def decode_json(raw: bytes) -> dict[str, Any]:
    """Decode a JSON object; anything else is a 400."""
    try:
        value: Any = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise HttpError(400, "Bad Request") from error
    if not isinstance(value, dict):
        raise HttpError(400, "Bad Request")
    return cast("dict[str, Any]", value)


class SentFile:
    """A file part of a multipart body."""

    __slots__ = ("content", "name")

    def __init__(self, name: str, content: bytes) -> None:
        self.name = name
        self.content = content


class EmulatorRequest:
    """One request, while it is answered.

    Attributes:
        asgi_request: Starlette's view of the request.
        method: its method.
        path: its path below where the emulator is mounted.
        now: when it arrived; Unix seconds.
        path_values: the path segments that the placeholders of the route match, in order.
        application: whose quota it spends, once known.
        token: the access token that was sent, valid or not.
        rate_headers: the rate-limit fields; None where nothing was counted.
        files: the file parts, after ``parameters`` has read a multipart body.
        short_by: how many items a fault leaves out of a page.
    """

    def __init__(self, asgi_request: Request, path: str) -> None:
        self.asgi_request = asgi_request
        self.method: str = asgi_request.method
        self.path = path
        self.now = 0.0
        self.path_values: tuple[str, ...] = ()
        self.application: Application | None = None
        self.token: AccessToken | None = None
        self.rate_headers: dict[str, str] | None = None
        self.files: dict[str, SentFile] = {}
        self.short_by = 0
        self._query: dict[str, str] | None = None

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the query."""
        if self._query is None:
            raw: bytes = self.asgi_request.scope["query_string"]
            self._query = {}  # stays so if the query cannot be read: only the first reader gets the error
            if len(raw) > QUERY_LIMIT_BYTES:
                raise HttpError(414, "Request-URI Too Long")
            self._query = decode_pairs(raw) if raw else {}
        return self._query

    @property
    def bearer(self) -> AccessToken:
        """The access token, after it was checked."""
        if self.token is None:
            raise unauthorized()
        return self.token

    @property
    def athlete_id(self) -> int:
        """The athlete of the token."""
        return self.bearer.athlete_id

    def may(self, *scopes: str) -> bool:
        """Say whether the token has one of the scopes."""
        granted = self.bearer.scope
        return any(scope in granted for scope in scopes)

    def require(self, *scopes: str) -> None:
        """Raise ``HttpError`` unless the token has one of the scopes; the error names the first."""
        if not self.may(*scopes):
            raise missing_scope(scopes[0])

    def number_in_path(self, missing: HttpError) -> int:
        """Return the id in the path; raise ``missing`` for an invalid one."""
        value = self.path_values[0]
        if not _ID.fullmatch(value):
            raise missing
        return int(value)

    async def body(self, limit_bytes: int = FORM_LIMIT_BYTES) -> bytes:
        """Read the body; one above the limit is a 413, after the rest has been read and discarded."""
        chunks: list[bytes] = []
        size = 0
        async for chunk in self.asgi_request.stream():
            size += len(chunk)
            if size <= limit_bytes:
                chunks.append(chunk)
        if size > limit_bytes:
            raise HttpError(413, "Request Entity Too Large")
        return b"".join(chunks)

    @property
    def sends_form(self) -> bool:
        """Whether the content type is that of a form, in either encoding."""
        return self._content_type()[0] in (b"application/x-www-form-urlencoded", b"multipart/form-data")

    async def parameters(self, limit_bytes: int = FORM_LIMIT_BYTES) -> dict[str, str]:
        """Return the parameters of query and body together: form, multipart or JSON. Files go to ``files``."""
        return self.query | await self.fields(limit_bytes)

    async def fields(self, limit_bytes: int = FORM_LIMIT_BYTES) -> dict[str, str]:
        """Return the parameters of the body alone: form, multipart or JSON. Files go to ``files``."""
        kind, options = self._content_type()
        raw = await self.body(limit_bytes)
        if kind == b"application/json":
            return _flat(decode_json(raw)) if raw else {}
        if kind == b"multipart/form-data":
            return self._decode_multipart(raw, options.get(b"boundary", b""))
        return decode_pairs(raw)

    def _content_type(self) -> tuple[bytes, dict[bytes, bytes]]:
        return parse_options_header(self.asgi_request.headers.get("content-type", ""))

    def _decode_multipart(self, raw: bytes, boundary: bytes) -> dict[str, str]:
        values: dict[str, str] = {}

        def keep_field(field: Field) -> None:
            values[_text(field.field_name)] = _text(field.value)

        def keep_file(file: File) -> None:
            file.file_object.seek(0)
            self.files[_text(file.field_name)] = SentFile(_text(file.file_name), file.file_object.read())

        # All in memory: the size is limited, and a thread that writes to disk would stall a test on a fake clock.
        config = {"MAX_MEMORY_FILE_SIZE": float("inf"), "MAX_FIELDS": FORM_LIMIT_FIELDS}
        try:
            parser = FormParser("multipart/form-data", keep_field, keep_file, boundary=boundary, config=config)
            parser.write(raw)
            parser.finalize()
        except FormParserError as error:
            raise HttpError(400, "Bad Request") from error
        return values


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "replace")


def _flat(values: dict[str, Any]) -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, bool):
            flat[clean(name)] = "true" if value else "false"
        elif isinstance(value, str | int | float):
            flat[clean(name)] = clean(str(value))
    return flat
