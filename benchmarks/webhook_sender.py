"""The sender of ``webhook_burst``: raw sockets of asyncio, so that it is not the bottleneck."""

from __future__ import annotations

import asyncio
import json
import time

FIRST_OWNER = 134_815
OWNERS = 200  # of one athlete a hundred events may be unfinished, and ten have their first attempt within a minute
HANDLER_SECONDS = 1.0


class Connection(asyncio.Protocol):
    """A keep-alive connection: a request, then its answer."""

    def __init__(self) -> None:
        self._received = b""
        self._answer: asyncio.Future[tuple[float, int, bytes]] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def send(self, request: bytes) -> asyncio.Future[tuple[float, int, bytes]]:
        """Write a request; return the instant, the status and the body of its answer."""
        if self._transport is None or self._transport.is_closing():
            raise RuntimeError("the service closed the connection")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        """Put an answer together."""
        self._received += data
        head, blank, body = self._received.partition(b"\r\n\r\n")
        if not blank or self._answer is None:
            return
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if len(body) >= int(fields[b"content-length"]):
            self._received = b""
            self._answer.set_result((time.perf_counter(), int(head.split(b" ", 2)[1]), body))

    def connection_lost(self, error: Exception | None) -> None:
        """Give up what was waited for."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("the service closed the connection"))

    def close(self) -> None:
        """Close it."""
        if self._transport is not None:
            self._transport.close()


def post(number: int) -> bytes:
    """Return the request for an event about an activity."""
    event = {"aspect_type": "create", "event_time": 1_516_126_040, "object_id": number, "object_type": "activity"}
    body = json.dumps(
        {**event, "owner_id": FIRST_OWNER + number % OWNERS, "subscription_id": 120_475, "updates": {}}
    ).encode()
    head = f"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def connect(port: int, how_many: int) -> list[Connection]:
    """Return open connections, each of which has carried a request: the cost of first use is not measured."""
    loop = asyncio.get_running_loop()
    connections: list[Connection] = []
    for _ in range(how_many):
        _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
        connections.append(connection)
        await connection.send(b"GET /webhook HTTP/1.1\r\nHost: x\r\n\r\n")
    return connections


def milliseconds_of(began: float, ended: float, status: int) -> float:
    """Return what an answer took, which has to be a 200."""
    if status != 200:
        raise RuntimeError(f"an event was answered with {status}")
    return 1e3 * (ended - began)


async def handled(port: int, how_many: int) -> list[int]:
    """Wait until that many events were handled, or none is handled any more; return their ids."""
    [connection] = await connect(port, 1)
    before: list[int] = []
    while True:
        _, _, body = await connection.send(b"GET /handled HTTP/1.1\r\nHost: x\r\n\r\n")
        ids: list[int] = json.loads(body)
        if len(ids) >= how_many or (ids and ids == before):
            connection.close()
            return ids
        before = ids
        await asyncio.sleep(3 * HANDLER_SECONDS)
