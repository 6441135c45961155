"""A Redis server on which the processes of any number of hosts meet to share a quota (extra ``redis``).

Rules:

- A call is one EVALSHA: one round trip. A server that does not know the script gets it with EVAL, which is another one.
- Before the first of them the script's check is carried out, which uses each command without effect: a missing
  permission is an error before anything is written.
- No exception of the client's gets out, nor its frames: they may hold what was sent.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

from redis.asyncio import Redis, RedisCluster
from redis.client import NEVER_DECODE
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    NoScriptError,
    RedisClusterException,
    RedisError,
    ResponseError,
)

from strava_async._hidden import Hidden
from strava_async._types import is_list, is_object
from strava_async.errors import LimiterError, StoreError
from strava_async.limiter.redis_packing import pack_report, unpack_fleet, unpack_reply
from strava_async.limiter.redis_script import script
from strava_async.quota.fleet.codec import checked
from strava_async.quota.fleet.messages import Reply, Report
from strava_async.quota.fleet.state import Fleet
from strava_async.stores.redis_client import place, prefix
from strava_async.stores.redis_errors import reason

# A little less than the limiter's own timeout, so that the error says what was waited for. A new connection over TLS to
# another continent takes a second.
TIMEOUT_SECONDS = 2.5

_LASTING = ("STRAVA COMMAND", "STRAVA KEYS", "NOAUTH", "NOPERM", "WRONGPASS", "WRONGTYPE", "unknown command")
# What the script does not meet in a state of its own.
_DAMAGED = re.compile("bad argument|attempt to (?:perform|compare|index)")


class _RefusedError(StoreError):
    """The server will not do it before somebody changes a setting."""


class _UnknownScriptError(StoreError):
    """The server has lost its scripts, or has never had this one."""


class RedisPlace:
    """The state of one application's quota on a server.

    Args:
        redis: the caller's client, which is never closed.
        application: whose quota.
        server_time: whether leases go by the server's clock; else by the instants that calls bring.
        timeout: how long one exchange may take; seconds.

    Attributes:
        keys: the two keys in use.
        what: the place, as a message names it.
    """

    def __init__(
        self,
        redis: Redis | RedisCluster,
        application: str,
        *,
        server_time: bool = True,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self._client: Hidden[Any] = Hidden(redis)  # as a text it shows its password, before redis-py 7
        self._server_time = server_time
        self._timeout = timeout
        self._script = script()
        self._sha = hashlib.sha1(self._script.encode(), usedforsecurity=False).hexdigest()
        self._is_checked = False
        begin = prefix(application)
        self.keys = (f"{begin}:quota", f"{begin}:rows")
        self._pattern = f"{begin}:*"
        self.what = place(application)

    async def check(self) -> None:
        """Find out whether this user may do all that calls do; without a write, in two round trips.

        Raises:
            LimiterError: not before somebody changes a setting, which it names.
            StoreError: the server cannot be reached, or takes no writes now.
        """
        try:
            await self._check()
        except _RefusedError as error:
            raise LimiterError(str(error)) from None

    async def close(self) -> None:
        """Do nothing: the client is the caller's."""

    async def _check(self) -> None:
        now = "" if self._server_time else "1"
        arguments = (len(self.keys), *self.keys, "", "", now)
        # First, because a server takes nothing as long as the script from a client that has not told its password, and
        # does not say why.
        with suppress(_UnknownScriptError):
            await self._do("EVALSHA", self._sha, *arguments)
        await self._do("EVAL", self._script, *arguments)
        self._is_checked = True

    async def call(self, report: Report, now: int) -> Reply:
        """Tell a report, and return the reply; in one round trip. If it is cancelled, it may have been done.

        Args:
            report: of a process.
            now: milliseconds on a clock that all processes see; of no use where the server's clock is used.

        Raises:
            StoreError: the server cannot be reached or refuses; it says what to do.
        """
        if not self._is_checked:
            await self._check()
        instant = "" if self._server_time else str(now)
        arguments = (len(self.keys), *self.keys, report.process, pack_report(report), instant)
        try:
            reply = await self._do("EVALSHA", self._sha, *arguments)
        except _UnknownScriptError:
            reply = await self._do("EVAL", self._script, *arguments)
        try:
            return unpack_reply(reply)
        except (TypeError, struct.error) as error:
            raise StoreError(f"{self.what} answered with what is no reply: see which program shares it") from error

    async def read(self) -> Fleet:
        """Return what is known of the quota and of the processes that share it; in two round trips.

        It needs HGETALL alone, and writes nothing. ``Fleet()`` where there is nothing.

        Raises:
            StoreError: the server cannot be reached or refuses, or holds something else.
        """
        quota, rows = [_fields(await self._do("HGETALL", key)) for key in self.keys]
        if b"state" not in quota:
            return Fleet()
        try:
            fleet = unpack_fleet(quota[b"state"], {process.decode(): row for process, row in rows.items()})
            return checked(fleet)
        except (ValueError, OverflowError, struct.error) as error:
            raise StoreError(
                f"{self.what} holds a quota that this version of strava_async does not know: use the version of the "
                "processes that share it"
            ) from error

    async def _do(self, command: str, *arguments: str | bytes | int) -> Any:
        """Return the server's answer to a command, as bytes, whatever the client encodes and decodes itself."""
        sent = [each.encode() if isinstance(each, str) else each for each in arguments]
        try:
            async with asyncio.timeout(self._timeout):
                return await self._client.reveal().execute_command(command, *sent, **{NEVER_DECODE: True})
        except NoScriptError:
            failure: StoreError = _UnknownScriptError(f"{self.what} does not know the script")
        except (RedisError, RedisClusterException, OSError, TimeoutError) as error:
            failure = self._failure(error)
        except RuntimeError:
            failure = StoreError(f"the client of {self.what} belongs to another event loop: make one for each loop")
        raise failure  # here, where the client's error is not its context

    def _failure(self, error: Exception) -> StoreError:
        text = str(error)
        if "STRAVA LATER" in text:
            return StoreError(f"{self.what} is shared by processes with a later strava_async: update this one")
        if isinstance(error, ResponseError) and _DAMAGED.search(text):
            return StoreError(
                f"{self.what} holds a quota that is damaged: delete its two keys, {self.keys[0]} and {self.keys[1]}"
            )
        is_lasting = isinstance(error, AuthenticationError | NoPermissionError) or (
            isinstance(error, ResponseError) and any(each in text for each in _LASTING)
        )
        kind = _RefusedError if is_lasting else StoreError
        return kind(f"{self.what} {reason(error, self._pattern)}")


def _fields(answer: object) -> dict[bytes, bytes]:
    """Return the answer to HGETALL, which some clients leave as a list."""
    if is_object(answer):
        return {bytes(field): bytes(value) for field, value in cast("Mapping[bytes, bytes]", answer).items()}
    return dict(zip(answer[::2], answer[1::2], strict=True)) if is_list(answer) else {}
