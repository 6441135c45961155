"""A login in a terminal, through the real redirect server."""

import os
import shlex
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import anyio.abc
import httpx
import pytest

from strava_async import (
    AuthorizationDeniedError,
    AuthorizationTimeoutError,
    InputError,
    InvalidClientError,
    MemoryTokenStore,
    MissingScopeError,
    Strava,
)
from strava_async.testing import Emulator
from tests.plain_http import NO_TRUST

pytestmark = pytest.mark.anyio

BASE = "https://strava.test"


class Athlete:
    """Somebody with a browser.

    Attributes:
        urls: the pages that were opened.
        shown: what the browser showed in the end.
    """

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.urls: list[str] = []
        self.shown: list[httpx.Response] = []

    async def open(self, url: str, **decision: Any) -> None:
        self.urls.append(url)
        await self.follow(await self.emulator.approve(url, **decision))

    async def follow(self, redirect: str) -> None:
        async with httpx.AsyncClient(verify=NO_TRUST, trust_env=False) as browser:
            self.shown.append(await browser.get(redirect))


class Setting:
    def __init__(self) -> None:
        self.emulator = Emulator(years=0.1, athletes=2)
        self.http_client = httpx.AsyncClient(transport=httpx.ASGITransport(app=self.emulator.app))
        self.store = MemoryTokenStore()
        self.athlete = Athlete(self.emulator)

    def strava(self, client_secret: str | None = None) -> Strava:
        return Strava(
            self.emulator.client_id,
            client_secret or self.emulator.client_secret,
            token_store=self.store,
            http_client=self.http_client,
            api_url=f"{BASE}/api/v3",
            oauth_url=f"{BASE}/oauth",
        )


@pytest.fixture
async def setting() -> AsyncIterator[Setting]:
    made = Setting()
    async with made.http_client:
        yield made


async def test_the_athlete_at_this_machine_is_connected(setting: Setting) -> None:
    async with setting.strava() as strava:
        client = await strava.authorize_locally("read,activity:read_all", open_url=setting.athlete.open)
        assert client.athlete_id == setting.emulator.athlete_ids[0]
        assert (await client.api.get("/athlete"))["id"] == client.athlete_id
    kept = await setting.store.load(client.athlete_id)
    assert kept is not None
    assert kept.scope == {"read", "activity:read_all"}
    assert [page.status_code for page in setting.athlete.shown] == [200]
    assert "Connected" in setting.athlete.shown[0].text


async def test_every_login_asks_with_a_state_and_a_port_of_its_own(setting: Setting) -> None:
    async with setting.strava() as strava, anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(lambda: strava.authorize_locally(open_url=setting.athlete.open))
    asked = [parse_qs(urlsplit(url).query) for url in setting.athlete.urls]
    assert len({query["state"][0] for query in asked}) == 2
    assert len({query["redirect_uri"][0] for query in asked}) == 2
    assert all(query["redirect_uri"][0].startswith("http://127.0.0.1:") for query in asked)


async def test_a_refusal_ends_the_login(setting: Setting) -> None:
    async with setting.strava() as strava:
        with pytest.raises(AuthorizationDeniedError):
            await strava.authorize_locally(open_url=lambda url: setting.athlete.open(url, deny=True))
        assert await strava.athlete_ids() == []
    assert [page.status_code for page in setting.athlete.shown] == [403]


@pytest.mark.parametrize(("if_missing", "kept", "status"), [("keep", 1, 200), ("revoke", 0, 403)])
async def test_an_unticked_scope_is_told_to_the_caller_and_to_the_browser(
    setting: Setting, if_missing: Any, kept: int, status: int
) -> None:
    async with setting.strava() as strava:
        with pytest.raises(MissingScopeError) as caught:
            await strava.authorize_locally(
                "read,activity:read",
                open_url=lambda url: setting.athlete.open(url, scope=["read"]),
                if_missing=if_missing,
            )
        assert caught.value.missing == {"activity:read"}
        assert len(await strava.athlete_ids()) == kept
    assert [page.status_code for page in setting.athlete.shown] == [status]
    assert "activity:read" in setting.athlete.shown[0].text


