"""Which streams there are, and what their samples are.

Source:
    https://developers.strava.com/docs/reference/#api-models-StreamSet
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from strava_async.models._fields import LatLng


class StreamType(StrEnum):
    """The streams that Strava documents. An activity has those that its device recorded."""

    TIME = "time"
    DISTANCE = "distance"
    LATLNG = "latlng"
    ALTITUDE = "altitude"
    VELOCITY_SMOOTH = "velocity_smooth"
    HEARTRATE = "heartrate"
    CADENCE = "cadence"
    WATTS = "watts"
    TEMP = "temp"
    MOVING = "moving"
    GRADE_SMOOTH = "grade_smooth"


ELEMENTS: Mapping[str, type] = {
    StreamType.TIME: int,
    StreamType.DISTANCE: float,
    StreamType.LATLNG: LatLng,
    StreamType.ALTITUDE: float,
    StreamType.VELOCITY_SMOOTH: float,
    StreamType.HEARTRATE: int,
    StreamType.CADENCE: int,
    StreamType.WATTS: int,
    StreamType.TEMP: int,
    StreamType.MOVING: bool,
    StreamType.GRADE_SMOOTH: float,
}
"""What the samples of a stream are; of a type that is not here, anything."""
