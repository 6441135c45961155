"""What the pages of ``docs/`` show is what happens."""

import ast
import inspect
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

import strava_async
from docs import make_endpoints
from strava_async import ApiV3, Client, SqliteTokenStore, Strava, TokenSet
from strava_async.testing import Emulator, serve

DOCS = Path(__file__).parent.parent / "docs"
ACCOUNTS = re.findall(r"^```python\n(.*?)^```", (DOCS / "accounts.md").read_text(encoding="utf-8"), re.M | re.S)
CLIENT = re.findall(r"^```python\n(.*?)^```", (DOCS / "client.md").read_text(encoding="utf-8"), re.M | re.S)
PORTING = re.findall(r"^```python\n(.*?)^```", (DOCS / "porting.md").read_text(encoding="utf-8"), re.M | re.S)
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
