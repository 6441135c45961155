"""The photos of one activity, as many as its summary counts. The endpoint isn't documented; the shape is of 2025."""

from __future__ import annotations

import random
from typing import Any

from strava_async.testing.world.plan.people import PICTURES
from strava_async.testing.world.plan.timezones import iso, start_of
from strava_async.testing.world.record.samples import Json
from strava_async.testing.world.routes.polyline import decode

_PHOTO, _VIDEO = 1, 2
_SHAPES = ((1536, 2048), (2048, 1536), (1366, 2048))
_CAPTIONS = ("", "", "", "The view from the top", "Café stop ☕ & <3 cakes")


def photos(key: str, activity: Json, *, size: int) -> list[Json]:
    """Return the photos in the order of the activity's page; the first is the one that its detail shows.

    Args:
        key: the seed of what the activity leaves open, in the same way whatever the size.
        activity: the SummaryActivity.
        size: the longest side that is wanted, in pixels; no picture is enlarged.
    """
    rng = random.Random(f"{key}:{activity['id']}:photos")
    track = decode(activity["map"]["summary_polyline"])
    found: list[Json] = []
    for number in range(activity["total_photo_count"]):
        seconds = rng.randint(0, activity["elapsed_time"])
        shape = rng.choice(_SHAPES)
        unique_id, stem = _name(rng)
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


def in_detail(key: str, activity: Json) -> Json:
    """Return ``photos`` of the detail: how many there are, and the first of them; arguments as for ``photos``."""
    large, small = photos(key, activity, size=600), photos(key, activity, size=100)
    if not large:
        return {"primary": None, "count": 0}
    urls = {**large[0]["urls"], **small[0]["urls"]}
    primary = {"unique_id": large[0]["unique_id"], "urls": urls, "source": large[0]["source"], "media_type": _PHOTO}
    return {"primary": primary, "use_primary_photo": True, "count": len(large)}


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
