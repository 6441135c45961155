"""Webhook events that are unfinished when a queue ends: kept in the backlog, or lost and logged."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

from strava_async.webhooks.backlog_guard import BacklogGuard, run_to_the_end
from strava_async.webhooks.counts import WebhookCounts
from strava_async.webhooks.event_store_memory import MemoryEventStore
from strava_async.webhooks.handler_errors import event_label
from strava_async.webhooks.pending import BacklogState, PendingEvent

_logger = logging.getLogger("strava_async.webhooks")


class Shutdown:
    """Keeps unfinished events, or logs that they are lost.

    Args:
        counts: updated.
        store: forgets what is lost, so that it is accepted if Strava sends it again.
    """

    def __init__(self, counts: WebhookCounts, store: MemoryEventStore) -> None:
        self._counts = counts
        self._store = store

    async def put_away(self, left: list[PendingEvent], guard: BacklogGuard | None) -> None:
        """Keep or log all that is left, even if this is cancelled."""
        if guard is None:
            self._lose(left)
        elif left or not guard.is_clear:
            await run_to_the_end(partial(self._keep, left, guard))

    async def _keep(self, left: list[PendingEvent], guard: BacklogGuard) -> None:
        lost = [pending for pending in left if pending.backlog_state is not BacklogState.STORED]
        try:
            lost = await guard.close(left)
        finally:
            kept = len(left) - len(lost)
            self._counts.kept += kept
            self._counts.waiting -= kept
            if kept:
                _logger.info("%d webhook events were kept for the next start", kept)
            self._lose(lost)

    def _lose(self, lost: Sequence[PendingEvent]) -> None:
        self._counts.failed += len(lost)
        self._counts.waiting -= len(lost)
        for pending in lost:
            self._store.forget(pending.event)
        # Deauthorizations first: no later event makes up for one.
        for event in sorted((pending.event for pending in lost), key=lambda event: not event.is_deauthorization):
            left = "; on_disconnect may be left to be called" if event.is_deauthorization else ""
            _logger.error("%s: cut off, of athlete %d%s", event_label(event), event.owner_id, left)
        if lost:
            _logger.error("%d webhook events were cut off at the end of the service", len(lost))
