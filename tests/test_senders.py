"""The senders that there are keep the contract: over aiohttp, over httpx, and over clients of the caller's."""

from collections.abc import AsyncIterator

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
from strava_async.request.sender import Sender
from tests.sender_contract import SenderContract

on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


@on_asyncio
class TestOverAiohttp(SenderContract):
    @pytest.fixture
    async def sender(self) -> AsyncIterator[Sender]:
        sender = AiohttpSender(tls_context(), FIELDS, KEEPALIVE_SECONDS)
        yield sender
        await sender.aclose()


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
