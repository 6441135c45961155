"""``GET /live``: news as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

======== ================================================= ======================================
event    data                                              what the page does
======== ================================================= ======================================
ride     an activity's card, HTML                          inserts or replaces it
gone     an activity's id                                  removes its card
weeks    the chart, HTML                                   shows it instead
meters   the quota, HTML                                   shows it instead
reload   nothing: the athlete was disconnected, or         loads itself again
         the page has missed news
======== ================================================= ======================================
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterable
from functools import lru_cache
from typing import Annotated

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream
from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from examples.fastapi_app.live import Message
from examples.fastapi_app.meters import Gauge
from examples.fastapi_app.news import Item
from examples.fastapi_app.rides import Rides
from examples.fastapi_app.tally import TallyDep
from examples.fastapi_app.views import fragment
from strava_async import Client, StravaError
from strava_async.fastapi import AthleteDep, StravaDep

CHECK_SECONDS = 15.0
_Id = Annotated[int, Query(ge=0, le=2**63 - 1)]
_LastId = Annotated[int | None, Header(ge=0, le=2**63 - 1)]

router = APIRouter()


async def arriving_at(tally: TallyDep, client: AthleteDep) -> AsyncGenerator[MemoryObjectReceiveStream[Message]]:
    """Receive messages as long as the request lasts; a generator would not be closed if the client disconnects."""
    with tally.live.page(client.athlete_id) as arriving:
        yield arriving


_Arriving = Annotated[MemoryObjectReceiveStream[Message], Depends(arriving_at)]


@router.get("/live", response_class=EventSourceResponse)
async def live(
    arriving: _Arriving,
    tally: TallyDep,
    strava: StravaDep,
    client: AthleteDep,
    since: _Id,
    last_event_id: _LastId = None,
) -> AsyncIterable[ServerSentEvent]:
    """Send a page the news after the last that it has seen.

    Args:
        arriving: new messages, from before stored news is read: nothing is missed, and duplicates are dropped.
        tally: the state shared by the routes.
        strava: the application.
        client: the athlete's.
        since: the last piece of news that the page was made from.
        last_event_id: the last that it received, if it reconnects.
    """
    athlete_id, seen = client.athlete_id, since if last_event_id is None else last_event_id
    messages: list[Message] = [tally.live.gauges, *await tally.news.after(seen, athlete_id)]
    if not await tally.news.covers(seen):
        tally.rides.drop(athlete_id)
        yield _RELOAD
        return
    checked_at = -math.inf
    while True:
        if strava.clock.monotonic() - checked_at >= CHECK_SECONDS:
            if not await strava.is_connected(athlete_id):
                break
            checked_at = strava.clock.monotonic()
        changed = False
        for message in messages:
            if not isinstance(message, Item):
                yield ServerSentEvent(event="meters", raw_data=_meters(message.shown))
            elif message.id > seen:
                seen, changed = message.id, True
                yield _told(message, tally.at_strava)
        if changed and (chart := await _chart(tally.rides, client, seen)):
            yield ServerSentEvent(event="weeks", raw_data=chart)
        try:
            messages = await _next(arriving)
        except anyio.EndOfStream:  # ended by Live.let_go
            break
    if not await strava.is_connected(athlete_id):
        yield _RELOAD


_RELOAD = ServerSentEvent(event="reload", raw_data="")


@lru_cache(maxsize=2)  # the same for all pages
def _meters(gauges: tuple[Gauge, ...]) -> str:
    return fragment("_meters.html", gauges=gauges)


async def _next(arriving: MemoryObjectReceiveStream[Message]) -> list[Message]:
    """Return all waiting messages; wait for one, and return none after a timeout."""
    messages: list[Message] = []
    with anyio.move_on_after(CHECK_SECONDS):
        messages.append(await arriving.receive())
    while arriving.statistics().current_buffer_used:
        messages.append(arriving.receive_nowait())
    return messages


def _told(item: Item, at_strava: bool) -> ServerSentEvent:
    if item.ride is None:
        return ServerSentEvent(event="gone", id=str(item.id), raw_data=str(item.activity_id))
    card = fragment("_ride.html", ride=item.ride, at_strava=at_strava)
    return ServerSentEvent(event="ride", id=str(item.id), raw_data=card)


async def _chart(rides: Rides, client: Client, since: int) -> str | None:
    """Return the chart; None if Strava cannot be reached, so that the page keeps its own."""
    try:
        return fragment("_weeks.html", board=await rides.of(client, since))
    except StravaError:
        return None
