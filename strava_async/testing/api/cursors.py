"""The cursors of comments: base64 of JSON, with its padding percent-escaped, as in the recordings.

A client gets ``...%3D%3D`` and sends it back through an encoder of queries or as it is; both forms are understood.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import quote, unquote

from strava_async.testing.http.responses import bad_request


def cursor_of(comment: dict[str, Any]) -> str:
    """Return the cursor that stands for a comment."""
    content = json.dumps({"id": comment["id"], "created_at": comment["created_at"]}, separators=(",", ":"))
    content += " " * ((1 - len(content)) % 3)  # always two padding characters, so that every client sees the escapes
    return quote(base64.b64encode(content.encode()).decode(), safe="")


def position(cursor: str, comments: Sequence[dict[str, Any]]) -> int:
    """Return how many comments to skip; 400 for a cursor that is invalid or of another activity."""
    refusal = bad_request("Comment", "after_cursor")
    try:
        value: Any = json.loads(base64.b64decode(unquote(cursor), validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise refusal from error
    if isinstance(value, dict):
        wanted = cast("dict[str, Any]", value).get("id")
        for index, comment in enumerate(comments):
            if comment["id"] == wanted:
                return index + 1
    raise refusal