async def test_a_wrong_state_does_not_end_the_login(setting: Setting) -> None:
    async def open_two(url: str) -> None:
        await setting.athlete.follow(parse_qs(urlsplit(url).query)["redirect_uri"][0] + "?code=stolen&state=guessed")
        await setting.athlete.open(url)

    async with setting.strava() as strava:
        await strava.authorize_locally(open_url=open_two)
    assert [page.status_code for page in setting.athlete.shown] == [400, 200]
    assert setting.emulator.count("POST", "/oauth/token") == 1


async def test_an_athlete_who_does_not_come_back_is_reported(setting: Setting) -> None:
    async with setting.strava() as strava:
        with pytest.raises(AuthorizationTimeoutError):
            await strava.authorize_locally(open_url=lambda url: None, timeout=0.01)


async def test_a_port_that_is_taken_is_reported(setting: Setting) -> None:
    async with setting.strava() as strava, await anyio.create_tcp_listener(local_host="127.0.0.1") as taken:
        port = taken.extra(anyio.abc.SocketAttribute.local_port)
        with pytest.raises(InputError, match=f"{port} is taken"):
            await strava.authorize_locally(port=port, open_url=setting.athlete.open)
    assert setting.athlete.urls == []


async def test_a_failed_exchange_reaches_the_caller_and_the_browser(setting: Setting) -> None:
    async with setting.strava("wrong-secret") as strava:
        with pytest.raises(InvalidClientError):
            await strava.authorize_locally(open_url=setting.athlete.open)
    assert [page.status_code for page in setting.athlete.shown] == [500]


async def test_a_browser_that_cannot_be_opened_ends_the_login(setting: Setting) -> None:
    def fail(url: str) -> None:
        raise InputError("no browser")

    async with setting.strava() as strava:
        with pytest.raises(InputError, match="no browser"):
            await strava.authorize_locally(open_url=fail)


async def test_a_browser_that_stays_open_does_not_hold_up_the_login(setting: Setting) -> None:
    async def open_and_stay(url: str) -> None:
        await setting.athlete.open(url)
        await anyio.sleep_forever()

    async with setting.strava() as strava:
        await strava.authorize_locally(open_url=open_and_stay)


async def test_an_unknown_scope_is_reported_before_anything_is_opened(setting: Setting) -> None:
    async with setting.strava() as strava:
        with pytest.raises(InputError, match="unknown scope"):
            await strava.authorize_locally("everything", open_url=setting.athlete.open)
    with pytest.raises(InputError, match="closed"):
        await strava.authorize_locally(open_url=setting.athlete.open)
    assert setting.athlete.urls == []


async def test_a_cancelled_login_leaves_nothing_behind(setting: Setting) -> None:
    opened: list[str] = []
    shown = anyio.Event()

    def show(url: str) -> None:
        opened.append(url)
        shown.set()

    async with setting.strava() as strava, anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: strava.authorize_locally(open_url=show))
        await shown.wait()
        tasks.cancel_scope.cancel()
    port = urlsplit(parse_qs(urlsplit(opened[0]).query)["redirect_uri"][0]).port
    with pytest.raises(OSError, match="attempts failed"):
        await anyio.connect_tcp("127.0.0.1", port or 0)


