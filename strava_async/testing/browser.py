"""Acts as an athlete's browser on the consent page of an ASGI application: no HTTP library, no socket."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode, urlsplit

import anyio
from starlette.types import ASGIApp, Message


class PageError(RuntimeError):
    """The consent page was not shown, or did not redirect the browser.

    Attributes:
        status_code: the status of the response.
        text: its body.
    """

    def __init__(self, status_code: int, text: str) -> None:
        super().__init__(f"{status_code}: {text[:200]}")
        self.status_code = status_code
        self.text = text


@dataclass(frozen=True, slots=True)
class _Reply:
    status_code: int
    location: str
    text: str


async def _fetch(app: ASGIApp, method: str, url: str, form: bytes = b"") -> _Reply:
    parts = urlsplit(url)
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": parts.scheme or "https",
        "path": parts.path,
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "headers": [(b"host", parts.netloc.encode()), (b"content-type", b"application/x-www-form-urlencoded")],
        "client": ("127.0.0.1", 50_000),
        "server": (parts.hostname or "localhost", parts.port),
    }
    sent = False
    status_code = 0
    location = ""
    body: list[bytes] = []

    async def receive() -> Message:
        nonlocal sent
        if sent:
            await anyio.sleep_forever()
        sent = True
        return {"type": "http.request", "body": form, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status_code, location
        if message["type"] == "http.response.start":
            status_code = message["status"]
            fields = {name.lower(): value for name, value in message["headers"]}
            location = fields.get(b"location", b"").decode("latin-1")
        else:
            body.append(message.get("body", b""))

    await app(scope, receive, send)
    return _Reply(status_code, location, b"".join(body).decode())


class _Form(HTMLParser):
    """The form of the consent page."""

    def __init__(self) -> None:
        super().__init__()
        self.request_id = ""
        self.scope: list[str] = []
        self.athletes: list[str] = []
        self.chosen = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        value = values.get("value", "")
        if tag == "input":
            if values.get("name") == "request_id":
                self.request_id = value
            elif values.get("name") == "scope":
                self.scope.append(value)
            elif values.get("name") == "athlete_id":
                self.athletes.append(value)
                self.chosen = value
        elif tag == "option":
            self.athletes.append(value)
            if "selected" in values:
                self.chosen = value


async def approve(
    app: ASGIApp, authorization_url: str, *, scope: Iterable[str] | None, deny: bool, athlete_id: int | None
) -> str:
    """Open the consent page, fill it in, submit it; return the redirect's target. See ``Emulator.approve``."""
    page = await _fetch(app, "GET", authorization_url)
    if page.location:
        return page.location
    if page.status_code != 200:
        raise PageError(page.status_code, page.text)
    form = _Form()
    form.feed(page.text)
    ticked = form.scope if scope is None else [str(name) for name in scope]
    athlete = form.chosen if athlete_id is None else str(athlete_id)
    if not set(ticked) <= set(form.scope):
        raise ValueError(f"the page offers {', '.join(form.scope)} only")
    if athlete not in form.athletes:
        raise ValueError(f"the page does not offer athlete {athlete}")
    action = "cancel" if deny else "authorize"
    fields = [("request_id", form.request_id), ("athlete_id", athlete), ("action", action)]
    answer = urlencode(fields + [("scope", name) for name in ticked])
    result = await _fetch(app, "POST", authorization_url, answer.encode())
    if not result.location:
        raise PageError(result.status_code, result.text)
    return result.location
