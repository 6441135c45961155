"""The emulator: a Strava in the process, wired together.

In a test::

    emulator = Emulator(clock=FakeClock())
    transport = httpx.ASGITransport(app=emulator.app)

``serve`` puts it behind a socket.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from starlette.types import ASGIApp

from strava_async.clock import Clock, SystemClock
from strava_async.testing import browser
from strava_async.testing.api.tokens import token_values
from strava_async.testing.api.uploads import UploadOutcome
from strava_async.testing.assembly import Assembly
from strava_async.testing.callbacks import ANSWER_SECONDS, Callbacks, callbacks_from
from strava_async.testing.faults import Faults
from strava_async.testing.http.app import Served
from strava_async.testing.http.responses import json_bytes
from strava_async.testing.meters import MeterLimits, Meters, RateClass
from strava_async.testing.quirks import Quirks
from strava_async.testing.state.grants import (
    ALL_SCOPES,
    TOKEN_LIFETIME_SECONDS,
    Application,
    GrantRegistry,
    ordered_scopes,
)
from strava_async.testing.state.population import Population
from strava_async.testing.webhooks.delivery import RETRY_SECONDS, SentEvent
from strava_async.testing.webhooks.subscriptions import PushSubscription
from strava_async.testing.world import AthleteWorld


class Emulator:
    """A Strava: OAuth pages and tokens, meters, athletes with years of activities, uploads, faults on demand.

    Its data depend only on ``seed`` and on the clock's time when it is made; tokens are random. An athlete's data are
    made on first use. Athletes differ: one in five has no bike, and so no threshold power, no power zones and
    no ride; the first athlete of the default seed has everything. Not safe for use from several threads.

    Args:
        seed: of the athletes, and of the first application's id and secret.
        clock: tells the time; None means the system's clock.
        limits: the quota of the first application; None means that of a new one.
        athletes: how many athletes there are.
        years: how far back their activities reach.
        longest_seconds: about how long the longest of them are; None means hours. Short ones are made in a tenth of
            the time.
        api_prefix: the path of the API; empty for a base URL without a path.
        latency_seconds: how long each request takes on the clock.
        upload_seconds: how long an upload is processed on the clock.
        quirks: behaviour that Strava does not document.
        callbacks: how it reaches the callbacks of webhook subscriptions: ASGI applications by origin, such as
            ``{"https://service.test": app}``, or a ``Callbacks``. None means over the network.
        callback_seconds: how long a callback has to answer, in real time whatever the clock shows. Strava waits two
            seconds; a test on a busy machine may want more.
        retry_seconds: how long after a failed attempt an event is sent again, on the clock.
        signing_secret: signs events in a field ``X-Strava-Signature``: ``t=<Unix time>,v1=<hex HMAC-SHA256 of
            "t.body">``. None leaves them unsigned, as Strava's documents do.

    Attributes:
        app: the ASGI application; it serves ``api_prefix`` and ``/oauth``.
        clock: see above.
        faults: schedules failures.
        requests: the requests that were answered, in order; the last 100,000.
        events: each attempt to deliver an event to a webhook; the last 10,000.
        quirks: see above; may be changed at any time.
        client_id: of the first application.
        client_secret: of the first application.
        athlete_ids: the ids of the athletes.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        clock: Clock | None = None,
        limits: MeterLimits | None = None,
        athletes: int = 1,
        years: float = 5.0,
        longest_seconds: float | None = None,
        api_prefix: str = "/api/v3",
        latency_seconds: float = 0.0,
        upload_seconds: float = 2.0,
        quirks: Quirks | None = None,
        callbacks: Callbacks | Mapping[str, ASGIApp] | None = None,
        callback_seconds: float = ANSWER_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
        signing_secret: str | None = None,
    ) -> None:
        if not callback_seconds > 0:
            raise ValueError("callback_seconds is more than 0")
        self.clock: Clock = clock or SystemClock()
        self.faults = Faults()
        self.quirks = quirks or Quirks()
        self._rng = random.Random(f"applications {seed}")
        self._people = Population.drawn(
            athletes,
            seed=seed,
            now=self.clock.time(),
            years=years,
            longest_seconds=math.inf if longest_seconds is None else longest_seconds,
        )
        self.athlete_ids: tuple[int, ...] = self._people.ids
        self._registry = GrantRegistry(self.quirks)
        first = self.register_application(limits=limits)
        self.client_id = first.client_id
        self.client_secret = first.client_secret
        self._parts = Assembly(
            self._people,
            self._registry,
            self.clock,
            self.quirks,
            self.faults,
            api_prefix=api_prefix,
            latency_seconds=latency_seconds,
            upload_seconds=upload_seconds,
            callbacks=callbacks_from(callbacks, signing_secret, self.clock),
            callback_seconds=callback_seconds,
            retry_seconds=retry_seconds,
        )
        self.app: ASGIApp = self._parts.app

    @property
    def requests(self) -> deque[Served]:
        """The requests that were answered, in order."""
        return self._parts.app.requests

    @property
    def events(self) -> deque[SentEvent]:
        """The attempts to deliver events, in the order of their answers."""
        return self._parts.delivery.events

    def count(self, method: str | None = None, path: str | None = None) -> int:
        """Return how many of ``requests`` match.

        Args:
            method: None means any.
            path: with or without the API's prefix; ``*`` stands for any characters, slashes too; None means any.
        """
        return self._parts.app.count(method, path)

    def register_application(
        self,
        *,
        client_id: int | None = None,
        client_secret: str | None = None,
        limits: MeterLimits | None = None,
        callback_domain: str = "localhost",
        active: bool = True,
        athlete_capacity: int | None = None,
    ) -> Application:
        """Add an application; None means an invented id or secret."""
        applications = self._registry.applications
        client_id = 10_000 + self._rng.randrange(900_000) if client_id is None else client_id
        if client_id in applications:
            raise ValueError(f"there is an application {client_id} already")
        application = applications[client_id] = Application(
            client_id=client_id,
            client_secret=f"{self._rng.getrandbits(160):040x}" if client_secret is None else client_secret,
            callback_domain=callback_domain,
            active=active,
            athlete_capacity=athlete_capacity,
            meters=Meters(limits),
        )
        return application

    def application(self, client_id: int | None = None) -> Application:
        """Return an application; None means the first."""
        return self._registry.applications[self.client_id if client_id is None else client_id]

    def meters_of(self, client_id: int | None = None) -> Meters:
        """Return the meters of an application; None means the first."""
        return self.application(client_id).meters

    def subscription(self, client_id: int | None = None) -> PushSubscription | None:
        """Return the webhook subscription of an application; None if it has none.

        Args:
            client_id: of the application; None means the first.
        """
        return self._parts.subscriptions.of(self.application(client_id).client_id)

    def spend(self, n: int, rate_class: RateClass = "read", *, client_id: int | None = None) -> None:
        """Spend quota now, as ``n`` requests by other processes of the application would."""
        meters, now = self.meters_of(client_id), self.clock.time()
        for _ in range(n):
            meters.count(rate_class, now)

    def world(self, athlete_id: int | None = None) -> AthleteWorld:
        """Return the data of an athlete; None means the first. After changing them by hand, call ``refresh``."""
        return self._people.world(self._athlete(athlete_id))

    def refresh(self, athlete_id: int | None = None) -> None:
        """Serve the changes that a test made to a world's activities by hand."""
        self._people.refresh(self._athlete(athlete_id))

    def grant(
        self,
        athlete_id: int | None = None,
        *,
        scope: Iterable[str] = ALL_SCOPES,
        expires_in: float = TOKEN_LIFETIME_SECONDS,
        client_id: int | None = None,
    ) -> dict[str, Any]:
        """Connect an athlete without page and code; return what ``/oauth/token`` would answer.

        Each call issues a new access token; earlier ones stay valid. An existing grant keeps its refresh token.

        Args:
            athlete_id: None means the first.
            scope: what the athlete grants.
            expires_in: how long the access token is valid, in seconds.
            client_id: of the application; None means the first.
        """
        athlete_id = self._athlete(athlete_id)
        now = self.clock.time()
        client_id = self.application(client_id).client_id
        grant = self._registry.issue_token(
            client_id, athlete_id, ordered_scopes(scope), now, lifetime_seconds=expires_in
        )
        values = token_values(grant, now, with_scope=self.quirks.scope_in_token_answer)
        return {**values, "athlete": dict(self._people.summary(athlete_id))}

    def end_next_upload(self, ending: UploadOutcome) -> None:
        """Make the next upload of a valid file fail; call it again for the one after.

        Args:
            ending: ``deleted``, as if the athlete had removed the activity at once, or ``error``: there is an error
                beside the id of an activity.
        """
        self._parts.uploads.outcomes.append(ending)

    def expire_access_tokens(self, athlete_id: int | None = None) -> None:
        """Expire access tokens now; None means those of all athletes. Refresh tokens stay valid."""
        self._registry.expire_access_tokens(athlete_id)

    def disconnect(self, athlete_id: int | None = None, *, client_id: int | None = None) -> None:
        """Let an athlete revoke an application's access in the settings: all tokens of the grant are invalid."""
        athlete_id = self._athlete(athlete_id)
        self._registry.disconnect(self.application(client_id).client_id, athlete_id)

    def record_activity(
        self,
        athlete_id: int | None = None,
        *,
        sport_type: str = "Ride",
        name: str | None = None,
        private: bool = False,
    ) -> int:
        """Record an activity that ended a minute ago; return its id.

        It blocks the event loop for some 30 ms. To send many events, ``post_event`` is faster.

        Args:
            athlete_id: None means the first.
            sport_type: Strava's name of the sport.
            name: the title; None means one by the time of day.
            private: only the athlete may see it.
        """
        return self._parts.actions.record(self._athlete(athlete_id), sport_type=sport_type, name=name, private=private)

    def edit_activity(
        self, activity_id: int, *, name: str | None = None, sport_type: str | None = None, private: bool | None = None
    ) -> None:
        """Let the athlete edit an activity on Strava's pages; None changes nothing. ``KeyError`` for an unknown id."""
        self._parts.actions.edit(activity_id, name=name, sport_type=sport_type, private=private)

    def delete_activity(self, activity_id: int) -> None:
        """Let the athlete delete an activity on Strava's pages; ``KeyError`` for an unknown id."""
        self._parts.actions.delete(activity_id)

    def delivering(self) -> AbstractAsyncContextManager[None]:
        """Finish uploads and deliver events when they are due, as long as the block lasts; ``serve`` does so too.

        The task that enters the block must leave it. A delivery in progress at the end is cancelled, and repeated by
        the next ``delivering`` or ``deliver``. Without either, events wait; only the last 10,000 are stored.
        """
        return self._parts.delivery.running()

    async def deliver(self) -> int:
        """Finish the uploads and send the events that are due; return how many events were sent.

        Each is sent once. A failed one is due again ``retry_seconds`` later. Events that occur meanwhile
        wait for the next call.
        """
        return await self._parts.delivery.deliver()

    def post_event(self, event: Mapping[str, Any] | bytes, *, client_id: int | None = None) -> None:
        """Send any event to a webhook, such as a forged, a repeated or a malformed one.

        Args:
            event: the body, sent unchanged; a mapping as JSON.
            client_id: of the application whose callback receives it; None means the first.

        Raises:
            ValueError: the application has no subscription.
        """
        subscription = self.subscription(client_id)
        if subscription is None:
            raise ValueError("the application has no webhook subscription: create one first")
        self._parts.delivery.post(subscription, event if isinstance(event, bytes) else json_bytes(event))

    async def approve(
        self,
        authorization_url: str,
        *,
        scope: Iterable[str] | None = None,
        deny: bool = False,
        athlete_id: int | None = None,
    ) -> str:
        """Act as the athlete in the browser: open the consent page, tick scopes, submit.

        Args:
            authorization_url: where the application sends the athlete.
            scope: the scopes to tick; None means all that the page offers.
            deny: press Cancel.
            athlete_id: the athlete to choose, where there are several; None means the preselected one.

        Returns:
            the redirect's target, which is not opened.

        Raises:
            PageError: the emulator refused to show the page, or the application has no room for the athlete.
            ValueError: the page does not offer that scope or athlete.
        """
        return await browser.approve(self.app, authorization_url, scope=scope, deny=deny, athlete_id=athlete_id)

    def _athlete(self, athlete_id: int | None) -> int:
        return self.athlete_ids[0] if athlete_id is None else athlete_id
