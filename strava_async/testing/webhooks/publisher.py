"""Publishes what happens to athletes and activities to the applications that have a webhook subscription."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from strava_async.clock import Clock
from strava_async.testing.http.responses import json_bytes
from strava_async.testing.state.grants import Grant, GrantRegistry
from strava_async.testing.webhooks.events import DEAUTHORIZED, ActivityState, Change, Event, state_of, visible_change
from strava_async.testing.webhooks.subscriptions import PushSubscription, SubscriptionsApi

Post = Callable[[PushSubscription, bytes], None]


class EventPublisher:
    """Makes events, and posts them to each application that receives them.

    Args:
        registry: which athletes are connected to which application.
        subscriptions: which applications receive events.
        post: queues an event for delivery.
        clock: dates the events.
    """

    def __init__(self, registry: GrantRegistry, subscriptions: SubscriptionsApi, post: Post, clock: Clock) -> None:
        self._registry = registry
        self._subscriptions = subscriptions
        self._post = post
        self._clock = clock

    def created(self, activity: dict[str, Any], *, at: float | None = None) -> None:
        """Publish a new activity, given its summary or detail; ``at`` is when it was made, None means now."""
        self._publish(activity, None, state_of(activity), at)

    def changed(self, activity: dict[str, Any], before: ActivityState) -> None:
        """Publish the change of an activity."""
        self._publish(activity, before, state_of(activity), None)

    def deleted(self, activity: dict[str, Any], *, at: float | None = None) -> None:
        """Publish that an activity was deleted."""
        self._publish(activity, state_of(activity), None, at)

    def deauthorized(self, grant: Grant) -> None:
        """Publish to the application that an athlete's grant has ended."""
        subscription = self._subscriptions.of(grant.client_id)
        if subscription is not None:
            self._send(subscription, "athlete", grant.athlete_id, grant.athlete_id, DEAUTHORIZED, None)

    def _publish(
        self, activity: dict[str, Any], before: ActivityState | None, after: ActivityState | None, at: float | None
    ) -> None:
        athlete_id: int = activity["athlete"]["id"]
        for subscription in self._subscriptions.all():
            grant = self._registry.grant_of(subscription.application_id, athlete_id)
            change = None if grant is None else visible_change(before, after, grant.scope)
            if change is not None:
                self._send(subscription, "activity", activity["id"], athlete_id, change, at)

    def _send(
        self, to: PushSubscription, object_type: str, object_id: int, owner_id: int, change: Change, at: float | None
    ) -> None:
        event: Event = {
            "aspect_type": change.kind,
            "event_time": int(self._clock.time() if at is None else at),
            "object_id": object_id,
            "object_type": object_type,
            "owner_id": owner_id,
            "subscription_id": to.id,
            "updates": dict(change.updates),
        }
        self._post(to, json_bytes(event))
