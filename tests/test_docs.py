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
from strava_async import Client, SqliteTokenStore, Strava, TokenSet, WebhookEvent
from strava_async.testing import Emulator, serve
from strava_async.testing.webhooks.subscriptions import FIRST_SUBSCRIPTION_ID
from tests import typed_blocks
from tests.environment import clean_environment
from tests.plain_http import NO_TRUST

DOCS = Path(__file__).parent.parent / "docs"
_, *ACCOUNTS = typed_blocks.blocks_of("docs/accounts.md")
_, *CLIENT = typed_blocks.blocks_of("docs/client.md")
SERVICE, *KIT = typed_blocks.blocks_of("docs/fastapi.md")
README = (DOCS.parent / "README.md").read_text(encoding="utf-8")
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
            async with httpx.AsyncClient(verify=NO_TRUST, trust_env=False) as browser:
                await browser.get(await self.emulator.approve(url))

        return await super().authorize_locally(scope, open_url=agree, **options)


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_a_link_leads_somewhere(page: str, link: str) -> None:
    assert (DOCS / link).exists()


def test_the_readme_leads_nowhere_that_a_package_page_does_not_have() -> None:
    assert [link for link in re.findall(r"\]\(([^)]*)\)", README) if not link.startswith("https://")] == []
    for named in re.findall(r"`((?:docs|examples)/[\w./]+)`", README):
        assert (DOCS.parent / named).exists()


@pytest.mark.parametrize("page", [README, *(page.read_text(encoding="utf-8") for page in DOCS.glob("*.md"))])
def test_no_page_promises_a_release(page: str) -> None:
    # What is installed by its name alone comes from the index of packages, where there is nothing of ours.
    assert re.findall(r"install[^`\n]*[\"' ]strava[-_]async", page) == []


def test_every_block_of_python_is_read_by_the_type_checkers() -> None:
    pages = {DOCS.parent / name for name in typed_blocks.PAGES}
    assert {
        page for page in (*DOCS.glob("*.md"), DOCS.parent / "README.md") if "```python" in page.read_text()
    } == pages
    checked = {name: compile(text, name, "exec") for name, text in typed_blocks.modules().items()}
    programs = {name.partition("_program")[0] for name in checked if "_program_0" in name}
    assert programs == {typed_blocks.name_of(page) for page in typed_blocks.PAGES}
    gate = (DOCS.parent / ".ci" / "run").read_text(encoding="utf-8")
    written = re.search(r'-m tests\.typed_blocks "(\S+)"', gate)
    assert written is not None
    for checker in ("mypy", "pyright"):
        assert re.search(rf'^ *"\$tools/{checker}" .*"{re.escape(written[1])}"$', gate, re.M)


@pytest.mark.parametrize("page", typed_blocks.OFFLINE)
def test_the_first_block_of_a_page_is_a_complete_program(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    block = typed_blocks.blocks_of(page)[0]
    exec(compile(block, page, "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.count("\n") >= 1


@pytest.mark.parametrize("program", [SERVICE, typed_blocks.blocks_of("README.md")[1]], ids=["fastapi.md", "README.md"])
def test_a_program_without_its_variables_says_so_in_a_sentence(program: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert re.fullmatch(r"STRAVA_CLIENT_ID is not set[^\n]*\n", ended.stderr)


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
                block = block.replace('"tokens.sqlite"', repr(str(tmp_path / "tokens.sqlite")))
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
async def test_the_blocks_on_the_typed_client_run_in_a_notebook_one_after_the_other(tmp_path: Path) -> None:
    (tmp_path / "run.gpx").write_text(TRACK)
    names: dict[str, Any] = {}
    for block in CLIENT:
        here = block.replace('"run.gpx"', repr(str(tmp_path / "run.gpx")))
        running = eval(compile(here, "client.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
        if inspect.isawaitable(running):
            await running
    assert names["streams"].to_columns()["time"]
    assert {served.status_code for served in names["emulator"].requests} <= {200, 201}


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
            httpx.AsyncClient(
                verify=NO_TRUST, base_url=f"http://localhost:{port}", trust_env=False, follow_redirects=True
            ) as browser,
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
