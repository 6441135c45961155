"""What a body is, by its media type (RFC 9110 §8.3) and its first bytes. Pure.

An edge in front of Strava (a firewall, a CDN) refuses with a page of its own, under any media type.
"""

from __future__ import annotations

from functools import lru_cache

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@lru_cache(maxsize=32)
def media_type_of(content_type: str) -> str:
    """Return the media type of a Content-Type, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def is_html_type(media_type: str) -> bool:
    """Say whether a media type is that of a page."""
    return media_type in ("text/html", "application/xhtml+xml")


def is_json_type(media_type: str) -> bool:
    """Say whether a media type is that of JSON; none counts as such."""
    return media_type in ("", "application/json") or media_type.endswith("+json")


def begins_like_html(body: bytes) -> bool:
    """Say whether a body is a page, whatever its media type."""
    # The first byte of JSON rules it out.
    return not body.startswith((b"{", b"[")) and beginning_of(body).startswith((b"<!doctype html", b"<html"))


def beginning_of(body: bytes) -> bytes:
    """Return the first bytes, in lower case, without what may stand before a page."""
    return body[:64].removeprefix(_BYTE_ORDER_MARK).lstrip().lower()
