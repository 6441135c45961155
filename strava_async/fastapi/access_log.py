"""A filter for access logs: uvicorn logs whole URLs, and Strava sends an authorization code in one of them."""

from __future__ import annotations

import logging
import re
from urllib.parse import unquote_plus

_PARAMETER = re.compile(r"(?<=[?&])([^=&\s\"]+)=[^&\s\"]*")
_SECRETS = frozenset(("code", "state", "hub.verify_token", "hub.challenge"))


class AccessLogFilter(logging.Filter):
    """Masks the authorization code, the ``state`` and the ``verify_token`` in the URLs of an access log.

    ``StravaLifespan`` adds it to the logger ``uvicorn.access``. Add it to the handlers of any other log that shows
    URLs of requests; a proxy in front of the service has a log of its own.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; it is always kept."""
        if isinstance(record.args, tuple):
            record.args = tuple(_masked(value) if isinstance(value, str) else value for value in record.args)
        if isinstance(record.msg, str):
            record.msg = _masked(record.msg)
        return True


def _masked(text: str) -> str:
    return _PARAMETER.sub(_mask, text) if "=" in text else text


def _mask(parameter: re.Match[str]) -> str:
    # A name may be percent-encoded: to the route it is the same.
    return f"{parameter[1]}=***" if unquote_plus(parameter[1]) in _SECRETS else parameter[0]
