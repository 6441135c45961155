"""The parameters of a request to the routes of ``oauth_router``."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import parse_qsl

from starlette.requests import Request

from strava_async._hidden import Hidden

MAX_QUERY_BYTES = 4096


def read_query(query: bytes, names: Collection[str]) -> dict[str, str] | None:
    """Return these parameters of a request; None if one is repeated (RFC 6749 §3.1), or the query is too long."""
    if len(query) > MAX_QUERY_BYTES:
        return None
    pairs = parse_qsl(query.decode("utf-8", "replace"), keep_blank_values=True)
    wanted = [(name, value) for name, value in pairs if name in names]
    found = dict(wanted)
    return found if len(found) == len(wanted) else None


def take_code(request: Request) -> Hidden[str]:
    """Take the authorization code out of the request's scope, which servers and middleware log and keep in variables.

    Returns:
        the code; empty if there is none, or several.
    """
    scope = request.scope
    code = Hidden((read_query(scope["query_string"], ("code",)) or {}).get("code", ""))
    scope["query_string"] = re.sub(rb"(?<![^&])code=[^&]*", b"code=***", scope["query_string"])
    return code
