"""The senders that there are keep the contract: over aiohttp, over httpx, and over clients of the caller's."""

import math
from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import httpx
import httpx2
import pytest
from httpx_aiohttp import AiohttpTransport

from strava_async._http.aiohttp_sender import AiohttpSender
from strava_async._http.callers_client import CallersClient
from strava_async._http.http_client import HttpClient
from strava_async._http.httpx_sender import HttpxSender
from strava_async._http.pool import FIELDS, KEEPALIVE_SECONDS, TransportClient, direct_transport
from strava_async._http.trust import tls_context
from strava_async.request.outgoing import OutgoingRequest
from strava_async.request.sender import Sender
from tests.http import hostile_peers as peers
from tests.http.hostile_peers import listening
from tests.http.sender_contract import LONG, SenderContract, upload

on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


@on_asyncio
class TestOverAiohttp(SenderContract):
    @pytest.fixture
    async def sender(self) -> AsyncIterator[Sender]:
        sender = AiohttpSender(tls_context(), FIELDS, KEEPALIVE_SECONDS)
        yield sender
        await sender.aclose()

    async def test_a_reply_that_begins_before_the_body_is_out_has_a_timeout_of_its_own(self, sender: Sender) -> None:
        async with listening(peers.refuses_an_upload_in_two_steps) as server, anyio.create_task_group() as tasks:
            outgoing = OutgoingRequest(upload(server), None, LONG)

            async def send() -> None:
                with outgoing.begin():
                    assert (await sender.send(outgoing)).body == b"{}"

            tasks.start_soon(send)
            with anyio.fail_after(LONG):
                await server.heard(1)
                while math.isfinite(outgoing.scope.deadline):  # as long as the body's own timeout is running
                    await anyio.lowlevel.checkpoint()
                server.told_more.set()


class TestOverHttpx(SenderContract):
    @pytest.fixture
    async def sender(self) -> AsyncIterator[Sender]:
        sender = HttpxSender(TransportClient(direct_transport(tls_context())), httpx, owned=True)
        yield sender
        await sender.aclose()


class CallersClientContract(SenderContract):
    keeps_cookies = True

    @pytest.fixture
    def client(self) -> HttpClient:
        raise NotImplementedError("override the fixture")

    @pytest.fixture
    async def sender(self, client: HttpClient) -> AsyncIterator[Sender]:
        sender = CallersClient(client)
        yield sender
        await sender.aclose()
        assert not client.is_closed
        await client.aclose()


class TestOverAClientOfHttpx(CallersClientContract):
    @pytest.fixture
    def client(self) -> HttpClient:
        return httpx.AsyncClient()


class TestOverAClientOfHttpx2(CallersClientContract):
    @pytest.fixture
    def client(self) -> HttpClient:
        return httpx2.AsyncClient()


@on_asyncio
class TestOverAClientWithATransportOfAiohttp(CallersClientContract):
    is_strict = False

    @pytest.fixture
    def client(self) -> HttpClient:
        return httpx.AsyncClient(transport=AiohttpTransport())
