"""What the pages of ``docs/`` show is what happens."""

import ast
import inspect
import json
import re
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import anyio
import anyio.abc
import httpx
import pytest
from fastapi import FastAPI, Request, Response
from starlette.requests import HTTPConnection

import strava_async
import strava_async.fastapi
from docs import make_endpoints
from strava_async import ApiV3, Client, SqliteTokenStore, Strava, TokenSet, WebhookEvent
from strava_async.testing import Emulator, serve
from strava_async.testing.subscriptions_api import FIRST_SUBSCRIPTION_ID
from tests.environment import clean_environment

DOCS = Path(__file__).parent.parent / "docs"
ACCOUNTS = re.findall(r"^```python\n(.*?)^```", (DOCS / "accounts.md").read_text(encoding="utf-8"), re.M | re.S)
CLIENT = re.findall(r"^```python\n(.*?)^```", (DOCS / "client.md").read_text(encoding="utf-8"), re.M | re.S)
PORTING = re.findall(r"^```python\n(.*?)^```", (DOCS / "porting.md").read_text(encoding="utf-8"), re.M | re.S)
SERVICE, *KIT = re.findall(r"^```python\n(.*?)^```", (DOCS / "fastapi.md").read_text(encoding="utf-8"), re.M | re.S)
FORGED = {
    **{"object_type": "activity", "object_id": 1, "aspect_type": "create", "owner_id": 1, "event_time": 1},
    "subscription_id": FIRST_SUBSCRIPTION_ID + 1,
}
LINKS = [
    (page.name, link)
    for page in DOCS.glob("*.md")
    for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
]


TRACK = """<?xml version="1.0"?><gpx version="1.1" creator="t"><trk><trkseg>
<trkpt lat="47.0" lon="8.0"><ele>400</ele><time>2026-01-01T08:00:00Z</time></trkpt>
<trkpt lat="47.001" lon="8.001"><ele>401</ele><time>2026-01-01T08:01:00Z</time></trkpt>
</trkseg></trk></gpx>"""


class AtHome(Strava):
    """An application whose athlete sits at the machine and agrees to everything."""

    emulator: Emulator

    async def authorize_locally(self, scope: Any = None, **options: Any) -> Client:
        async def agree(url: str) -> None:
            async with httpx.AsyncClient(trust_env=False) as browser:
                await browser.get(await self.emulator.approve(url))

        return await super().authorize_locally(scope, open_url=agree, **options)


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_a_link_leads_somewhere(page: str, link: str) -> None:
    assert (DOCS / link).exists()


async def answer_the_challenge(scope: Any, receive: Any, send: Any) -> None:
    asked = dict(parse_qsl(scope["query_string"].decode()))
    assert asked["hub.verify_token"] == "compare me"
    fields = [(b"content-type", b"application/json")]
    body = json.dumps({"hub.challenge": asked["hub.challenge"]}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})


