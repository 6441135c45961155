"""Servers on a real socket that do what servers should not. Each is a function of a connection and of the server."""

import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import anyio
import anyio.abc
from anyio.streams.tls import TLSStream

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
POISON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\npoison"
Peer = Callable[["Connection", "Server"], Awaitable[None]]


class Connection:
    """One connection as the server sees it.

    Attributes:
        number: 1 for the first.
    """

    def __init__(self, stream: anyio.abc.ByteStream, number: int) -> None:
        self.stream = stream
        self.number = number
        self._buffer = b""

    async def head(self) -> bytes:
        """Read a request up to the end of its head."""
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += await self.stream.receive()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head

    async def request(self) -> bytes:
        """Read a whole request; return its head."""
        head = await self.head()
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        left = int(fields.get(b"content-length", b"0")) - len(self._buffer)
        while left > 0:
            left -= len(await self.stream.receive())
        self._buffer = b""
        return head

    async def exactly(self, size: int) -> bytes:
        """Read that many bytes of a body."""
        while len(self._buffer) < size:
            self._buffer += await self.stream.receive()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    async def send(self, data: bytes) -> None:
        await self.stream.send(data)

    async def drip(self, data: bytes) -> None:
        """Send a byte now and then, without an end."""
        while True:
            for byte in data:
                await self.send(bytes([byte]))
                await anyio.sleep(0.02)

    def reset(self) -> None:
        """Make the end of the connection a RST."""
        raw = self.stream.extra(anyio.abc.SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Server:
    """Where a peer listens.

    Attributes:
        url: its origin.
        connections: how many were made.
        requests: how many heads arrived whole.
        told_more: set by a test that wants more to be said.
        more_is_out: set when it was.
    """

    def __init__(self, peer: Peer, url: str, tls: ssl.SSLContext | None) -> None:
        self.url = url
        self.connections = 0
        self._requests = 0
        self._news = anyio.Event()
        self.told_more = anyio.Event()
        self.more_is_out = anyio.Event()
        self._peer = peer
        self._tls = tls

    @property
    def requests(self) -> int:
        return self._requests

    @requests.setter
    def requests(self, value: int) -> None:
        self._requests = value
        self._news.set()
        self._news = anyio.Event()

    async def heard(self, requests: int) -> None:
        """Wait until so many heads have arrived."""
        while self._requests < requests:
            await self._news.wait()

    async def handle(self, stream: anyio.abc.ByteStream) -> None:
        self.connections += 1
        number = self.connections
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError, ssl.SSLError):
            async with stream:
                if self._tls is not None:
                    stream = await TLSStream.wrap(stream, server_side=True, ssl_context=self._tls)
                await self._peer(Connection(stream, number), self)


@asynccontextmanager
async def listening(peer: Peer, tls: ssl.SSLContext | None = None, *, https: bool = False) -> AsyncIterator[Server]:
    """Let a peer listen on 127.0.0.1.

    Args:
        peer: what happens on each connection.
        tls: None speaks none.
        https: whether the URL says https although there is no TLS.
    """
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    server = Server(peer, f"{'https' if tls or https else 'http'}://127.0.0.1:{port}", tls)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, server.handle)
        yield server
        tasks.cancel_scope.cancel()


async def is_silent(connection: Connection, server: Server) -> None:
    await connection.request()
    server.requests += 1
    await anyio.sleep_forever()


async def stops_reading(connection: Connection, server: Server) -> None:
    await connection.head()
    server.requests += 1
    await anyio.sleep_forever()


async def drips_the_head(connection: Connection, server: Server) -> None:
    await connection.request()
    server.requests += 1
    await connection.send(b"HTTP/1.1 200 OK\r\nX: ")
    await connection.drip(b"a")


async def drips_the_body(connection: Connection, server: Server) -> None:
    await connection.request()
    server.requests += 1
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n")
    await connection.drip(b" ")


async def drips_chunks(connection: Connection, server: Server) -> None:
    await connection.request()
    server.requests += 1
    await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    await connection.drip(b"1\r\n \r\n")


async def sends_only_hints(connection: Connection, server: Server) -> None:
    await connection.request()
    server.requests += 1
    while True:
        await connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n")
        await anyio.sleep(0.02)


async def never_ends(connection: Connection, server: Server) -> None:
    await connection.request()
    server.requests += 1
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while True:
        await connection.send(b" " * 1_000_000)


async def hangs_up_at_once(connection: Connection, server: Server) -> None: ...


async def hangs_up_on_the_request(connection: Connection, server: Server) -> None:
    await connection.request()
    server.requests += 1


async def resets_at_once(connection: Connection, server: Server) -> None:
    connection.reset()


async def resets_on_the_request(connection: Connection, server: Server) -> None:
    await connection.request()
    server.requests += 1
    connection.reset()


def answers(*data: bytes) -> Peer:
    """Return a peer that sends this to the first request of a connection, and hangs up."""

    async def peer(connection: Connection, server: Server) -> None:
        await connection.request()
        server.requests += 1
        for part in data:
            await connection.send(part)

    return peer


async def refuses_an_upload_and_hangs_up(connection: Connection, server: Server) -> None:
    await connection.head()
    server.requests += 1
    await connection.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


async def refuses_an_upload_and_stops_reading(connection: Connection, server: Server) -> None:
    await refuses_an_upload_and_hangs_up(connection, server)
    await anyio.sleep_forever()


async def hangs_up_on_the_second_request(connection: Connection, server: Server) -> None:
    await connection.request()
    server.requests += 1
    await connection.send(OK)
    await connection.request()
    server.requests += 1


async def says_more_than_was_asked(connection: Connection, server: Server) -> None:
    """Sends a second answer while nobody asks; it must not be given to the next request."""
    await connection.request()
    server.requests += 1
    await connection.send(OK)
    await server.told_more.wait()
    await connection.send(POISON)
    server.more_is_out.set()
    await connection.request()
    server.requests += 1
    await connection.send(OK)


async def shakes_no_hands(connection: Connection, server: Server) -> None:
    """Takes the first bytes of TLS, and says nothing."""
    await connection.stream.receive()
    await anyio.sleep_forever()


async def hangs_up_on_the_handshake(connection: Connection, server: Server) -> None:
    await connection.stream.receive()


async def speaks_no_tls(connection: Connection, server: Server) -> None:
    await connection.stream.receive()
    await connection.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
