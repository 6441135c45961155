"""What Strava's events lead to."""

from __future__ import annotations

from examples.fastapi_app.live import Live
from examples.fastapi_app.news import News
from examples.fastapi_app.rides import Ride, Rides
from strava_async import NotFoundError, Priority, Strava
from strava_async.webhooks import WebhookEvent

# A worker that waits for quota holds up other events. The router comes back to what had none.
WAIT_SECONDS = 2.0


class Events:
    """Turns events into news.

    Args:
        strava: the application.
        news: where they go.
        rides: what is dropped of an athlete who disconnects.
        live: the pages that athlete has open.
    """

    def __init__(self, strava: Strava, news: News, rides: Rides, live: Live) -> None:
        self._strava = strava.with_options(priority=Priority.BACKGROUND, max_wait=WAIT_SECONDS)
        self._news = news
        self._rides = rides
        self._live = live

    async def on_event(self, event: WebhookEvent) -> None:
        """Look at the activity that an event is about, and tell what it is like now. Costs one read, or nothing.

        Anybody can send an event. So what it says is not believed: that an activity is gone is Strava's to say, too.

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
        """Delete what is kept of an athlete who has disconnected, here or at Strava."""
        self._rides.drop(athlete_id)
        await self._news.forget(athlete_id)
        self._live.let_go(athlete_id)

    async def _look_at(self, event: WebhookEvent) -> Ride | None:
        try:
            return Ride.of(await self._strava.client(event.owner_id).activities.get(event.object_id))
        except NotFoundError:
            if event.aspect_type != "delete":
                raise  # shown a moment later; or made up, which the router is to see
            return None
