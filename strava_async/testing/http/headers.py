"""The header fields of Strava's responses, except those of rate limits.

As in the recordings of 2025-10 (and of 2018): a weak ``Etag``, ``X-Request-Id``, ``Status``,
``Cache-Control``, ``Vary``, and no length, for the body comes in chunks. The fields of the edge (``Via``, ``X-Cache``,
``X-Amz-Cf-*``, ``X-Envoy-Upstream-Service-Time``) and those for browsers' safety (``X-Frame-Options`` and the like) are
left out.

The streams of an activity come from another backend: without any of these but ``Vary``, and with a length. Pages for
people, redirects, and responses of the edge itself have none.

Whether Strava ever answers ``If-None-Match`` with 304 is not known: here it is ignored.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from http import HTTPStatus

from strava_async.testing.http.responses import HTML_TYPE, Response

_VALIDATED = {"Cache-Control": "max-age=0, private, must-revalidate"}
_FAILED = {"Cache-Control": "no-cache"}  # as in a 401 of 2020; there is no recording of other failures


def is_chunked(answer: Response) -> bool:
    """Say whether an answer comes in chunks: it is the application's."""
    return answer.origin == "application" and answer.content_type != HTML_TYPE and not 300 <= answer.status_code < 400


def application_fields(answer: Response) -> Mapping[str, str]:
    """Return the fields that are added to a response; those of the handler take precedence."""
    if answer.origin == "streams":
        return {"Vary": "Origin"}
    if not is_chunked(answer):
        return {}
    fields = {"Status": _status(answer.status_code), "Vary": "Accept, Origin", "X-Request-Id": str(uuid.uuid4())}
    if answer.status_code in (200, 201) and answer.body.plain:
        return fields | _VALIDATED | {"Etag": answer.body.etag()}
    return fields | _FAILED


def _status(status_code: int) -> str:
    try:
        return f"{status_code} {HTTPStatus(status_code).phrase}"
    except ValueError:  # a fault may have any status
        return str(status_code)
