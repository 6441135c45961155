"""What a body is, by its media type (RFC 9110 §8.3) and its first bytes. Pure.

An edge in front of Strava (a firewall, a CDN) refuses with a page of its own, under any media type.
"""

from __future__ import annotations

from typing import NamedTuple

from strava_async.request.redaction import EXCERPT_CHARACTERS, excerpt_of

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class BodyDescription(NamedTuple):
    """A body that was to be Strava's JSON, for the sentence of an error.

    Attributes:
        what: in words; empty for JSON that can be decoded.
        excerpt: its beginning as text, redacted; of a page what it shows. Empty for binary data.
        is_page: whether it is HTML or XML.
    """

    what: str
    excerpt: str = ""
    is_page: bool = False


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
    return not body.startswith((b"{", b"[")) and _beginning(body).startswith((b"<!doctype html", b"<html"))


def describe_body(body: bytes, content_type: str, secrets: tuple[str, ...], *, is_json: bool) -> BodyDescription:
    """Return what a body is.

    Args:
        body: it, decompressed.
        content_type: the field's value.
        secrets: what the excerpt must not show.
        is_json: whether it can be decoded as JSON.
    """
    if not body:
        return BodyDescription("no body came")
    if is_json:
        return BodyDescription("", excerpt_of(body, secrets))
    media_type = media_type_of(content_type)
    is_xml = media_type.endswith(("/xml", "+xml")) or _beginning(body).startswith(b"<?xml")
    if is_html_type(media_type) or begins_like_html(body) or (_beginning(body).startswith(b"<") and not is_xml):
        return BodyDescription("a page came instead of JSON", excerpt_of(body, secrets, is_page=True), is_page=True)
    if is_xml:
        return BodyDescription("XML came instead of JSON", excerpt_of(body, secrets, is_page=True), is_page=True)
    if is_json_type(media_type):
        return BodyDescription("broken JSON came", excerpt_of(body, secrets))
    if media_type.startswith("text/") or _is_text(body):
        return BodyDescription("text came instead of JSON", excerpt_of(body, secrets))
    return BodyDescription("binary data came instead of JSON")


def _beginning(body: bytes) -> bytes:
    return body[:64].removeprefix(_BYTE_ORDER_MARK).lstrip().lower()


def _is_text(body: bytes) -> bool:
    return "\ufffd" not in body[:EXCERPT_CHARACTERS].decode("utf-8", "replace").rstrip("\ufffd")
