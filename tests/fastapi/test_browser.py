"""The example service in a real browser: Chromium, uvicorn, and Strava's emulator in this process.

Where no Chromium is installed the tests are skipped, unless REQUIRE_BROWSER=1 is set: then they fail.
"""

import asyncio
import os
import re
import shutil
import socket
import sqlite3
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio
import uvicorn
from fastapi import FastAPI, Request, Response
from playwright.async_api import BrowserContext, Page, async_playwright, expect

from benchmarks.real_clock import on_the_real_clock
from examples.fastapi_app.embedded import running
from strava_async import ApiV3, Strava, TokenSet
from strava_async.fastapi import AthleteIdDep, StravaLifespan, exception_handlers, kit_of, oauth_router
from strava_async.testing import Emulator
from tests.plain_http import NO_TRUST

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.one_python,
    pytest.mark.skipif(
        CHROMIUM is None and os.environ.get("REQUIRE_BROWSER") != "1", reason="Chromium is not installed"
    ),
]

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    # Nothing but this machine; the tests' guard does not see what a browser does.
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE *.localhost",
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
TRACK = b"""<?xml version="1.0"?><gpx version="1.1" creator="t"><trk><trkseg>
<trkpt lat="47.0" lon="8.0"><ele>400</ele><time>%s</time></trkpt>
<trkpt lat="47.01" lon="8.01"><ele>401</ele><time>%s</time></trkpt>
</trkseg></trk></gpx>""" % tuple(
    f"{datetime.now(UTC) - timedelta(minutes=ago):%Y-%m-%dT%H:%M:%SZ}".encode() for ago in (9, 2)
)
PHONE = {"width": 390, "height": 844}
SOON_MS = 10_000


@dataclass
class Visit:
    """An athlete in front of the service, and what the browser did."""

    emulator: Emulator
    strava_url: str
    url: str
    folder: Path
    page: Page
    foreign: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    async def open_consent(self):
        await self.page.goto(self.url)
        await self.page.get_by_role("link", name="Connect with Strava").click()
        await expect(self.page.get_by_role("heading")).to_contain_text("Authorize")

    async def connect(self):
        await self.open_consent()
        await self.page.get_by_role("button", name="Authorize").click()
        await expect(self.page.get_by_role("heading", name="Recent activities")).to_be_visible()

    async def live(self):
        await expect(self.page.get_by_text("Live", exact=True)).to_be_visible(timeout=SOON_MS)

    def news(self):
        with closing(sqlite3.connect(self.folder / "news.sqlite")) as db:
            return db.execute("SELECT ride FROM news").fetchall()


def watch(context: BrowserContext, visit: Visit) -> None:
    """Take notice of what no page of the service may do."""

    def on_request(request):
        if urlsplit(request.url).hostname != "127.0.0.1":
            visit.foreign.append(request.url)

    def on_console(message):
        # The browser says so of every page with such a status; that the page comes with it is tested.
        if message.type in ("error", "warning") and "status of 403" not in message.text:
            visit.complaints.append(message.text)

    context.on("request", on_request)
    context.on("console", on_console)
    context.on("weberror", lambda error: visit.complaints.append(str(error.error)))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def chromium():
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=FLAGS, env=on_the_real_clock(os.environ)
        )
        yield browser
        await browser.close()


@pytest.fixture
def visiting(chromium, tmp_path):
    """Return what opens a service and a browser in front of it; at the end it looks at what the browser did."""

    @asynccontextmanager
    async def open_both(**options):
        # A machine with a browser on it may be too busy to answer a webhook in two seconds.
        emulator = Emulator(years=0.4, upload_seconds=0.5, callback_seconds=60.0)
        async with running(emulator, tmp_path) as service:
            context = await chromium.new_context(**options)
            context.set_default_timeout(SOON_MS)
            visit = Visit(emulator, service.strava_url, service.url, tmp_path, await context.new_page())
            watch(context, visit)
            yield visit
            await context.close()
        assert visit.foreign == []
        assert visit.complaints == []

    return open_both


