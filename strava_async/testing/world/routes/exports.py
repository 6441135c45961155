"""A saved route as a file: GPX without times, TCX as a course at its owner's pace.

Source:
    https://www.topografix.com/GPX/1/1/ and https://www8.garmin.com/xmlschemas/TrainingCenterDatabasev2.xsd
"""

from __future__ import annotations

from xml.etree import ElementTree as Xml

from strava_async.testing.world.plan.timezones import iso
from strava_async.testing.world.record.samples import Json
from strava_async.testing.world.routes.saved import SavedRoute

_SITE = "https://www.strava.com"
_COURSE_NAME_LIMIT = 15  # by the schema
_TRACK_TYPES = {1: "cycling", 2: "running"}


def gpx(route: SavedRoute, owner: Json) -> bytes:
    """Return the route as GPX 1.1: a track whose points have a height and no time.

    Args:
        route: which.
        owner: the SummaryAthlete, named as the author.
    """
    root = Xml.Element("gpx", creator="StravaGPX", version="1.1", xmlns="http://www.topografix.com/GPX/1/1")
    metadata, track = Xml.SubElement(root, "metadata"), Xml.SubElement(root, "trk")
    for parent in (metadata, track):
        _add(parent, "name", route.name)
        if route.description:
            _add(parent, "desc", route.description)
    author = Xml.SubElement(metadata, "author")
    _add(author, "name", f"{owner['firstname']} {owner['lastname']}")
    Xml.SubElement(author, "link", href=f"{_SITE}/athletes/{owner['id']}")
    for parent in (metadata, track):
        Xml.SubElement(parent, "link", href=f"{_SITE}/routes/{route.route_id}")
    _add(track, "type", _TRACK_TYPES[route.type])
    line = Xml.SubElement(track, "trkseg")
    for (lat, lng), altitude in zip(route.points, route.way.altitude, strict=True):
        _add(Xml.SubElement(line, "trkpt", lat=f"{lat:.5f}", lon=f"{lng:.5f}"), "ele", f"{altitude:.2f}")
    return _document(root)


def tcx(route: SavedRoute) -> bytes:
    """Return the route as a TCX course; its times start when the route was saved and are proportional to distance."""
    root = Xml.Element("TrainingCenterDatabase", xmlns="http://www.garmin.com/xmlschemas/TrainingCenterDatabase/v2")
    Xml.SubElement(root, "Folders")
    course = Xml.SubElement(Xml.SubElement(root, "Courses"), "Course")
    _add(course, "Name", route.name[:_COURSE_NAME_LIMIT].strip())
    lap, track = Xml.SubElement(course, "Lap"), Xml.SubElement(course, "Track")
    _add(lap, "TotalTimeSeconds", f"{route.moving_seconds:.1f}")
    _add(lap, "DistanceMeters", f"{route.way.along[-1]:.2f}")
    _add(lap, "Intensity", "Active")
    pace = route.moving_seconds / route.way.along[-1]
    for (lat, lng), metres, altitude in zip(route.points, route.way.along, route.way.altitude, strict=True):
        point = Xml.SubElement(track, "Trackpoint")
        _add(point, "Time", iso(route.created_at + metres * pace))
        position = Xml.SubElement(point, "Position")
        _add(position, "LatitudeDegrees", f"{lat:.5f}")
        _add(position, "LongitudeDegrees", f"{lng:.5f}")
        _add(point, "AltitudeMeters", f"{altitude:.2f}")
        _add(point, "DistanceMeters", f"{metres:.2f}")
    return _document(root)


def _add(parent: Xml.Element, tag: str, text: str) -> None:
    Xml.SubElement(parent, tag).text = text


def _document(root: Xml.Element) -> bytes:
    Xml.indent(root, " ")
    document: bytes = Xml.tostring(root, encoding="UTF-8", xml_declaration=True)
    return document
