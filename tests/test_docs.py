"""What the pages of ``docs/`` show is what happens."""

import ast
import inspect
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

import strava_async
from strava_async import Client, SqliteTokenStore, Strava, TokenSet
from strava_async.testing import Emulator, serve

DOCS = Path(__file__).parent.parent / "docs"
ACCOUNTS = re.findall(r"^```python\n(.*?)^```", (DOCS / "accounts.md").read_text(encoding="utf-8"), re.M | re.S)
LINKS = [
    (page.name, link)
    for page in DOCS.glob("*.md")
    for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
]


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


@pytest.mark.asyncio
async def test_the_blocks_on_accounts_run_one_after_the_other(tmp_path: Path) -> None:
    emulator = Emulator(years=0.1)
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
    assert {served.status_code for served in emulator.requests} == {200, 302}