async def test_who_connects_sees_the_activities_the_newest_track_and_twelve_weeks(visiting):
    async with visiting() as visit:
        await visit.connect()
        newest = visit.emulator.world().activities[::-1]
        titles = visit.page.locator("#rides h2")
        await expect(titles).to_have_text([activity["name"] for activity in newest[:20]])
        await expect(visit.page.locator("#weeks .bar")).to_have_count(12)
        drawn = [bool(activity["map"]["summary_polyline"]) for activity in newest[:20]]
        await expect(visit.page.locator("#rides svg")).to_have_count(sum(drawn))
        # What an emulator invents is nowhere to be seen at Strava; the same where it arrives while the page is open.
        await expect(visit.page.get_by_role("link", name="View on Strava")).to_have_count(0)
        first = visit.page.get_by_role("heading").first
        await expect(first).to_have_text("Recent activities")
        assert await first.evaluate("heading => heading.tagName") == "H1"


async def test_who_leaves_out_what_is_needed_is_told_what_and_can_mend_it(visiting):
    async with visiting() as visit:
        await visit.open_consent()
        await visit.page.get_by_role("checkbox", name="activity:read", exact=False).first.uncheck()
        await visit.page.get_by_role("button", name="Authorize").click()
        await expect(visit.page.get_by_text("Tally needs activity:read ")).to_be_visible()
        await visit.page.get_by_role("link", name="Try again").click()
        await visit.page.get_by_role("button", name="Authorize").click()
        await expect(visit.page.get_by_role("heading", name="Recent activities")).to_be_visible()


async def test_who_leaves_out_private_activities_is_connected_and_sees_the_others(visiting):
    async with visiting() as visit:
        private = {activity["id"] for activity in visit.emulator.world().activities if activity["private"]}
        await visit.open_consent()
        await visit.page.get_by_role("checkbox", name="activity:read_all").uncheck()
        await visit.page.get_by_role("button", name="Authorize").click()
        await expect(visit.page.locator("#rides li")).to_have_count(20)
        assert private
        for activity_id in private:
            await expect(visit.page.locator(f"#ride-{activity_id}")).to_have_count(0)


async def test_who_refuses_is_told_that_nothing_happened_and_may_think_again(visiting):
    async with visiting() as visit:
        await visit.open_consent()
        await visit.page.get_by_role("button", name="Cancel").click()
        await expect(visit.page.get_by_text("You said no at Strava")).to_be_visible()
        await visit.page.get_by_role("link", name="Ask me again").click()
        await expect(visit.page.get_by_role("heading")).to_contain_text("Authorize")


async def test_an_activity_appears_by_webhook_without_a_reload_and_the_meters_move(visiting):
    async with visiting() as visit:
        await visit.connect()
        await visit.live()
        reads = visit.page.locator("[data-meter=read_day]")
        this_week = visit.page.locator("#weeks strong")
        await expect(reads).to_have_text(re.compile(r"^\d+$"), timeout=SOON_MS)
        before, distance = int(await reads.inner_text()), await this_week.inner_text()
        await visit.page.evaluate("window.notReloaded = true")

        visit.emulator.record_activity(name="Around the block")

        first = visit.page.locator("#rides li").first
        await expect(first.locator("h2")).to_have_text("Around the block", timeout=SOON_MS)
        await expect(first.locator("svg path").first).to_be_visible()
        await expect(first.get_by_role("link")).to_have_count(0)
        await expect(visit.page.locator("#told")).to_have_text("New activity: Around the block")
        await expect(this_week).not_to_have_text(distance)
        await expect(reads).not_to_have_text(str(before))
        assert int(await reads.inner_text()) > before
        assert await visit.page.evaluate("window.notReloaded")


async def test_an_upload_of_another_application_appears_by_webhook(visiting):
    async with visiting() as visit:
        await visit.connect()
        await visit.live()
        watch_maker = visit.emulator.register_application()
        token = visit.emulator.grant(client_id=watch_maker.client_id)["access_token"]
        async with ApiV3(token, api_url=f"{visit.strava_url}/api/v3") as api:
            await api.post("/uploads", files={"file": TRACK}, data_type="gpx", name="From my watch")
        await expect(visit.page.locator("#rides h2").first).to_have_text("From my watch", timeout=SOON_MS)


