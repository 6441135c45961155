"""A TCP proxy of the tests' own: what is between processes and their Redis, and goes wrong there."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

CHUNK_BYTES = 65_536


class Proxy:
    """Connections to a port of 127.0.0.1.

    Args:
        target: the port that they lead to.

    Attributes:
        port: where it listens.
        target: of new connections.
        latency: of what comes back; seconds.
        loses: the share of replies that are lost, and their connections with them.
        lost: how many were.
        is_cut: whether new connections are closed at once.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.target = target
        self.latency = 0.0
        self.loses = 0.0
        self.lost = 0
        self.is_cut = False
        self._rng = random.Random(1)
        self._open: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Close all connections, and new ones as soon as they are made, until ``mend``."""
        self.is_cut = True
        self._close()

    def mend(self) -> None:
        """Let connections be made again."""
        self.is_cut = False

    def switch(self, target: int) -> None:
        """Lead elsewhere from now on; connections are closed, as a failover does."""
        self.target = target
        self._close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection."""
        if self.is_cut:
            writer.close()
            return
        try:
            upstream, to_target = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        self._open |= {writer, to_target}
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass_on(reader, to_target, replies=False))
                tasks.create_task(self._pass_on(upstream, writer, replies=True))
        finally:
            self._open -= {writer, to_target}
            writer.close()
            to_target.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, replies: bool) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                if replies and self._rng.random() < self.loses:
                    self.lost += 1
                    break
                if replies and self.latency:
                    await asyncio.sleep(self.latency)
                writer.write(data)
                await writer.drain()
        writer.close()

    def _close(self) -> None:
        for writer in self._open:
            writer.close()


@asynccontextmanager
async def proxy_to(target: int) -> AsyncIterator[Proxy]:
    """Run a proxy."""
    proxy = Proxy(target)
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
        proxy.port = server.sockets[0].getsockname()[1]
        yield proxy
        proxy.cut()
