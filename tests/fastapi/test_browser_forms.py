"""What only a browser can judge: forms of the kit's pages on plain http, and the file that leads to a login."""

import asyncio
import os
import socket
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest_asyncio
import uvicorn
from fastapi.responses import HTMLResponse
from playwright.async_api import async_playwright, expect

from benchmarks.real_clock import on_the_real_clock
from strava_async.login.private_page import private_page
from tests.fastapi.oauth_service import service
from tests.fastapi.test_browser import CHROMIUM, FLAGS, SOON_MS
from tests.fastapi.test_browser import pytestmark as pytestmark

FORM = '<h1>Welcome</h1><form method="post" action="{action}/strava/sign-out"><button>Sign out</button></form>'


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def chromium():
    flags = [flag for flag in FLAGS if "host-resolver-rules" not in flag]
    flags += ["--host-resolver-rules=MAP *.service.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=flags, env=on_the_real_clock(os.environ)
        )
        yield browser
        await browser.close()


@asynccontextmanager
async def served(app):
    """Serve an application on 127.0.0.1; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning", ws="none"))
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await serving


@asynccontextmanager
async def visiting(chromium):
    """Serve a service whose pages have a form, and open a browser."""
    async with service(on_connect=lambda request, client: HTMLResponse(FORM.format(action=""))) as here:
        here.emulator.application().callback_domain = "service.test"

        async def app(scope, receive, send):
            async def agree(message):
                """Where Strava's page would be shown, go back from there: this browser cannot reach it."""
                for at, (name, value) in enumerate(message.get("headers", [])):
                    if name == b"location" and value.startswith(b"https://www.strava.com/"):
                        message["headers"][at] = name, (await here.emulator.approve(value.decode())).encode()
                await send(message)

            if scope["path"] == "/neighbour":
                await HTMLResponse(FORM.format(action=f"http://app.service.test:{port}"))(scope, receive, send)
            else:
                await here.app(scope, receive, agree)

        async with served(app) as port:
            context = await chromium.new_context()
            context.set_default_timeout(SOON_MS)
            yield SimpleNamespace(page=await context.new_page(), port=port)
            await context.close()


async def pressed(page):
    """Press the button; return the request that it sent, and what was answered."""
    async with page.expect_request(lambda request: request.method == "POST") as sending:
        await page.get_by_role("button").click()
    request = await sending.value
    return await request.all_headers(), (await request.response()).status


async def test_a_form_of_the_page_after_connecting_is_taken_and_that_of_a_neighbour_is_not(chromium):
    async with visiting(chromium) as visit:
        page, here = visit.page, f"http://app.service.test:{visit.port}"
        await page.goto(f"{here}/strava/connect")
        await expect(page.get_by_role("heading")).to_have_text("Welcome")
        assert page.url.startswith(f"{here}/strava/callback")
        await page.goto(f"http://evil.service.test:{visit.port}/neighbour")
        fields, status = await pressed(page)
        assert (fields["origin"], status) == (f"http://evil.service.test:{visit.port}", 403)
        assert "strava_athlete" in fields.get("cookie", "")  # SameSite keeps it from other sites alone

        await page.goto(f"{here}/strava/connect")
        fields, status = await pressed(page)
        assert (fields["origin"], status) == (here, 303)
        assert fields["referer"] == f"{here}/"
        assert "sec-fetch-site" not in fields


async def test_the_file_of_a_login_leads_to_the_address_and_tells_nobody_where_it_was(chromium, tmp_path):
    asked = []

    async def strava(scope, receive, send):
        asked.append((scope["query_string"], dict(scope["headers"])))
        await HTMLResponse("<h1>Authorize</h1>")(scope, receive, send)

    async with served(strava) as port:
        url = f"http://127.0.0.1:{port}/oauth/authorize?scope=read,activity:read&state=a-b_c&x=%22%27%3B"
        context = await chromium.new_context(java_script_enabled=False)
        page = await context.new_page()
        with private_page(url, [str(tmp_path)]) as address:
            await page.goto(address)
            await expect(page.get_by_role("heading")).to_have_text("Authorize")
            assert page.url == url
        await context.close()
    query, fields = asked[0]
    assert query.decode() == url.partition("?")[2]
    assert b"referer" not in fields
