"""What becomes of the webhook events that are unfinished when a queue ends: they are kept, or lost and named."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

from strava_async._concurrency.ttl_set import Seen
from strava_async.webhooks.backlog_guard import Keeper, carry_out
from strava_async.webhooks.counts import WebhookCounts
from strava_async.webhooks.handler import name_of
from strava_async.webhooks.retry import Held, Job

_logger = logging.getLogger("strava_async.webhooks")


class End:
    """Keeps what is unfinished, or says that it is lost.

    Args:
        counts: what became of the events.
        seen: what is known; what is lost is forgotten, so that it is accepted if it comes again.
    """

    def __init__(self, counts: WebhookCounts, seen: Seen) -> None:
        self._counts = counts
        self._seen = seen

    async def put_away(self, left: list[Job], keeper: Keeper | None) -> None:
        """Do that with all that is left, to the end, whatever is cancelled meanwhile."""
        if keeper is None:
            self._lose(left)
        elif left or not keeper.is_clear:
            await carry_out(partial(self._keep, left, keeper))

    async def _keep(self, left: list[Job], keeper: Keeper) -> None:
        lost = [job for job in left if job.held is not Held.SURELY]
        try:
            lost = await keeper.close(left)
        finally:
            kept = len(left) - len(lost)
            self._counts.kept += kept
            self._counts.waiting -= kept
            if kept:
                _logger.info("%d webhook events were kept for the next start", kept)
            self._lose(lost)

    def _lose(self, lost: Sequence[Job]) -> None:
        self._counts.failed += len(lost)
        self._counts.waiting -= len(lost)
        for job in lost:
            self._seen.discard(job.event.key)
        # Deauthorizations first, because no later event stands for them.
        for event in sorted((job.event for job in lost), key=lambda event: not event.is_deauthorization):
            left = "; on_disconnect may be left to be called" if event.is_deauthorization else ""
            _logger.error("%s: cut off, of athlete %d%s", name_of(event), event.owner_id, left)
        if lost:
            _logger.error("%d webhook events were cut off at the end of the service", len(lost))
