"""Known disagreements between a client and the emulator: the emulator's response, and why it is right."""

from __future__ import annotations

from typing import NamedTuple


class Known(NamedTuple):
    """A disagreement.

    Attributes:
        told: stands in the error; another error at that step is news.
        reason: why the emulator stays as it is.
    """

    told: str
    reason: str


_CLOSED = Known("Authorization Error", "closed to third parties since 2026-09-01: 401 Application/internal/invalid")
_GONE = Known("Record Not Found", "removed on 2026-09-01: 404 resource/path/invalid")
_OLD = Known("Record Not Found", "in no document of Strava's; whether it still answers is not known")
_WEBSITE = Known("404 Client Error", "a page of the website, behind its cookie: the emulator is the API")

KNOWN: dict[tuple[str, str], Known] = {
    ("stravalib", "club members"): _CLOSED,
    ("stravalib", "club admins"): _CLOSED,
    ("stravalib", "club activities"): _GONE,
    ("stravalib", "koms"): _OLD,
    ("stravalib", "starred of an athlete"): _OLD,
    ("stravalib", "join club"): _OLD,
    ("stravalib", "leave club"): _OLD,
    ("strava of npm", "club members"): _CLOSED,
    ("strava of npm", "club admins"): _CLOSED,
    ("strava of npm", "club activities"): _GONE,
    ("strava of npm", "running races"): _OLD,
    ("strava of npm", "upload"): Known("fetch failed", "nothing is sent: node's fetch does not take its kind of body"),
    ("strava-v3", "club members"): _CLOSED,
    ("strava-v3", "club admins"): _CLOSED,
    ("strava-v3", "club activities"): _GONE,
    ("strava-v3", "routes"): _OLD,
    ("strava-offline", "gpx of the website"): _WEBSITE,
}
