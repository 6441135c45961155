"""The parts of an emulator, put together: who notifies whom, and which path leads where."""

from __future__ import annotations

import itertools

from strava_async.clock import Clock
from strava_async.testing.api import endpoints as api
from strava_async.testing.api.activities import ActivitiesApi
from strava_async.testing.api.athlete import AthleteApi
from strava_async.testing.api.clubs import ClubsApi
from strava_async.testing.api.efforts import EffortsApi
from strava_async.testing.api.routes import RoutesApi
from strava_async.testing.api.segments import SegmentsApi
from strava_async.testing.api.tokens import TokensApi
from strava_async.testing.api.uploads import UploadsApi
from strava_async.testing.callbacks import Callbacks
from strava_async.testing.faults import Faults
from strava_async.testing.http.access import AccessControl
from strava_async.testing.http.app import EmulatorApp
from strava_async.testing.pages import endpoints as pages
from strava_async.testing.pages.athlete_actions import AthleteActions
from strava_async.testing.pages.consent import Consent
from strava_async.testing.pages.home import HomePage
from strava_async.testing.quirks import Quirks
from strava_async.testing.state.catalogue import Catalogue
from strava_async.testing.state.grants import GrantRegistry
from strava_async.testing.state.population import Population
from strava_async.testing.webhooks.delivery import Delivery
from strava_async.testing.webhooks.publisher import EventPublisher
from strava_async.testing.webhooks.subscriptions import SubscriptionsApi

# Far above those of generated athletes, so that what a test creates is easy to recognize.
FIRST_NEW_ID = 90_000_000_001


class Assembly:
    """All that an emulator consists of. For the arguments see ``Emulator``.

    Attributes:
        app: the ASGI application.
        subscriptions: of webhooks.
        delivery: sends events to webhooks.
        uploads: the uploaded files.
        actions: what athletes do on Strava's pages and with their devices.
    """

    def __init__(
        self,
        people: Population,
        registry: GrantRegistry,
        clock: Clock,
        quirks: Quirks,
        faults: Faults,
        *,
        api_prefix: str,
        latency_seconds: float,
        upload_seconds: float,
        callbacks: Callbacks,
        callback_seconds: float,
        retry_seconds: float,
    ) -> None:
        self._people = people
        self._registry = registry
        self._clock = clock
        self._quirks = quirks
        self._ids = itertools.count(FIRST_NEW_ID)
        self.subscriptions = SubscriptionsApi(registry, callbacks, answer_seconds=callback_seconds)
        self.delivery = Delivery(
            clock,
            callbacks,
            answer_seconds=callback_seconds,
            retry_seconds=retry_seconds,
            is_current=self.subscriptions.is_current,
            settle=self._settle_uploads,
        )
        self._publisher = EventPublisher(registry, self.subscriptions, self.delivery.post, clock)
        registry.on_end = self._publisher.deauthorized
        wake = self.delivery.wake
        self.uploads = UploadsApi(people.catalogue, self._ids, quirks, upload_seconds, self._publisher, wake)
        self.actions = AthleteActions(people, self.uploads, self._ids, self._publisher, clock)

        prefix, access = api_prefix.rstrip("/"), AccessControl(registry, quirks)
        self.app = EmulatorApp(clock, access, faults, api_prefix=prefix, latency_seconds=latency_seconds)
        self._add_api(self.app)
        self._add_pages(self.app, prefix, access)

    def _add_api(self, app: EmulatorApp) -> None:
        world, quirks = self._people.world, self._quirks
        activities = ActivitiesApi(self._catalogue_at, self._ids, quirks, self._publisher)
        api.add_api(app.api, AthleteApi(world, quirks), activities, self.uploads)
        api.add_routes(app.api, RoutesApi(world, quirks))
        api.add_clubs(app.api, ClubsApi(world, quirks))
        segments, efforts = SegmentsApi(self._catalogue_at, quirks), EffortsApi(self._catalogue_at, quirks)
        api.add_segments(app.api, segments, efforts)

    def _add_pages(self, app: EmulatorApp, prefix: str, access: AccessControl) -> None:
        people, registry = self._people, self._registry
        consent = Consent(registry, people.names, people.ids[0])
        pages.add_oauth(app.pages, prefix, consent, TokensApi(registry, access, self._quirks, people.summary))
        pages.add_subscriptions(app.pages, prefix, self.subscriptions)
        page = HomePage(self.actions, people.names, registry, self.subscriptions, self.delivery.events)
        pages.add_home(app.pages, app.polled, page)

    def _settle_uploads(self) -> float | None:
        """Finish the uploads that are due; return the seconds until the next one, None if there is none."""
        self.uploads.settle(self._clock.time())
        ready_at = self.uploads.next_ready_at
        return None if ready_at is None else ready_at - self._clock.time()

    def _catalogue_at(self, athlete_id: int, now: float) -> Catalogue:
        self.uploads.settle(now)
        return self._people.catalogue(athlete_id)
