"""A Redis server as the stores see it: it runs scripts and says what is safe. Knows no library but its client.

Rules:

- A write and the question whether it is safe go out together, on one connection: a server answers for what this
  connection has written. A pool would take another one for the question.
- Only EVAL is sent, with the script: it goes to the primary, also of a cluster, and no server has to remember it.
- A client's pool raises where it has no connection left, and other parts share it: so a burst waits here. Writes that
  may wait to be confirmed have places of their own: that may take a second, and a lease has to be renewed meanwhile.
- No exception of the client's gets out, nor its frames: they may hold what was sent.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from strava_async._concurrency.loop_binding import LoopBinding
from strava_async._hidden import Hidden
from strava_async._types import is_list, is_object
from strava_async.errors import StoreError
from strava_async.stores.redis_errors import reason

T = TypeVar("T")
Arguments = Hidden[tuple[str | int, ...]]
NONE: Arguments = Hidden(())

# Of an operation's time, what its write may wait to be confirmed: by the log, and as much by the replicas.
_CONFIRM_SHARE = 0.4
# Nor longer than the client listens, which would be silence in place of an answer. 5 s is what clients do by default.
_LISTEN_SHARE, _LISTEN_SECONDS = 0.8, 5.0
_REDIRECTIONS = 3
# Of the connections that a client's pool may have, what a store uses at a time: for such writes, and for all else.
# There may be two stores, and a limiter. The more writes there are at a time, the fewer syncs they cost the server.
_CONFIRMED_SHARE, _QUICK_SHARE = 0.35, 0.1
_MOST_CONNECTIONS = 1000


class Confirmation(NamedTuple):
    """Who has to say that a write is safe.

    Attributes:
        log: the server, once it is in its log on the disk.
        replicas: so many replicas.
    """

    log: bool
    replicas: int


class RedisServer:
    """Runs scripts.

    Args:
        client: of ``redis.asyncio``.
        keys: the pattern of the keys in use, as an ACL has it.
        place: what the server is called in errors.
        timeout: how long one exchange may take, and as much the wait for a connection; seconds.
        error: what is raised where the server cannot be reached, or refuses.
        refused: what is raised where it has answered that it does not do it: nothing was written.
        errors: what the client raises besides OSError.
        refusals: those of them that are the server's answer.
        redirections: those of them that say that another server of a cluster has the keys.
    """

    def __init__(
        self,
        client: Any,
        *,
        keys: str,
        place: str,
        timeout: float,
        error: type[StoreError],
        refused: type[StoreError],
        errors: tuple[type[Exception], ...],
        refusals: tuple[type[Exception], ...],
        redirections: tuple[type[Exception], ...],
    ) -> None:
        self._client = Hidden(client)  # as a text it shows its password, before redis-py 7
        self._is_cluster = hasattr(client, "get_node_from_key")
        self._keys = keys
        self._place = place
        self._timeout = timeout
        self._error_type = error
        self._refused_type = refused
        listens = min(timeout * _CONFIRM_SHARE, _listens(client) * _LISTEN_SHARE)
        self._confirm_ms = max(int(1000 * listens), 1)  # zero is for ever
        self._errors: tuple[type[Exception], ...] = (*errors, OSError, TimeoutError)
        self._loop = LoopBinding("this store")
        self._places = _places(client)
        self._refusals = refusals
        self._redirections = redirections

    async def run(self, script: str, keys: Sequence[str], arguments: Arguments = NONE) -> Hidden[Any]:
        """Return what a script returns, with texts for bytes.

        Raises:
            StoreError: the server cannot be reached, or refuses.
        """
        return _texts(await self._bounded(lambda: self._evaluated(script, keys, arguments)))

    async def _evaluated(self, script: str, keys: Sequence[str], arguments: Arguments) -> Hidden[Any]:
        return Hidden(await self._client.reveal().execute_command(*_sent(script, keys, arguments).reveal()))

    async def run_confirmed(
        self, script: str, keys: Sequence[str], arguments: Arguments, confirmation: Confirmation
    ) -> tuple[str, str]:
        """Return what a script returns, and why its write does not count as safe; empty if it does.

        Raises:
            StoreError: as in ``run``. Where it is not ``refused``, it may have been done all the same.
        """
        if confirmation == (False, 0):
            told = await self._bounded(lambda: self._evaluated(script, keys, arguments), is_confirmed=True)
            return str(_texts(told).reveal()), ""

        def work() -> Awaitable[list[Any]]:
            return self._confirmed(script, keys, arguments, confirmation)

        results = await self._bounded(work, is_confirmed=True)
        for _ in range(_REDIRECTIONS):
            if not isinstance(results[0], self._redirections):
                break
            await self.run("return 0", keys)  # the client follows, and remembers the way
            results = await self._bounded(work, is_confirmed=True)
        for number, result in enumerate(results):
            if isinstance(result, Exception):
                raise self._error(result, is_done=number > 0)
        return str(_texts(Hidden(results[0])).reveal()), _doubt(results[1:], confirmation)

    async def fsync(self, key: str) -> str | None:
        """Return ``appendfsync``; None if this user is not told.

        Raises:
            StoreError: the server cannot be reached.
        """

        async def work() -> Any:
            pipeline = self._client.reveal().pipeline(transaction=False)
            pipeline.execute_command("CONFIG GET", "appendfsync", **self._target(key))
            return (await pipeline.execute(raise_on_error=False))[0]

        told = _texts(Hidden(await self._bounded(work))).reveal()
        values = list(told.values()) if is_object(told) else told[1:] if is_list(told) else []
        return str(values[0]) if values else None

    async def _confirmed(
        self, script: str, keys: Sequence[str], arguments: Arguments, confirmation: Confirmation
    ) -> list[Any]:
        target = self._target(keys[0])
        pipeline = self._client.reveal().pipeline(transaction=False)
        pipeline.execute_command(*_sent(script, keys, arguments).reveal())
        if confirmation.log:
            pipeline.execute_command("WAITAOF", 1, 0, self._confirm_ms, **target)
        if confirmation.replicas:
            pipeline.execute_command("WAIT", confirmation.replicas, self._confirm_ms, **target)
        options = {"allow_redirections": False} if self._is_cluster else {}
        results: list[Any] = await pipeline.execute(raise_on_error=False, **options)
        return results

    def _target(self, key: str) -> dict[str, Any]:
        """Return how a cluster is told which of its servers a command is for that names no key."""
        return {"target_nodes": self._client.reveal().get_node_from_key(key)} if self._is_cluster else {}

    async def _bounded(self, work: Callable[[], Awaitable[T]], *, is_confirmed: bool = False) -> T:
        if self._loop.enter():
            self._places = _places(self._client.reveal())  # those of a loop that has ended may be taken for ever
        try:
            return await self._timed(self._places[is_confirmed], work)
        except self._errors as error:
            refusal = self._error(error)
        raise refusal  # here, where the client's error is not its context

    async def _timed(self, place: asyncio.Semaphore, work: Callable[[], Awaitable[T]]) -> T:
        async with asyncio.timeout(self._timeout):
            await place.acquire()
        try:
            async with asyncio.timeout(self._timeout):
                return await work()
        finally:
            place.release()

    def _error(self, error: Exception, *, is_done: bool = False) -> StoreError:
        is_refused = isinstance(error, self._refusals) and not is_done
        return (self._refused_type if is_refused else self._error_type)(f"{self._place} {reason(error, self._keys)}")


def _places(client: Any) -> dict[bool, asyncio.Semaphore]:
    """Return how many calls may be under way at a time: writes that may wait to be confirmed, and others."""
    most = min(getattr(_pool(client), "max_connections", _MOST_CONNECTIONS), _MOST_CONNECTIONS)
    shares = {False: _QUICK_SHARE, True: _CONFIRMED_SHARE}
    return {is_confirmed: asyncio.Semaphore(max(int(most * share), 1)) for is_confirmed, share in shares.items()}


def _pool(client: Any) -> Any:
    return getattr(client, "connection_pool", client)  # one of a cluster has its settings itself


def _listens(client: Any) -> float:
    """Return for how long a client waits for an answer; seconds."""
    seconds = _pool(client).connection_kwargs.get("socket_timeout", _LISTEN_SECONDS)
    return math.inf if seconds is None else float(seconds)


def _doubt(results: list[Any], confirmation: Confirmation) -> str:
    """Return what the answers to WAITAOF and WAIT leave open; empty if nothing."""
    if confirmation.log and results[0][0] < 1:
        return "its log on the disk did not confirm in time: see the server's disk, and appendfsync"
    if confirmation.replicas and results[-1] < confirmation.replicas:
        return f"{results[-1]} of {confirmation.replicas} replicas confirmed in time: see what has become of the others"
    return ""


def _sent(script: str, keys: Sequence[str], arguments: Arguments) -> Hidden[list[Any]]:
    """Return the command, in UTF-8: a client with another encoding would use other keys."""
    values = [each.encode() if isinstance(each, str) else each for each in (*keys, *arguments.reveal())]
    return Hidden(["EVAL", script.encode(), len(keys), *values])


def _texts(value: Hidden[Any]) -> Hidden[Any]:
    """Return a reply with texts for bytes, whatever the client decodes itself."""
    return Hidden(_text(value.reveal()))


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if is_object(value):
        return {_text(key): _text(each) for key, each in value.items()}
    return [_text(each) for each in value] if is_list(value) else value
