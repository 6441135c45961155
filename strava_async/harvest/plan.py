"""What a harvest is to hold: ``Plan``. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import compress
from operator import attrgetter
from typing import Final

from strava_async.errors import InputError
from strava_async.harvest.base import Activity
from strava_async.harvest.kinds import Kind

_FIELDS: Final = {
    "details": Kind.DETAIL,
    "streams": Kind.STREAMS,
    "laps": Kind.LAPS,
    "zones": Kind.ZONES,
    "comments": Kind.COMMENTS,
    "kudos": Kind.KUDOS,
    "photos": Kind.PHOTOS,
    "gear": Kind.GEAR,
    "routes": Kind.ROUTES,
    "stats": Kind.STATS,
}
LIST = "list"
KIND_NAMES: Final = tuple(_FIELDS)
"""What the kinds are called in a plan."""
_switches: Callable[[Plan], tuple[bool, ...]] = attrgetter(*_FIELDS)


@lru_cache(maxsize=64)
def _chosen(switches: tuple[bool, ...]) -> frozenset[Kind]:
    return frozenset(compress(_FIELDS.values(), switches))


_SPORT = re.compile("[A-Z][A-Za-z]{1,49}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is fetched, and of which activities. What each costs per activity is one request, unless it says otherwise.

    Attributes:
        list: the list of activities, one request for 200. False leaves the list as it is in the store.
        details: ``/activities/{id}``.
        streams: all of an activity's samples; two requests where there are none in spite of a distance.
        laps: of an activity.
        zones: the time in each zone; only for athletes with a subscription.
        comments: of an activity that has any; one request for 200.
        kudos: of an activity that has any; one request for 200.
        photos: of an activity that has any.
        gear: each bike and pair of shoes that an activity names; renewed weekly.
        routes: an athlete's routes, one request for 200; renewed weekly.
        stats: an athlete's totals; renewed weekly.
        since: only activities that start at this instant or later; epoch seconds.
        sport_types: only activities of these, by Strava's names, such as ``TrailRun``; None means all. Strava adds new
            ones without notice, so that any name is accepted that is written like one. The list is whole in any case.

    Raises:
        InputError: a value is not of its kind.
    """

    list: bool = True
    details: bool = True
    streams: bool = True
    laps: bool = False
    zones: bool = False
    comments: bool = False
    kudos: bool = False
    photos: bool = False
    gear: bool = False
    routes: bool = False
    stats: bool = False
    since: float | None = None
    sport_types: Collection[str] | None = None

    def __post_init__(self) -> None:
        for name in (LIST, *_FIELDS):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name} of a plan is True or False")
        if self.since is not None and (type(self.since) not in (int, float) or not self.since >= 0):
            raise InputError("since of a plan is an instant in epoch seconds, such as moment.timestamp(), or None")
        if self.sport_types is not None:
            object.__setattr__(self, "sport_types", _sports(self.sport_types))

    @classmethod
    def of(
        cls, kinds: Iterable[str], *, since: float | None = None, sport_types: Collection[str] | None = None
    ) -> Plan:
        """Return a plan with these kinds and no others, by the names of the attributes; ``list`` is always in it.

        Raises:
            InputError: a kind is unknown, or a value is not of its kind.
        """
        wanted = set(kinds)
        known = {each.name for each in fields(cls)} - {"since", "sport_types"}
        if unknown := wanted - known:
            raise InputError(f"there is no kind {', '.join(sorted(unknown))}: there are {', '.join(sorted(known))}")
        chosen = {name: name in wanted for name in _FIELDS}
        return cls(**chosen, since=since, sport_types=sport_types)

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds that are wanted beside the list."""
        return _chosen(_switches(self))

    def check(self, now: float) -> None:
        """Raise InputError if ``since`` lies in the future."""
        if self.since is not None and self.since > now:
            raise InputError("since lies in the future: no activity starts after it; seconds, not milliseconds, count")

    def includes(self, activity: Activity) -> bool:
        """Say whether the kinds of this activity are wanted."""
        if self.since is not None and activity.start < self.since:
            return False
        return self.sport_types is None or activity.sport_type in self.sport_types


def _sports(names: Collection[object]) -> frozenset[str]:
    try:
        given = [] if isinstance(names, str) else list(names)
    except TypeError:
        given = []
    if not given:
        raise InputError('sport_types of a plan is a collection of names such as ["Ride"], or None for all')
    chosen: set[str] = set()
    for name in given:
        if not isinstance(name, str) or not _SPORT.fullmatch(name):
            raise InputError(f'{name!r:.50} is no sport type: they are written like "Ride" and "TrailRun"')
        chosen.add(name)
    return frozenset(chosen)
