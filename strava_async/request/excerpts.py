"""What came in place of Strava's JSON, in words, and its beginning as text. Pure.

An edge in front of Strava (a firewall, a CDN) refuses with a page of its own. What it shows says more than its markup.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from strava_async.request.redaction import reach_of, redacted, redacted_beginning

EXCERPT_CHARACTERS = 200
# Pages begin with pages of style and script.
LOOKED_AT_CHARACTERS = 32 * 1024

# A pattern that is not closed goes to the end: none is tried at a place twice.
_MARKUP = r"(?is:<!--.*?(?:-->|\Z)|<(script|style|svg)\b.*?(?:</\1\s*>|\Z)|<[A-Za-z/!?][^>]*(?:>|\Z))"
# What a terminal obeys, what nobody sees, and the zeros of UTF-16, between which a secret would not be found.
_UNSEEN = "[\0-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]+"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Came(NamedTuple):
    """What came.

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
    # JSON is seen to be none by its first byte.
    return not body.startswith((b"{", b"[")) and _beginning(body).startswith((b"<!doctype html", b"<html"))


def what_came(body: bytes, content_type: str, secrets: tuple[str, ...], *, is_json: bool) -> Came:
    """Return what a body is that was to be Strava's JSON.

    Args:
        body: it, unpacked.
        content_type: the field's value.
        secrets: what the excerpt must not show.
        is_json: whether it can be decoded as JSON.
    """
    if not body:
        return Came("no body came")
    if is_json:
        return Came("", _excerpt(body, secrets))
    media_type = media_type_of(content_type)
    is_xml = media_type.endswith(("/xml", "+xml")) or _beginning(body).startswith(b"<?xml")
    if is_html_type(media_type) or begins_like_html(body) or (_beginning(body).startswith(b"<") and not is_xml):
        return Came("a page came instead of JSON", _excerpt(body, secrets, is_page=True), is_page=True)
    if is_xml:
        return Came("XML came instead of JSON", _excerpt(body, secrets, is_page=True), is_page=True)
    if is_json_type(media_type):
        return Came("broken JSON came", _excerpt(body, secrets))
    if media_type.startswith("text/") or _is_text(body):
        return Came("text came instead of JSON", _excerpt(body, secrets))
    return Came("binary data came instead of JSON")


def _beginning(body: bytes) -> bytes:
    return body[:64].removeprefix(_BYTE_ORDER_MARK).lstrip().lower()


def _is_text(body: bytes) -> bool:
    return "\ufffd" not in body[:EXCERPT_CHARACTERS].decode("utf-8", "replace").rstrip("\ufffd")


def _excerpt(body: bytes, secrets: tuple[str, ...], *, is_page: bool = False) -> str:
    looked_at = LOOKED_AT_CHARACTERS if is_page else EXCERPT_CHARACTERS
    # Enough bytes in any encoding; redacted before it is cut, because half a secret would not be found.
    came = body[: 4 * (looked_at + reach_of(secrets))].decode("utf-8", "replace")
    text = redacted_beginning(re.sub(_UNSEEN, "", came), secrets, looked_at)
    if is_page:
        text = _shown(text, secrets) or text
    return " ".join(text.split())[:EXCERPT_CHARACTERS]


def _shown(page: str, secrets: tuple[str, ...]) -> str:
    """Return what a page shows; empty where all of it is markup, style and script."""
    import html  # its table of entities takes a millisecond to load, for what hardly ever comes

    unescaped = html.unescape(re.sub(_MARKUP, " ", page))
    return redacted(re.sub(_UNSEEN, "", unescaped), secrets).strip()
