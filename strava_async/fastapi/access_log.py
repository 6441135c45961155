"""uvicorn's access log shows whole addresses, and Strava sends an authorization code in one of them."""

from __future__ import annotations

import logging
import re

_SECRETS = re.compile(r"(?<=[?&])(code|state|hub\.verify_token|hub\.challenge)=[^&\s\"]*")


class AccessLogFilter(logging.Filter):
    """Masks the authorization code, the ``state`` and the ``verify_token`` in the addresses of an access log.

    ``StravaLifespan`` adds it to the logger ``uvicorn.access``. Add it to the handlers of any other log that shows
    addresses of requests; a proxy in front of the service has a log of its own.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; it is always kept."""
        if isinstance(record.args, tuple):
            record.args = tuple(_masked(value) if isinstance(value, str) else value for value in record.args)
        if isinstance(record.msg, str):
            record.msg = _masked(record.msg)
        return True


def _masked(text: str) -> str:
    return _SECRETS.sub(r"\1=***", text) if "=" in text else text