@pytest.mark.asyncio
async def test_the_blocks_on_accounts_run_one_after_the_other(tmp_path: Path) -> None:
    emulator = Emulator(years=0.1, callbacks={"https://service.example": answer_the_challenge})
    granted = emulator.grant()
    token = TokenSet(granted["access_token"], granted["refresh_token"], granted["expires_at"])
    async with serve(emulator) as url:
        urls = {"api_url": f"{url}/api/v3", "oauth_url": f"{url}/oauth"}
        async with AtHome(emulator.client_id, emulator.client_secret, **urls) as strava:
            strava.emulator = emulator
            names: dict[str, Any] = {name: getattr(strava_async, name) for name in strava_async.__all__}
            names |= {"parse_qsl": parse_qsl, "urlsplit": urlsplit, "urls": urls, "token": token}
            names |= {"client_id": emulator.client_id, "client_secret": emulator.client_secret}
            names |= {"athlete_id": emulator.athlete_ids[0], "state_secret": "0123456789abcdef", "cookie": "c"}
            names["verify_token"] = "compare me"
            for number, block in enumerate(ACCOUNTS):
                names |= {"path": tmp_path / str(number), "strava": strava}
                running = eval(compile(block, "accounts.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
                if inspect.isawaitable(running):
                    await running
                if "page" in names:
                    names["came_back_to"] = await emulator.approve(names.pop("page"))
            assert await strava.athlete_ids() == [emulator.athlete_ids[0]]
    assert names["go_to"] == "/dashboard"
    assert await names["store"].load(names["athlete_id"]) == token
    assert isinstance(names["store"], SqliteTokenStore)
    assert {served.status_code for served in emulator.requests} == {200, 201, 204, 302}


@pytest.mark.asyncio
@pytest.mark.parametrize("blocks", [CLIENT, PORTING], ids=["client.md", "porting.md"])
async def test_the_blocks_on_the_typed_client_run_one_after_the_other(blocks: list[str], tmp_path: Path) -> None:
    emulator = Emulator(years=0.2, upload_seconds=0.0)
    track = tmp_path / "run.gpx"
    track.write_text(TRACK)
    recorded = next(activity for activity in emulator.world().activities if activity["distance"])
    async with serve(emulator) as url:

        class Here(ApiV3):
            def __init__(self, access_token: str) -> None:
                super().__init__(access_token, api_url=f"{url}/api/v3")

        names: dict[str, Any] = {name: getattr(strava_async, name) for name in strava_async.__all__}
        names |= {"access_token": emulator.grant()["access_token"], "activity_id": recorded["id"], "path": track}
        names["last_sync"] = datetime.fromisoformat(recorded["start_date"])
        for block in blocks:
            code = block.replace("import ApiV3, Client", "import Client")
            names["ApiV3"] = Here
            await eval(compile(code, "client.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
        await names["api"].aclose()
    assert {served.status_code for served in emulator.requests} <= {200, 201}


def test_the_table_of_endpoints_is_that_of_the_code() -> None:
    assert (DOCS / "endpoints.md").read_text(encoding="utf-8") == make_endpoints.page()


@pytest.mark.asyncio
async def test_the_service_on_the_page_about_fastapi_runs_as_it_says(tmp_path: Path) -> None:
    (tmp_path / "service.py").write_text(SERVICE, encoding="utf-8")
    emulator = Emulator(years=0.2, callback_seconds=60.0)  # the service may be slow on a busy machine
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with serve(emulator) as url:
        environment = {
            **clean_environment(),
            "PYTHONWARNINGS": "error",
            "STRAVA_CLIENT_ID": str(emulator.client_id),
            "STRAVA_CLIENT_SECRET": emulator.client_secret,
            "STRAVA_VERIFY_TOKEN": "any text",
            "STRAVA_WEBHOOK_PATH": "/webhook/nobody-guesses-it",
            "STRAVA_SUBSCRIPTION_ID": str(FIRST_SUBSCRIPTION_ID),
            "STRAVA_API_URL": f"{url}/api/v3",
            "STRAVA_OAUTH_URL": f"{url}/oauth",
        }
        command = [sys.executable, "-m", "uvicorn", "service:app", "--port", str(port)]
        async with (
            await anyio.open_process(command, cwd=tmp_path, env=environment, stderr=subprocess.STDOUT) as process,
            httpx.AsyncClient(base_url=f"http://localhost:{port}", trust_env=False, follow_redirects=True) as browser,
        ):
            try:
                shown = Shown(process)
                await shown.until("Uvicorn running on")
                assert "Connect with Strava" in (await browser.get("/")).text
                connect = await browser.get("/strava/connect", follow_redirects=False)
                rides = await browser.get(await emulator.approve(connect.headers["location"]))
                assert (rides.url.path, len(rides.json())) == ("/rides", 10)
                subscribe = ["webhook", "subscribe", f"http://localhost:{port}/strava/webhook/nobody-guesses-it"]
                line = [sys.executable, "-m", "strava_async", *subscribe]
                subscribed = await anyio.run_process(line, cwd=tmp_path, env=environment)
                assert f"subscription  {FIRST_SUBSCRIPTION_ID}" in subscribed.stdout.decode()
                refused = [
                    (await browser.post("/strava/webhook", json={})).status_code,
                    (await browser.post("/strava/webhook/nobody-guesses-it", json=FORGED)).status_code,
                ]
                assert refused == [404, 403]
                number = emulator.record_activity()
                await shown.until(f"new: {emulator.world().detail(number)['name']}, ")
                emulator.disconnect()
                await shown.until(f"delete everything of athlete {emulator.athlete_ids[0]} now")
                assert (await browser.get("/rides")).status_code == 401
            finally:
                process.terminate()
            await shown.until("Application shutdown complete")
        assert "code=***" in shown.text
        for secret in (emulator.client_secret, "any text", "any+text", "any%20text"):
            assert secret not in shown.text


def test_the_other_blocks_on_the_page_about_fastapi_are_right(tmp_path: Path) -> None:
    names: dict[str, Any] = {name: getattr(strava_async, name) for name in strava_async.__all__}
    names |= {name: getattr(strava_async.fastapi, name) for name in strava_async.fastapi.__all__}
    names |= {"FastAPI": FastAPI, "HTTPConnection": HTTPConnection, "Request": Request, "Response": Response}
    names |= {"Any": Any, "AsyncGenerator": AsyncGenerator, "asynccontextmanager": asynccontextmanager}
    names |= {"closing": closing, "sqlite3": sqlite3, "time": time, "path": tmp_path / "claims"}
    names |= {"strava": Strava(1, "secret"), "database": None}
    for block in KIT:
        exec(compile(block, "fastapi.md", "exec"), names)
    event = WebhookEvent("activity", 1, "create", 7, 1, 1_700_000_000)
    assert [names["claim"](event), names["claim"](event)] == [True, False]
    with closing(sqlite3.connect(names["path"])) as db, db:
        db.execute("UPDATE claims SET claimed_at = claimed_at - 691200")
    assert names["claim"](event) is True
    assert isinstance(names["lifespan"], strava_async.fastapi.StravaLifespan)
    assert {route.path for route in names["router"].routes} >= {"/connect", "/callback", "/disconnect"}


class Shown:
    """What a process prints."""

    def __init__(self, process: anyio.abc.Process) -> None:
        self._process = process
        self.text = ""

    async def until(self, text: str) -> None:
        """Read on until it has printed that."""
        while text not in self.text:
            self.text += (await self._process.stdout.receive()).decode()
