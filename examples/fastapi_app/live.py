"""News to open pages. Each process reads the shared file once a second, for all of its pages."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager
from typing import NamedTuple, NoReturn

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from examples.fastapi_app.meters import Gauge, Meters
from examples.fastapi_app.news import Item, News
from examples.fastapi_app.rides import Rides
from strava_async import Strava

LOOK_SECONDS = 1.0
LOOKS_BETWEEN_TIDYING = 60
# A page that does not read its messages is disconnected; it reconnects, and says what it has seen.
BACKLOG = 100

logger = logging.getLogger(__name__)


class Gauges(NamedTuple):
    """The meters, as a message to pages."""

    shown: tuple[Gauge, ...]


Message = Item | Gauges
_Sender = MemoryObjectSendStream[Message]


class Live:
    """Sends the events of all processes to the open pages of this process.

    Args:
        strava: the application.
        news: what happens to activities.
        meters: the quota.
        rides: the dashboards; outdated ones are dropped.

    Attributes:
        gauges: the meters as last read.
    """

    def __init__(self, strava: Strava, news: News, meters: Meters, rides: Rides) -> None:
        self._strava = strava
        self._news = news
        self._meters = meters
        self._rides = rides
        self._pages: dict[int, set[_Sender]] = {}
        self._seen: int | None = None
        self._stopped = False
        self.gauges = Gauges(())

    async def run(self) -> NoReturn:
        """Read the news once a second, until cancelled."""
        while True:
            for _ in range(LOOKS_BETWEEN_TIDYING):
                await self._bear_with(self.look)
                await self._strava.clock.sleep(LOOK_SECONDS)
            await self._bear_with(self._news.forget_old)
            self._rides.drop_old()

    async def look(self) -> None:
        """Send the pages the news since the last call; the first call sends nothing."""
        if self._seen is None:
            self._seen = await self._news.newest()
        for item in await self._news.after(self._seen):
            self._seen = item.id
            self._rides.drop(item.athlete_id)
            self._tell(self._pages.get(item.athlete_id, ()), item)
        await self._meters.tell(self._strava.quota)
        gauges = Gauges(await self._meters.read())
        if gauges != self.gauges:
            self.gauges = gauges
            self._tell([page for pages in self._pages.values() for page in pages], gauges)

    @contextmanager
    def page(self, athlete_id: int) -> Generator[MemoryObjectReceiveStream[Message]]:
        """Yield the messages for a page of an athlete, as long as the block lasts; ``let_go`` ends them early."""
        sender, receiver = anyio.create_memory_object_stream[Message](BACKLOG)
        pages = self._pages.setdefault(athlete_id, set())
        pages.add(sender)
        if self._stopped:
            sender.close()
        try:
            yield receiver
        finally:
            pages.discard(sender)
            if not pages and self._pages.get(athlete_id) is pages:
                del self._pages[athlete_id]
            sender.close()
            receiver.close()

    def let_go(self, athlete_id: int) -> None:
        """End the messages of an athlete's pages."""
        for page in self._pages.get(athlete_id, ()):
            page.close()

    def stop(self) -> None:
        """End the messages of all pages, so that the server can stop; the pages reconnect to the next one."""
        self._stopped = True
        for athlete_id in self._pages:
            self.let_go(athlete_id)

    def _tell(self, pages: Iterable[_Sender], message: Message) -> None:
        for page in pages:
            try:
                page.send_nowait(message)
            except anyio.WouldBlock:
                page.close()
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass  # it is leaving

    async def _bear_with(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except sqlite3.Error as error:  # a full disk, perhaps
            logger.warning("the news file cannot be used: %s", error)
        except Exception:  # whatever it is, the service goes on, without news
            logger.exception("the news cannot be sent to pages")
