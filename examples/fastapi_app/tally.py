"""The state shared by the routes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from examples.fastapi_app.live import Live
from examples.fastapi_app.news import News
from examples.fastapi_app.rides import Rides

Record = Callable[[int], object]


@dataclass(frozen=True)
class Tally:
    """The state shared by the routes.

    Attributes:
        news: what happened to activities, for all processes.
        rides: the dashboards of athletes.
        live: tells open pages what happens.
        record: makes an activity for an athlete; None where Strava is no emulator.
        at_strava: whether the activities are Strava's, and can be viewed there.
    """

    news: News
    rides: Rides
    live: Live
    record: Record | None
    at_strava: bool


def tally_of(connection: HTTPConnection) -> Tally:
    """Return the state shared by the routes."""
    tally: Tally = connection.state.tally
    return tally


TallyDep = Annotated[Tally, Depends(tally_of)]
