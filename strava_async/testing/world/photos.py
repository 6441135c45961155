"""The photos of one activity, as many as its summary counts. The endpoint isn't documented; the shape is of 2025."""

from __future__ import annotations

import random
from typing import Any

from strava_async.testing.world.people import PICTURES
from strava_async.testing.world.polyline import decode
from strava_async.testing.world.samples import Json
from strava_async.testing.world.timezones import iso, start_of

_PHOTO, _VIDEO = 1, 2
_SHAPES = ((1536, 2048), (2048, 1536), (1366, 2048))
_CAPTIONS = ("", "", "", "The view from the top", "Café stop ☕ & <3 cakes")


def photos(rng: random.Random, activity: Json, primary: Json | None, *, size: int) -> list[Json]:
    """Return the photos in the order of the activity's page; the first is the one that its detail shows.

    Args:
        rng: decides what the activity leaves open, in the same way whatever the size.
        activity: the SummaryActivity.
        primary: ``photos.primary`` of the detail; None without photos.
        size: the longest side that is wanted, in pixels; no picture is enlarged.
    """
    track = decode(activity["map"]["summary_polyline"])
    found: list[Json] = []
    for number in range(activity["total_photo_count"] if primary is not None else 0):
        seconds = rng.randint(0, activity["elapsed_time"])
        shape = rng.choice(_SHAPES)
        unique_id, stem = _name(rng)
        if number == 0 and primary is not None:
            unique_id, stem = primary["unique_id"], primary["urls"]["600"].removesuffix("-600.jpg")
        film = number > 1 and rng.random() < 0.3
        photo = _photo(activity, start_of(activity) + seconds, rng.choice(_CAPTIONS))
        photo |= {"unique_id": unique_id, "type": _VIDEO if film else _PHOTO, "default_photo": number == 0}
        photo |= _pictures(stem, shape, size)
        if film:
            photo |= {"duration": float(rng.randint(3, 30)), "video_url": f"{stem}.m3u8"}
        if track:
            share = seconds / max(activity["elapsed_time"], 1)
            photo["location"] = list(track[int(share * (len(track) - 1))])
        found.append(photo)
    return found


def _name(rng: random.Random) -> tuple[str, str]:
    unique_id = f"{rng.getrandbits(32):08x}-0000-4000-8000-{rng.getrandbits(48):012x}"
    return unique_id, f"{PICTURES}/photos/{rng.getrandbits(64):016x}"


def _photo(activity: Json, at: float, caption: str) -> dict[str, Any]:
    return {
        "unique_id": "",
        "athlete_id": activity["athlete"]["id"],
        "activity_id": activity["id"],
        "activity_name": activity["name"],
        "post_id": None,
        "resource_state": 2,
        "caption": caption,
        "type": _PHOTO,
        "source": 1,
        "status": 3,
        "uploaded_at": iso(start_of(activity) + activity["elapsed_time"] + 600),
        "created_at": iso(at),
        "created_at_local": iso(at + activity["utc_offset"]),
        "urls": {},
        "placeholder_image": None,
        "sizes": {},
        "default_photo": False,
        "cursor": None,
    }


def _pictures(stem: str, shape: tuple[int, int], size: int) -> Json:
    scale = min(1.0, size / max(shape))
    width, height = round(shape[0] * scale) or 1, round(shape[1] * scale) or 1
    return {"urls": {str(size): f"{stem}-{width}x{height}.jpg"}, "sizes": {str(size): [width, height]}}
