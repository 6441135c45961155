"""Handles Strava's webhook events."""

from __future__ import annotations

from examples.fastapi_app.live import Live
from examples.fastapi_app.news import News
from examples.fastapi_app.rides import Ride, Rides
from strava_async import NotFoundError, Priority, Strava
from strava_async.webhooks import WebhookEvent

# A worker that waits for quota delays other events. The router retries events that got none.
WAIT_SECONDS = 2.0


class Events:
    """Turns events into news.

    Args:
        strava: the application.
        news: where they go.
        rides: the dashboards, dropped when the athlete disconnects.
        live: the pages that athlete has open.
    """

    def __init__(self, strava: Strava, news: News, rides: Rides, live: Live) -> None:
        self._strava = strava.with_options(priority=Priority.BACKGROUND, max_wait=WAIT_SECONDS)
        self._news = news
        self._rides = rides
        self._live = live

    async def on_event(self, event: WebhookEvent) -> None:
        """Read the activity of an event, and publish its current state. Costs one read, or nothing.

        Anyone can send an event, so its content is not trusted: a deletion is confirmed with Strava, too.

        Raises:
            StravaError: it could not be read; the webhook's router decides whether to try again.
        """
        if event.object_type != "activity":
            return
        ride = await self._look_at(event)
        await self._news.add(event.key, event.owner_id, event.object_id, ride)
        if not await self._strava.is_connected(event.owner_id):  # the athlete left while Strava answered
            await self.forget(event.owner_id)

    async def forget(self, athlete_id: int) -> None:
        """Delete the data of an athlete who has disconnected, here or at Strava."""
        self._rides.drop(athlete_id)
        await self._news.forget(athlete_id)
        self._live.let_go(athlete_id)

    async def _look_at(self, event: WebhookEvent) -> Ride | None:
        try:
            return Ride.of(await self._strava.client(event.owner_id).activities.get(event.object_id))
        except NotFoundError:
            if event.aspect_type != "delete":
                raise  # visible a moment later, or forged: the router decides
            return None
