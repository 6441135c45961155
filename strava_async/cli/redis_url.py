"""Which Redis server a command looks at: ``--redis``, or the variable ``STRAVA_REDIS_URL``."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from strava_async.cli.terminal import UsageError

REDIS_URL = "STRAVA_REDIS_URL"


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """The URL of a server. Its repr does not show it: a password may be in it.

    Attributes:
        url: the URL.
        named: what it was given by, for errors.
    """

    url: str = field(repr=False)
    named: str


def redis_url(given: str | None, environment: Mapping[str, str], option: str = "--redis") -> RedisUrl | None:
    """Return the URL that was chosen; None if none was.

    Args:
        given: by the option.
        environment: where it is looked up else.
        option: its name.

    Raises:
        UsageError: a password is on the command line.
    """
    if given is None:
        from_environment = environment.get(REDIS_URL)
        return RedisUrl(from_environment, REDIS_URL) if from_environment else None
    if _has_password(given):
        raise UsageError(
            f"{option}: a command line can be read by every user of this machine: "
            f"put a URL with a password into {REDIS_URL}, and leave {option} out"
        )
    return RedisUrl(given, option)


@contextmanager
def needing_redis(what: str) -> Generator[None]:
    """Return a context for an import that needs the extra; without it that is an error which says so.

    Args:
        what: needs it, with the verb: "a quota on Redis needs".
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "redis":
            raise
        raise UsageError(f'{what} more packages: pip install "strava-async[redis]"') from None


def _has_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
        # Those of TLS keys as well, such as ssl_password.
        return parts.password is not None or any("password" in name for name in parse_qs(parts.query))
    except ValueError:
        return "@" in url
