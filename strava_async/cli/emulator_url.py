"""Which emulator a command works against, if any, and where Strava's own API is.

Rules:

- ``--emulator`` names one.
- Without it ``STRAVA_API_URL`` and ``STRAVA_OAUTH_URL`` decide, which services read too: in one terminal, a service and
  the commands mean the same Strava. One that is not set means Strava's own.
- Where these two are not about one Strava, the command is refused: one would be given the secrets of the other.
- Strava's API is at one of three places, which are all Strava: today's, and from 2027-01-04 a host of its own, which
  Strava spells in two ways. The OAuth pages stay where they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from strava_async.cli.terminal import UsageError
from strava_async.protocol import ApiV3

STRAVA = f"https://{ApiV3.server}"
API_PATH = ApiV3.api_base
OAUTH_PATH = "/oauth"
NEW_HOSTS = ("https://api-v3.strava.com", "https://www.api-v3.strava.com")


def emulator_url(given: str | None, environment: Mapping[str, str]) -> str | None:
    """Return the base URL of the emulator in its one spelling; None means Strava itself.

    Args:
        given: the value of ``--emulator``; None if it is not there.
        environment: the variables.

    Raises:
        UsageError: it is no such URL, or the two variables are not about one Strava.
    """
    if given is not None:
        origin = _origin(given)
        if origin is None:
            raise UsageError("--emulator is a URL without a path, such as http://127.0.0.1:8000")
        return origin
    api = _origin(environment.get("STRAVA_API_URL") or STRAVA + API_PATH, API_PATH)
    if _new_host(environment) is not None:
        api = STRAVA
    oauth = _origin(environment.get("STRAVA_OAUTH_URL") or STRAVA + OAUTH_PATH, OAUTH_PATH)
    if api is None or api != oauth:
        # The values are not shown: a URL may hold a password.
        raise UsageError(
            "STRAVA_API_URL and STRAVA_OAUTH_URL are not those of one Strava, such as http://127.0.0.1:8000/api/v3 and "
            "http://127.0.0.1:8000/oauth: set both, or none for Strava itself, or give --emulator"
        )
    return None if api == STRAVA else api


def strava_api_url(environment: Mapping[str, str]) -> str:
    """Return where Strava's own API is, as far as the variables say."""
    return _new_host(environment) or STRAVA + API_PATH


def _new_host(environment: Mapping[str, str]) -> str | None:
    origin = _origin(environment.get("STRAVA_API_URL") or "")
    return origin if origin in NEW_HOSTS else None


def _origin(url: str, path: str = "") -> str | None:
    """Return the origin of a URL with that path in its one spelling; None if it is none."""
    try:
        parts = urlsplit(url.strip())
        whole = bool(parts.scheme in ("http", "https") and parts.hostname and parts.port != 0)
    except ValueError:
        return None
    if not whole or parts.path.strip("/") != path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        return None
    return f"{parts.scheme}://{parts.netloc.lower()}"
