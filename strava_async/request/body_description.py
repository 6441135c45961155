"""What came in place of Strava's JSON, for the sentence of an error. Pure; loaded with the first error."""

from __future__ import annotations

from typing import NamedTuple

from strava_async.request.media import beginning_of, begins_like_html, is_html_type, is_json_type, media_type_of
from strava_async.request.redaction import EXCERPT_CHARACTERS, excerpt_of


class BodyDescription(NamedTuple):
    """A body in place of which JSON was expected, for the sentence of an error.

    Attributes:
        what: in words; empty for JSON that can be decoded.
        excerpt: its beginning as text, redacted; of a page what it shows. Empty for binary data.
        is_page: whether it is HTML or XML.
    """

    what: str
    excerpt: str = ""
    is_page: bool = False


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
    is_xml = media_type.endswith(("/xml", "+xml")) or beginning_of(body).startswith(b"<?xml")
    if is_html_type(media_type) or begins_like_html(body) or (beginning_of(body).startswith(b"<") and not is_xml):
        return BodyDescription("a page came instead of JSON", excerpt_of(body, secrets, is_page=True), is_page=True)
    if is_xml:
        return BodyDescription("XML came instead of JSON", excerpt_of(body, secrets, is_page=True), is_page=True)
    if is_json_type(media_type):
        return BodyDescription("broken JSON came", excerpt_of(body, secrets))
    if media_type.startswith("text/") or _is_text(body):
        return BodyDescription("text came instead of JSON", excerpt_of(body, secrets))
    return BodyDescription("binary data came instead of JSON")


def _is_text(body: bytes) -> bool:
    return "\ufffd" not in body[:EXCERPT_CHARACTERS].decode("utf-8", "replace").rstrip("\ufffd")
