"""The dashboards of athletes, read from Strava every few minutes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import anyio
import anyio.lowlevel
from pydantic import BaseModel

from examples.fastapi_app.drawing import Track, Week, track, weeks
from examples.fastapi_app.formats import day_of
from strava_async import Client, Clock, StravaError
from strava_async.models import SummaryActivity

SHOWN = 20
PAGE = 200
MAX_AGE_SECONDS = 180.0
MAX_ATHLETES = 1000
# No activity is that far, or that long.
MOST = 1e9


class Ride(BaseModel, frozen=True):
    """The data shown of an activity of any sport. Processes exchange it, too.

    Attributes:
        id: the activity's id.
        name: its title; never empty.
        sport: its sport, as Strava writes it.
        began: local start time; None if Strava does not say.
        distance: in metres.
        moving_time: in seconds.
        climb: in metres.
        device: what recorded it; Strava wants Garmin's devices named. None if unknown.
        private: whether only the athlete may see it.
        track: its line; None for one without, such as those indoors.
    """

    id: int
    name: str
    sport: str
    began: datetime | None
    distance: float
    moving_time: float
    climb: float
    device: str | None
    private: bool
    track: Track | None

    @classmethod
    def of(cls, activity: SummaryActivity) -> Ride:
        """Return the data shown of an activity. Strava may omit anything but the id, and send odd values."""
        began = activity.start_date_local
        return cls(
            id=activity.id or 0,
            name=_text(activity.name) or "Untitled",
            sport=_text(activity.sport_type) or "Activity",
            began=began if isinstance(began, datetime) else None,
            distance=_number(activity.distance),
            moving_time=_number(activity.moving_time),
            climb=_number(activity.total_elevation_gain),
            device=_device(activity),
            private=activity.private is True or activity.visibility == "only_me",
            track=None if activity.map is None else track(activity.map.coordinates()),
        )


@dataclass(frozen=True)
class Dashboard:
    """The data on an athlete's page.

    Attributes:
        rides: the newest activities, newest first.
        weeks: the last twelve, oldest first.
        since: the last piece of news that is certainly included.
    """

    rides: Sequence[Ride]
    weeks: Sequence[Week]
    since: int

    @property
    def latest(self) -> Week:
        """The newest week in which the athlete covered a distance; the last of all if there is none."""
        return next((week for week in reversed(self.weeks) if week.metres > 0), self.weeks[-1])

    @property
    def latest_name(self) -> str:
        """The week's name, relative to today."""
        ago = (self.weeks[-1].monday - self.latest.monday).days // 7
        return ("this week", "last week")[ago] if ago < 2 else f"in the week of {day_of(self.latest.monday)}"


@dataclass
class _Entry:
    until: float = 0.0
    dashboard: Dashboard | None = None
    failure: StravaError | None = None
    lock: anyio.Lock = field(default_factory=anyio.Lock)


class Rides:
    """The dashboards of athletes. Each costs one request of the read class, and is cached for three minutes.

    However many callers ask for one athlete's at a time, there is one request to Strava. Twelve weeks are counted from
    the newest 200 activities.

    Args:
        clock: the time.
        newest: returns the id of the last piece of news.
    """

    def __init__(self, clock: Clock, newest: Callable[[], Awaitable[int]]) -> None:
        self._clock = clock
        self._newest = newest
        self._entries: OrderedDict[int, _Entry] = OrderedDict()

    async def of(self, client: Client, since: int = 0) -> Dashboard:
        """Return an athlete's dashboard.

        Args:
            client: the athlete's.
            since: a piece of news that has to be included.

        Raises:
            StravaError: it could not be read; the next caller tries again.
        """
        entry = self._entry(client.athlete_id)
        async with entry.lock:
            if entry.failure is not None:  # this caller waited for what failed
                raise entry.failure
            if entry.dashboard is None or entry.dashboard.since < since:
                try:
                    entry.dashboard = await self._ask(client)
                except StravaError as error:
                    entry.failure = error
                    self._discard(client.athlete_id, entry)
                    raise
                entry.until = self._clock.monotonic() + MAX_AGE_SECONDS
            return entry.dashboard

    def drop(self, athlete_id: int) -> None:
        """Drop an athlete's dashboard, and one that is being read."""
        self._entries.pop(athlete_id, None)

    def drop_old(self) -> None:
        """Drop expired dashboards."""
        now = self._clock.monotonic()
        for athlete_id, entry in list(self._entries.items()):
            if entry.dashboard is not None and entry.until <= now:
                del self._entries[athlete_id]

    def _entry(self, athlete_id: int) -> _Entry:
        self.drop_old()
        entry = self._entries.setdefault(athlete_id, _Entry())
        self._entries.move_to_end(athlete_id)
        while len(self._entries) > MAX_ATHLETES:
            self._entries.popitem(last=False)
        return entry

    def _discard(self, athlete_id: int, entry: _Entry) -> None:
        if self._entries.get(athlete_id) is entry:
            del self._entries[athlete_id]

    async def _ask(self, client: Client) -> Dashboard:
        since = await self._newest()  # first: events that occur while Strava answers may be missing in the answer
        # One page and no more: the list's own end would cost a second request.
        page = await anext(client.activities.list(per_page=PAGE).pages(), list[SummaryActivity]())
        shown: list[Ride] = []
        for activity in page[:SHOWN]:
            shown.append(Ride.of(activity))
            await anyio.lowlevel.checkpoint()  # a track takes half a millisecond, and others wait for theirs
        days = [
            (activity.start_date_local.date(), _number(activity.distance))
            for activity in page
            if isinstance(activity.start_date_local, datetime)
        ]
        return Dashboard(shown, weeks(days, self._today(page)), since)

    def _today(self, page: Sequence[SummaryActivity]) -> date:
        """Return the day where the athlete was last."""
        offset = _number(page[0].utc_offset) if page else 0.0
        return (datetime.fromtimestamp(self._clock.time(), UTC) + timedelta(seconds=offset)).date()


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and abs(value) < MOST else 0.0


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _device(activity: SummaryActivity) -> str | None:
    """Return the device of an activity. Lists may omit it, but the upload's name shows that it came from Garmin."""
    from_garmin = _text(activity.external_id).startswith("garmin")
    return _text(activity.device_name) or ("Garmin" if from_garmin else None)
