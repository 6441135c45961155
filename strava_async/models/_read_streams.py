"""Streams from the body of an answer."""

from __future__ import annotations

import json

from pydantic_core import from_json

from strava_async.models._reading import OnInvalid, report_invalid
from strava_async.models.stream_set import StreamSet


def read_streams(text: bytes, on_invalid: OnInvalid = "keep") -> StreamSet:
    """Return the streams that a body holds.

    Args:
        text: the body.
        on_invalid: what to do about invalid values: keep them and log each kind of them once, or raise.

    Raises:
        ValueError: the body is not JSON.
        DecodeError: there are any, and ``on_invalid`` is "raise".
    """
    try:
        raw = from_json(text, cache_strings="keys")
    except ValueError:
        raw = json.loads(text)  # the standard library accepts unpaired surrogates and deeper nesting
    streams = StreamSet(raw)
    report_invalid(streams.misfits, on_invalid)
    return streams
