"""The emulator's own page, and pages of others, in a real browser.

Where no Chromium is installed the tests are skipped, unless REQUIRE_BROWSER=1 is set: then they fail.
"""

import asyncio
import os
import shutil
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import async_playwright, expect

from benchmarks.real_clock import on_the_real_clock
from strava_async.testing import Emulator, serve

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.one_python,
    pytest.mark.skipif(
        CHROMIUM is None and os.environ.get("REQUIRE_BROWSER") != "1", reason="Chromium is not installed"
    ),
]

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    # Nothing but this machine, which has the names of others too: a browser trusts plain http on loopback alone.
    *("--no-proxy-server", "--host-resolver-rules=MAP *.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
ATTACK = """<!DOCTYPE html><form method="post" action="{action}"><input name="athlete_id" value="{athlete_id}">
<button>Win a bicycle</button></form>"""


@asynccontextmanager
async def browsing():
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=FLAGS, env=on_the_real_clock(os.environ)
        )
        page = await browser.new_page()
        page.set_default_timeout(10_000)
        yield page
        await browser.close()


@asynccontextmanager
async def website(content):
    """A site of somebody else's."""

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n"
        writer.write(f"{head}Content-Length: {len(content)}\r\n\r\n{content}".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_the_own_page_records_and_that_of_another_site_does_not():
    emulator = Emulator(years=0.1)
    athlete_id = emulator.athlete_ids[0]
    at_first = len(emulator.world().activities)
    async with serve(emulator, allowed_hosts=["strava.test"]) as url, browsing() as page:
        port = url.rpartition(":")[2]
        for count, own in enumerate((url, f"http://strava.test:{port}"), 1):
            await page.goto(own)
            await page.get_by_role("button", name="Record an activity now").click()
            await expect(page.get_by_role("heading", name="Be an athlete")).to_be_visible()
            assert len(emulator.world().activities) == at_first + count
        before = len(emulator.world().activities)
        for own in (url, f"http://strava.test:{port}"):
            async with website(ATTACK.format(action=f"{own}/emulator/record", athlete_id=athlete_id)) as other:
                for site in (f"http://evil.test:{other}", f"http://127.0.0.1:{other}"):
                    await page.goto(site)
                    await page.get_by_role("button", name="Win a bicycle").click()
                    await expect(page.get_by_text("sent from a page of another site")).to_be_visible()
        rebound = await page.goto(f"http://evil.test:{port}/")
        assert rebound.status == 403
    assert len(emulator.world().activities) == before