async def test_who_has_nothing_is_told_so_until_there_is_something(visiting):
    async with visiting() as visit:
        visit.emulator.world().activities.clear()
        visit.emulator.refresh()
        await visit.connect()
        await visit.live()
        nothing = visit.page.get_by_text("Nothing here yet")
        await expect(nothing).to_be_visible()
        visit.emulator.record_activity(name="The first")
        await expect(visit.page.locator("#rides h2")).to_have_text("The first", timeout=SOON_MS)
        await expect(nothing).to_be_hidden()


async def test_the_button_records_and_all_tabs_show_it(visiting):
    async with visiting() as visit:
        await visit.connect()
        other = await visit.page.context.new_page()
        await other.goto(visit.url)
        await expect(other.get_by_text("Live", exact=True)).to_be_visible(timeout=SOON_MS)
        newest = await other.locator("#rides li").first.get_attribute("id")
        await visit.page.get_by_role("button", name="Record a run").click()
        for page in (visit.page, other):
            await expect(page.locator("#rides li").first).not_to_have_id(newest, timeout=SOON_MS)


async def test_the_name_of_a_live_activity_is_text_whatever_it_says(visiting):
    async with visiting() as visit:
        await visit.connect()
        await visit.live()
        name = "<img src=//example.com onerror=document.title='x'><script>document.title='x'</script>"
        visit.emulator.record_activity(name=name)
        await expect(visit.page.locator("#rides h2").first).to_have_text(name, timeout=SOON_MS)
        await expect(visit.page).to_have_title("Tally")


async def test_disconnecting_ends_the_grant_deletes_the_data_and_empties_the_other_tab(visiting):
    async with visiting() as visit:
        await visit.connect()
        other = await visit.page.context.new_page()
        await other.goto(visit.url)
        await expect(other.get_by_text("Live", exact=True)).to_be_visible(timeout=SOON_MS)
        visit.emulator.record_activity(name="Around the block")
        await expect(other.locator("#rides h2").first).to_have_text("Around the block", timeout=SOON_MS)
        assert len(visit.news()) == 1

        await visit.page.get_by_role("button", name="Disconnect").click()
        await expect(visit.page.get_by_role("heading", name="Disconnect from Strava?")).to_be_visible()
        await visit.page.get_by_role("link", name="Stay connected").click()
        await visit.page.get_by_role("button", name="Disconnect").click()
        assert len(visit.news()) == 1
        await visit.page.get_by_role("button", name="Disconnect").click()

        for page in (visit.page, other):
            await expect(page.get_by_role("link", name="Connect with Strava")).to_be_visible(timeout=SOON_MS)
        assert visit.news() == []
        assert visit.emulator.count("POST", "/oauth/revoke") == 1


async def test_signing_out_keeps_the_grant(visiting):
    async with visiting() as visit:
        await visit.connect()
        await visit.page.get_by_role("button", name="Sign out").click()
        await expect(visit.page.get_by_role("link", name="Connect with Strava")).to_be_visible()
        assert visit.emulator.count("POST", "/oauth/revoke") == 0


async def test_a_phone_shows_it_all_without_scrolling_sideways(visiting):
    async with visiting(viewport=PHONE, color_scheme="dark") as visit:
        await visit.connect()
        for width in (PHONE["width"], 320):
            await visit.page.set_viewport_size({"width": width, "height": PHONE["height"]})
            assert await visit.page.evaluate("document.documentElement.scrollWidth") <= width


async def test_the_page_of_the_emulator_confirms_and_shows_the_event_without_a_reload(visiting):
    async with visiting(viewport=PHONE) as visit:
        await visit.connect()
        await visit.page.goto(visit.strava_url)
        await visit.page.get_by_role("combobox", name="Sport").select_option("Run")
        await visit.page.get_by_role("button", name="Record an activity now").click()
        await expect(visit.page.get_by_text("Recorded: ")).to_contain_text("Its event appears below.")
        await visit.page.evaluate("window.notReloaded = true")
        number = visit.emulator.record_activity()
        told = visit.page.get_by_role("listitem").filter(has_text=f"activity {number} create")
        await expect(told).to_contain_text("attempt 1: 200", timeout=SOON_MS)
        visit.emulator.disconnect()
        await expect(visit.page.get_by_text("Not connected.")).to_be_visible()
        assert await visit.page.evaluate("window.notReloaded")
        assert await visit.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        await visit.page.reload()
        await expect(visit.page.get_by_text("Recorded: ")).to_have_count(0)


