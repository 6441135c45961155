"""The emulator's front page: for a person who plays the athletes and watches what a service makes of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from html import escape
from itertools import islice

from strava_async._shapes import is_object
from strava_async.testing.accounts import Accounts
from strava_async.testing.consent_page import PAGE_HEADERS, framed
from strava_async.testing.delivery import SentEvent
from strava_async.testing.replies import Answer, bad_request, empty_answer, html_answer
from strava_async.testing.site import Site
from strava_async.testing.subscriptions_api import SubscriptionsApi
from strava_async.testing.values import integer, required, sport_type
from strava_async.testing.visit import Visit

_SPORTS = ("Ride", "Run", "TrailRun", "Hike", "Walk", "Swim", "WeightTraining")
_EVENTS_SHOWN = 10
_VALUE_CHARACTERS = 40

_PAGE = """<p class="note">Strava emulator</p>
<h1>Be an athlete</h1>
<p>No real account is involved: every athlete here is invented, and forgotten at the end.</p>
{athletes}
<fieldset>
<legend>Events sent, newest first</legend>
{events}
</fieldset>"""

_ATHLETE = """<fieldset>
<legend>{name} ({athlete_id})</legend>
<form class="choice" method="post" action="emulator/record">
<input type="hidden" name="athlete_id" value="{athlete_id}">
<select name="sport_type" aria-label="Sport">{sports}</select>
<button class="go" type="submit">Record an activity now</button>
</form>
{grants}
</fieldset>"""

_GRANT = """<form method="post" action="emulator/disconnect">
<p>Connected to application {client_id}, which {hears}.</p>
<div class="choice">
<input type="hidden" name="athlete_id" value="{athlete_id}">
<input type="hidden" name="client_id" value="{client_id}">
<button type="submit">Remove application {client_id}</button>
</div>
</form>"""


class SitePage:
    """The front page and its buttons. It shows no token, secret or callback.

    Args:
        site: where athletes do something.
        names: gives the name of each athlete by id.
        accounts: says what they are connected to.
        subscriptions: says who hears of it.
        events: what was sent.
    """

    def __init__(
        self,
        site: Site,
        names: Callable[[], Mapping[int, str]],
        accounts: Accounts,
        subscriptions: SubscriptionsApi,
        events: deque[SentEvent],
    ) -> None:
        self._site = site
        self._names = names
        self._accounts = accounts
        self._subscriptions = subscriptions
        self._events = events

    async def show(self, visit: Visit) -> Answer:
        """GET /: the page."""
        athletes = "\n".join(self._athlete(athlete_id, name) for athlete_id, name in self._names().items())
        events = "\n".join(f"<p>{escape(_told(sent))}</p>" for sent in islice(reversed(self._events), _EVENTS_SHOWN))
        content = _PAGE.format(athletes=athletes, events=events or "<p>None so far.</p>")
        return html_answer(framed("Strava emulator", content), 200, PAGE_HEADERS)

    async def record(self, visit: Visit) -> Answer:
        """POST /emulator/record: an athlete comes home from an activity."""
        form = await visit.parameters()
        sport = sport_type(form, "Activity") or _SPORTS[0]
        self._site.record(self._athlete_of(form), sport_type=sport, name=None, private=False)
        return _back()

    async def disconnect(self, visit: Visit) -> Answer:
        """POST /emulator/disconnect: an athlete removes an application."""
        form = await visit.parameters()
        application = self._accounts.application(required(form, "client_id", "Application"))
        if application is None:
            raise bad_request("Application", "client_id")
        self._accounts.disconnect(application.client_id, self._athlete_of(form))
        return _back()

    def _athlete_of(self, form: Mapping[str, str]) -> int:
        athlete_id = integer(form, "athlete_id", "Athlete")
        if athlete_id is None or athlete_id not in self._names():
            raise bad_request("Athlete", "athlete_id")
        return athlete_id

    def _athlete(self, athlete_id: int, name: str) -> str:
        grants = (
            _GRANT.format(client_id=grant.client_id, athlete_id=athlete_id, hears=self._hears(grant.client_id))
            for grant in self._accounts.grants_of(athlete_id)
        )
        sports = "".join(f"<option>{sport}</option>" for sport in _SPORTS)
        return _ATHLETE.format(
            name=escape(name), athlete_id=athlete_id, sports=sports, grants="\n".join(grants) or "<p>Not connected.</p>"
        )

    def _hears(self, client_id: int) -> str:
        subscribed = self._subscriptions.of(client_id) is not None
        return "is told of events" if subscribed else "has no webhook subscription"


def _back() -> Answer:
    return empty_answer(303, {"Location": "../", "Cache-Control": "no-store"})


def _told(sent: SentEvent) -> str:
    """Return a line about an event; a test may have posted anything."""
    try:
        event = sent.event
    except ValueError:
        event = None
    names = ("object_type", "object_id", "aspect_type", "updates")
    values = (event.get(name) for name in names) if is_object(event) else ("something else",)
    what = " ".join(str(value)[:_VALUE_CHARACTERS] for value in values if value not in (None, {}))
    answer = "no answer" if sent.status_code is None else sent.status_code
    return f"{what}, to application {sent.client_id}, attempt {sent.attempt}: {answer}"