BROWSER = """#!/bin/sh
echo "Opening in existing browser session."
echo "noise" >&2
echo "$1 $(cat)" > {fifo}
exit {status}
"""
PROGRAM = """
import anyio, sys
from strava_async.errors import InputError
from strava_async.login.local import open_in_browser

async def main():
    try:
        await open_in_browser("https://strava.test/?state=s")
        print("opened")
    except InputError as error:
        print(error)

anyio.run(main)
print(sys.stdin.read())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a browser is no child of the program there")
@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        ("{browser} %s", 0, "opened"),
        ("{browser} %s &", 0, "opened"),
        ("{browser}", 0, "opened"),
        ("{browser} %s", 1, "no browser can be opened here"),
    ],
)
async def test_the_browser_gets_nothing_of_the_programs_input_and_output(
    command: str, status: int, said: str, tmp_path: Path
) -> None:
    browser, fifo = tmp_path / "browser", tmp_path / "fifo"
    os.mkfifo(fifo)
    browser.write_text(BROWSER.format(fifo=shlex.quote(str(fifo)), status=status))
    browser.chmod(0o700)
    variables = {**os.environ, "BROWSER": command.format(browser=browser), "DISPLAY": "", "WAYLAND_DISPLAY": ""}
    program = [sys.executable, "-c", PROGRAM]
    async with anyio.create_task_group() as tasks:
        seen: list[str] = []

        async def look() -> None:
            seen.append(await anyio.Path(fifo).read_text())

        stays = command.endswith("&")  # until somebody looks: one that ends at once counts as none to ``webbrowser``
        if not stays:
            tasks.start_soon(look)
        ended = await anyio.run_process(program, input=b"typed", env=variables, check=False)
        if stays:
            await look()
    out, err = ended.stdout.decode(), ended.stderr.decode()
    assert (out.splitlines()[0][: len(said)], out.splitlines()[1:], err) == (said, ["typed"], "")
    assert seen == ["https://strava.test/?state=s \n"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a browser with a window")
async def test_a_browser_that_needs_the_terminal_is_none(tmp_path: Path) -> None:
    browser, ran = tmp_path / "w3m", tmp_path / "ran"
    browser.write_text(f"#!/bin/sh\necho > {shlex.quote(str(ran))}\n")
    browser.chmod(0o700)
    left_out = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
    variables = {name: value for name, value in os.environ.items() if name not in left_out}
    variables |= {"TERM": "xterm", "PATH": str(tmp_path)}
    ended = await anyio.run_process([sys.executable, "-c", PROGRAM], env=variables, check=False)
    assert ended.stdout.decode().startswith("no browser can be opened here")
    assert not ran.exists()


SHOWING = """
import anyio, sys
from strava_async.login.local import show_in_browser

async def until_the_end_of_the_input(scope):
    await anyio.to_thread.run_sync(sys.stdin.read)
    scope.cancel()

async def main():
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(until_the_end_of_the_input, tasks.cancel_scope)
        await show_in_browser("https://strava.test/?state=secret")

anyio.run(main)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="command lines are private there")
async def test_the_browsers_command_line_shows_a_private_file_in_place_of_the_address(tmp_path: Path) -> None:
    browser, fifo = tmp_path / "browser", tmp_path / "fifo"
    os.mkfifo(fifo)
    browser.write_text(BROWSER.format(fifo=shlex.quote(str(fifo)), status=0))
    browser.chmod(0o700)
    variables = {**os.environ, "BROWSER": f"{browser} %s", "DISPLAY": "", "WAYLAND_DISPLAY": "", "HOME": str(tmp_path)}
    async with await anyio.open_process([sys.executable, "-c", SHOWING], env=variables, stdout=None) as program:
        (address,) = (await anyio.Path(fifo).read_text()).split()
        page = anyio.Path(address.removeprefix("file://"))
        assert "secret" not in address
        assert stat.S_IMODE((await page.stat()).st_mode) == 0o600
        assert "https://strava.test/?state=secret" in await page.read_text()
        assert program.stdin is not None
        await program.stdin.aclose()
        assert await program.wait() == 0
    assert not await page.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a browser with a window")
async def test_where_there_is_no_browser_no_file_is_left(tmp_path: Path) -> None:
    left_out = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "TERM")
    variables = {name: value for name, value in os.environ.items() if name not in left_out}
    folders = {"PATH": str(tmp_path), "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    program = [sys.executable, "-c", PROGRAM.replace("open_in_browser", "show_in_browser")]
    ended = await anyio.run_process(program, env={**variables, **folders}, check=False)
    assert ended.stdout.decode().startswith("no browser can be opened here")
    assert os.listdir(tmp_path) == []
