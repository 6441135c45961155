"""The emulator's front page: a person acts as the athletes, and watches the events that are sent."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from html import escape
from itertools import islice
from typing import Any

from strava_async._types import is_object
from strava_async.oauth.redirect import authorization_url
from strava_async.testing.http.parameters import integer, required, sport_type
from strava_async.testing.http.request import EmulatorRequest
from strava_async.testing.http.responses import EncodedBody, Response, bad_request, empty_response, html_response
from strava_async.testing.pages.athlete_actions import AthleteActions
from strava_async.testing.pages.consent_html import PAGE_HEADERS, framed
from strava_async.testing.pages.home_script import HOME_SCRIPT
from strava_async.testing.state.grants import GrantRegistry
from strava_async.testing.webhooks.delivery import SentEvent
from strava_async.testing.webhooks.subscriptions import SubscriptionsApi

SAMPLE_REDIRECT_URI = "http://localhost:3000/callback"
_SAMPLE_SCOPE = "read,activity:read_all"
_SPORTS = ("Ride", "Run", "TrailRun", "Hike", "Walk", "Swim", "WeightTraining")
_EVENTS_SHOWN = 10
_VALUE_CHARACTERS = 40

# The consent page needs no script; this page has one, in a file of its own.
_HEADERS = {
    **PAGE_HEADERS,
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; connect-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
}

_PAGE = """<p class="note">Strava emulator</p>
<h1>Be an athlete</h1>
<p>No real account is involved: every athlete here is invented, and forgotten at the end.</p>
{athletes}
<section aria-labelledby="sent">
<h2 id="sent">Events sent, newest first</h2>
<p id="gone" role="status" hidden>The emulator has stopped: this page shows what was.</p>
{events}
</section>
<script src="emulator/site.js" defer></script>"""

_ATHLETE = """<section>
<h2>{name} ({athlete_id})</h2>
<form class="choice" method="post" action="emulator/record">
<input type="hidden" name="athlete_id" value="{athlete_id}">
<select name="sport_type" aria-label="Sport">{sports}</select>
<button class="go" type="submit">Record an activity now</button>
</form>
{recorded}
{grants}
</section>"""

_RECORDED = """<p class="done" role="status">Recorded: {name}, {what}. {hears}</p>"""

_GRANT = """<form method="post" action="emulator/disconnect">
<p>Connected to application {client_id}, which {hears}.</p>
<div class="choice">
<input type="hidden" name="athlete_id" value="{athlete_id}">
<input type="hidden" name="client_id" value="{client_id}">
<button type="submit">Remove application {client_id}</button>
</div>
</form>"""


class HomePage:
    """The front page and its buttons. It shows no token, secret or callback.

    Args:
        actions: records activities.
        names: returns the name of each athlete by id.
        registry: which applications are connected.
        subscriptions: which applications receive events.
        events: the deliveries.
    """

    def __init__(
        self,
        actions: AthleteActions,
        names: Callable[[], Mapping[int, str]],
        registry: GrantRegistry,
        subscriptions: SubscriptionsApi,
        events: deque[SentEvent],
    ) -> None:
        self._actions = actions
        self._names = names
        self._registry = registry
        self._subscriptions = subscriptions
        self._events = events

    async def show(self, request: EmulatorRequest) -> Response:
        """GET /: the page."""
        recorded = self._recorded(request)
        athletes = "\n".join(self._athlete(athlete_id, name, recorded) for athlete_id, name in self._names().items())
        content = _PAGE.format(athletes=athletes, events=self._sent())
        return html_response(framed("Strava emulator", content), 200, _HEADERS)

    async def live(self, request: EmulatorRequest) -> Response:
        """GET /emulator/live: the parts that change without an action on the page."""
        parts = [*(self._grants(athlete_id) for athlete_id in self._names()), self._sent()]
        return html_response("\n".join(parts), 200, _HEADERS)

    async def script(self, request: EmulatorRequest) -> Response:
        """GET /emulator/site.js: the script that fetches them."""
        return Response(200, EncodedBody(HOME_SCRIPT.encode()), "text/javascript; charset=utf-8", _HEADERS)

    async def connect(self, request: EmulatorRequest) -> Response:
        """GET /emulator/connect: redirect to the first application's consent page; an address short enough to type."""
        client_id = next(iter(self._registry.applications))
        page = authorization_url("../oauth", client_id=client_id, redirect_uri=SAMPLE_REDIRECT_URI, scope=_SAMPLE_SCOPE)
        return empty_response(303, {"Location": page, "Cache-Control": "no-store"})

    async def record(self, request: EmulatorRequest) -> Response:
        """POST /emulator/record: an athlete comes home from an activity."""
        form = await request.parameters()
        sport = sport_type(form, "Activity") or _SPORTS[0]
        activity_id = self._actions.record(self._athlete_of(form), sport_type=sport, name=None, private=False)
        return _back(f"?recorded={activity_id}")

    async def disconnect(self, request: EmulatorRequest) -> Response:
        """POST /emulator/disconnect: an athlete removes an application."""
        form = await request.parameters()
        application = self._registry.application(required(form, "client_id", "Application"))
        if application is None:
            raise bad_request("Application", "client_id")
        self._registry.disconnect(application.client_id, self._athlete_of(form))
        return _back()

    def _athlete_of(self, form: Mapping[str, str]) -> int:
        athlete_id = integer(form, "athlete_id", "Athlete")
        if athlete_id is None or athlete_id not in self._names():
            raise bad_request("Athlete", "athlete_id")
        return athlete_id

    def _recorded(self, request: EmulatorRequest) -> dict[str, Any]:
        """Return the activity that the address says was recorded; empty if there is none."""
        activity_id = request.query.get("recorded", "")
        if not re.fullmatch(r"[0-9]{1,18}", activity_id, re.ASCII):
            return {}
        return self._actions.activity(int(activity_id)) or {}

    def _athlete(self, athlete_id: int, name: str, recorded: Mapping[str, Any]) -> str:
        own = bool(recorded) and recorded["athlete"]["id"] == athlete_id
        chosen = recorded["sport_type"] if own else None
        sports = "".join(f"<option{' selected' if sport == chosen else ''}>{sport}</option>" for sport in _SPORTS)
        return _ATHLETE.format(
            name=escape(name),
            athlete_id=athlete_id,
            sports=sports,
            recorded=self._note(athlete_id, recorded) if own else "",
            grants=self._grants(athlete_id),
        )

    def _note(self, athlete_id: int, recorded: Mapping[str, Any]) -> str:
        is_reported = any(self._subscriptions.of(grant.client_id) for grant in self._registry.grants_of(athlete_id))
        minutes, seconds = divmod(round(recorded["moving_time"]), 60)
        what = [f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"]
        if recorded["distance"]:
            what.insert(0, f"{recorded['distance'] / 1000:.1f} km")
        hears = (
            "Its event appears below."
            if is_reported
            else "No application receives it: none here has a webhook subscription."
        )
        return _RECORDED.format(name=escape(recorded["name"]), what=escape(", ".join(what)), hears=hears)

    def _grants(self, athlete_id: int) -> str:
        grants = "\n".join(
            _GRANT.format(client_id=grant.client_id, athlete_id=athlete_id, hears=self._hears(grant.client_id))
            for grant in self._registry.grants_of(athlete_id)
        )
        return f'<div id="grants-{athlete_id}" data-live>{grants or "<p>Not connected.</p>"}</div>'

    def _sent(self) -> str:
        events = "".join(
            f"<li>{escape(_event_line(sent))}</li>" for sent in islice(reversed(self._events), _EVENTS_SHOWN)
        )
        return f'<ol id="events" data-live>{events or "<li>None so far.</li>"}</ol>'

    def _hears(self, client_id: int) -> str:
        subscribed = self._subscriptions.of(client_id) is not None
        return "receives events" if subscribed else "has no webhook subscription"


def _back(query: str = "") -> Response:
    return empty_response(303, {"Location": f"../{query}", "Cache-Control": "no-store"})


def _event_line(sent: SentEvent) -> str:
    """Return a line about an event; a test may have posted anything."""
    try:
        event = sent.event
    except ValueError:
        event = None
    names = ("object_type", "object_id", "aspect_type", "updates")
    values = (event.get(name) for name in names) if is_object(event) else ("something else",)
    what = " ".join(str(value)[:_VALUE_CHARACTERS] for value in values if value not in (None, {}))
    answer = "no answer" if sent.status_code is None else sent.status_code
    at = f"{datetime.fromtimestamp(sent.at, UTC):%H:%M:%S} UTC"
    return f"{at}: {what}, to application {sent.client_id}, attempt {sent.attempt}: {answer}"
