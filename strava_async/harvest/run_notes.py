"""What a run has its store note of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import anyio

from strava_async.errors import StoreError, StravaError
from strava_async.harvest.base import HarvestStore
from strava_async.harvest.runs import Run
from strava_async.harvest.session import Session


@asynccontextmanager
async def noted(store: HarvestStore, session: Session) -> AsyncGenerator[None]:
    """Return a context that is noted as a run; a store that fails in the end says so by the run's own error."""
    began_at, outcome = session.clock.time(), "cancelled"
    number = await store.begin_run(began_at)
    try:
        yield
        outcome = "partial" if session.is_partial else "complete"
    except StravaError as error:
        outcome = type(error).__name__
        raise
    finally:
        run = Run(began_at, session.clock.time(), session.counts.requests, outcome)
        with anyio.CancelScope(shield=True), suppress(StoreError):
            await store.end_run(number, run)