async def test_the_keyboard_is_enough(visiting):
    async with visiting() as visit:
        await visit.page.goto(visit.url)
        await visit.page.keyboard.press("Tab")
        await visit.page.keyboard.press("Tab")
        await expect(visit.page.get_by_role("link", name="Connect with Strava")).to_be_focused()
        await visit.page.keyboard.press("Enter")
        await expect(visit.page.get_by_role("heading")).to_contain_text("Authorize")


async def test_without_scripts_everything_but_the_live_part_works(visiting):
    async with visiting(java_script_enabled=False) as visit:
        await visit.connect()
        await visit.page.get_by_role("button", name="Record a run").click()
        await expect(visit.page.get_by_role("heading", name="Recent activities")).to_be_visible()
        for _ in ("the question", "the answer"):
            await visit.page.get_by_role("button", name="Disconnect").click()
        await expect(visit.page.get_by_role("link", name="Connect with Strava")).to_be_visible()


class ReadyServer(uvicorn.Server):
    """uvicorn, which says when it answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets=None):
        await super().startup(sockets)
        self.ready.set()


@asynccontextmanager
async def served(app):
    """Serve an application on a free port of this machine; Chromium takes all of ``*.localhost`` for this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = ReadyServer(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        try:
            await server.ready.wait()
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await serving


def site_of(strava: Strava) -> FastAPI:
    """Return a site that believes to be on https. ``*.localhost`` is as good as that to Chromium."""
    app = FastAPI(lifespan=StravaLifespan(strava), exception_handlers=exception_handlers)
    app.include_router(oauth_router(strava, base_url="https://app.site.localhost"), prefix="/strava")

    @app.post("/sign-in/{athlete_id}")
    async def sign_in(athlete_id: int, request: Request):
        response = Response()
        await kit_of(request).signed_in.sign_in(request, response, athlete_id)
        return response

    @app.get("/")
    async def home():
        return "a page without a policy, which lets scripts fetch"

    @app.get("/me")
    async def me(athlete_id: AthleteIdDep):
        return athlete_id

    return app


async def test_a_neighbour_cannot_plant_the_cookie_that_only_the_site_itself_may_set(chromium):
    victim, attacker = 7, 8
    strava = Strava(1, "secret-of-the-application")
    for athlete_id in (victim, attacker):
        await strava.token_store.save(athlete_id, TokenSet("access", generation=f"of-{athlete_id}"))
    planted = b""

    async def neighbour(scope, receive, send):
        if scope["type"] == "http":
            prefix = {"/a0": b"\xa0", "/85": b"\x85"}.get(scope["path"], b"")
            cookie = prefix + planted + b"; Domain=site.localhost; Path=/; Secure"
            await send({"type": "http.response.start", "status": 200, "headers": [(b"set-cookie", cookie)]})
            await send({"type": "http.response.body", "body": b"hi"})

    async with served(site_of(strava)) as port, served(neighbour) as evil_port:
        site, evil = f"http://app.site.localhost:{port}", f"http://evil.site.localhost:{evil_port}"
        async with httpx.AsyncClient(verify=NO_TRUST, trust_env=False) as client:
            answer = await client.post(f"http://127.0.0.1:{port}/sign-in/{attacker}")
            planted = answer.headers["set-cookie"].partition(";")[0].encode()
        for signed_in, shown in ((False, 401), (True, str(victim))):
            context = await chromium.new_context()
            page = await context.new_page()
            await page.goto(site)
            if signed_in:
                await page.evaluate(f"fetch('/sign-in/{victim}', {{method: 'POST'}})")
            for prefix in ("", "a0", "85"):
                await page.goto(f"{evil}/{prefix}")
                response = await page.goto(f"{site}/me")
                assert (await response.text() if response.status == 200 else response.status) == shown
            # Chromium took what was planted, but under the name that it guards.
            assert len(await context.cookies(site)) == 2 + signed_in
            await context.close()
