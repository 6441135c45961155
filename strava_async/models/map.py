"""The line of an activity, a segment or a route on a map."""

from __future__ import annotations

from strava_async._extras import extra
from strava_async.models._fields import EncodedPolyline, LatLng
from strava_async.models._partial import PartialModel


class PolylineMap(PartialModel):
    """A line on the map."""

    id: str | None = None
    """The map's id: a letter for the kind of object, and the object's id."""
    polyline: EncodedPolyline | None = None
    """The whole line, encoded (precision 5); only where an object is shown in full."""
    summary_polyline: EncodedPolyline | None = None
    """The line with fewer points, encoded (precision 5)."""

    def coordinates(self) -> list[LatLng]:
        """Return the points of the line, the whole one if it is there.

        Empty without a line. A line that is truncated or leaves the Earth counts as missing.
        """
        return _decoded(self.polyline) or _decoded(self.summary_polyline)


def _decoded(line: str | None) -> list[LatLng]:
    if not isinstance(line, str):
        return []
    with extra("models", "a polyline", "polyline"):
        import polyline  # few programs draw lines

    try:
        points = [LatLng(lat, lng) for lat, lng in polyline.decode(line)]
    except (IndexError, OverflowError):  # it ends within a point, or holds a number out of range
        return []
    on_earth = all(abs(point.lat) <= 90 and abs(point.lng) <= 360 for point in points)  # past the date line is fine
    return points if on_earth else []
