"""What the Python tours share. It runs where a foreign client is installed, and imports the standard library alone.

The clients name Strava's host themselves; here their requests are led to the emulator that ``TOUR`` describes.
"""

from __future__ import annotations

import json
import os
import re
import traceback
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

STRAVA = "https://www.strava.com"
TOUR: dict[str, Any] = json.loads(os.environ["TOUR"])
SCOPE = "read,read_all,profile:read_all,profile:write,activity:read,activity:read_all,activity:write"
GPX = """<?xml version="1.0"?><gpx version="1.1" creator="tour"><trk><trkseg>
<trkpt lat="47.{0:04}" lon="8.0"><ele>400</ele><time>2026-01-01T08:00:00Z</time></trkpt>
<trkpt lat="47.{0:04}" lon="8.001"><ele>401</ele><time>2026-01-01T08:01:00Z</time></trkpt>
</trkseg></trk></gpx>"""


def led(url: str) -> str:
    """Return where a request to Strava goes here."""
    return TOUR["url"] + url.removeprefix(STRAVA) if url.startswith(f"{STRAVA}/") else url


def lead_requests() -> None:
    import requests.adapters

    send = requests.adapters.HTTPAdapter.send

    def led_send(self: Any, request: Any, *args: Any, **options: Any) -> Any:
        request.url = led(request.url)
        return send(self, request, *args, **options)

    requests.adapters.HTTPAdapter.send = led_send


def lead_aiohttp() -> None:
    import aiohttp

    request = aiohttp.ClientSession._request

    async def led_request(self: Any, method: str, url: Any, **options: Any) -> Any:
        return await request(self, method, led(str(url)), **options)

    aiohttp.ClientSession._request = led_request


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def visit(url: str, form: list[tuple[str, str]] | None = None) -> tuple[str, str]:
    """Return the text that a browser is shown, and where it is sent instead, if it is."""
    data = None if form is None else urlencode(form).encode()
    opener = build_opener(ProxyHandler({}), _NoRedirect)
    try:
        with opener.open(Request(led(url), data)) as answer:
            return answer.read().decode(), ""
    except OSError as error:
        location = getattr(error, "headers", {}).get("Location")
        if location is None:
            raise
        return "", location


def approve(authorization_url: str) -> str:
    """Be the athlete who grants all that is asked; return where the browser is sent."""
    page, location = visit(authorization_url)
    if location:
        return location
    request_id = re.findall(r'name="request_id" value="([^"]+)"', page)[0]
    athlete_id = re.findall(r'name="athlete_id" value="([^"]+)"', page)[0]
    scopes = [("scope", name) for name in re.findall(r'name="scope" value="([^"]+)"', page)]
    answer = [("request_id", request_id), ("athlete_id", athlete_id), ("action", "authorize"), *scopes]
    return visit(authorization_url, answer)[1]


def code_of(redirect: str) -> str:
    """Return the code that the browser brings back."""
    return parse_qs(urlsplit(redirect).query)["code"][0]


class Tour:
    """Steps, each printed as a line of JSON. A step that fails does not prevent the others."""

    def step(self, name: str, work: Callable[[], Any]) -> Any:
        """Make a step and return what came of it; None if it failed."""
        try:
            result = work()
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            self._tell(name, f"{type(error).__name__}: {error} ({os.path.basename(place.filename)}:{place.lineno})")
            return None
        self._tell(name, None)
        return result

    def _tell(self, name: str, error: str | None) -> None:
        print(json.dumps({"step": name, "error": error and error[:600]}), flush=True)


def expect(truth: object, what: str) -> None:
    """Raise if it is not so."""
    if not truth:
        raise RuntimeError(f"expected {what}")
