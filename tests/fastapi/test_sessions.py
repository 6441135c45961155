"""How long a browser is signed in, where, and what ends that."""

from dataclasses import replace
from typing import Any

import pytest
from fastapi import Request
from starlette.requests import HTTPConnection

from strava_async import Client, TokenSet, TokenStoreError
from strava_async.fastapi import kit_of
from strava_async.fastapi.origins import origin_asked, origin_of
from strava_async.fastapi.sessions import Sessions, SignedIn
from strava_async.testing import Emulator, FakeClock
from tests.fastapi.oauth_service import SESSION, SITE, Browser, FussyStore, Service, service, set_cookies

pytestmark = pytest.mark.anyio

STAGING = "https://staging.service.test"


class ForgetfulStore(FussyStore):
    """A store of somebody's own, from before there were generations."""

    async def save(self, athlete_id: int, token: TokenSet) -> None:
        await super().save(athlete_id, replace(token, generation=""))


async def me(browser: Browser, **fields: str) -> int:
    """Return the status of a route that asks who is signed in."""
    return (await browser.get("/me", headers=fields)).status_code


def cookie_of(browser: Browser) -> str:
    return "; ".join(f"{name}={value}" for name, value in browser.cookies.items())


def thief_of(here: Service, browser: Browser) -> Browser:
    """Return another browser that has the same cookies."""
    thief = here.browser()
    thief.cookies.update(browser.cookies)
    return thief


async def renewed(here: Service) -> TokenSet | None:
    """Let the access token end and be renewed; return what is kept then."""
    here.clock.advance(6 * 3600)
    await here.strava.api(here.marianne).get("/athlete")
    return await here.store.load(here.marianne)


# The grant


async def test_a_session_lasts_through_renewals() -> None:
    async with service() as here, here.browser() as browser:
        await browser.connect()
        before = await here.store.load(here.marianne)
        after = await renewed(here)
        assert before is not None
        assert after is not None
        assert before.access_token != after.access_token
        assert before.generation == after.generation != ""
        assert await me(browser) == 200


@pytest.mark.parametrize("end", ["disconnect", "forget", "at Strava"])
async def test_a_session_ends_with_the_grant_and_is_not_good_for_the_next(end: str) -> None:
    async with service() as here, here.browser() as browser, here.browser() as later:
        await browser.connect()
        thief = thief_of(here, browser)
        if end == "disconnect":
            assert (await browser.post("/strava/disconnect")).status_code == 303
        elif end == "forget":
            await here.strava.forget(here.marianne)
        else:
            here.emulator.disconnect(here.marianne)
            assert await here.strava.forget_if_revoked(here.marianne)
        assert await me(thief) == 401
        assert (await thief.get("/name")).status_code == 401
        await later.connect()
        assert [await me(later), await me(thief)] == [200, 401]
        assert (await thief.post("/strava/disconnect")).status_code == 401
        assert await here.strava.is_connected(here.marianne)


async def test_a_session_ends_at_the_next_grant_although_nobody_noticed_the_end_of_the_one_before() -> None:
    async with service() as here, here.browser() as browser, here.browser() as later:
        await browser.connect()
        here.emulator.disconnect(here.marianne)
        await later.connect()
        assert [await me(later), await me(browser)] == [200, 401]


async def test_a_grant_that_was_found_invalid_ends_its_sessions_at_once_and_for_good() -> None:
    async with service() as here, here.browser() as browser, here.browser() as later:
        await browser.connect()
        thief, page_before = thief_of(here, browser), thief_of(here, browser)
        here.emulator.disconnect(here.marianne)
        here.clock.advance(7 * 3600)
        assert (await browser.get("/name")).status_code == 401
        assert [await me(browser), await me(thief)] == [401, 401]
        await later.connect()
        assert [await me(later), await me(thief)] == [200, 401]
        assert (await page_before.post("/strava/disconnect")).status_code == 401


async def test_whose_grant_was_found_invalid_may_still_have_the_rest_deleted() -> None:
    deleted: list[int] = []
    async with service(on_disconnect=deleted.append) as here, here.browser() as browser, here.browser() as old:
        await old.connect()
        await here.strava.end_sessions(here.marianne)
        await browser.connect()
        here.emulator.disconnect(here.marianne)
        here.clock.advance(7 * 3600)
        assert (await browser.get("/name")).status_code == 401
        assert (await old.post("/strava/disconnect")).status_code == 401
        assert (await browser.post("/strava/disconnect")).status_code == 303
        assert deleted == [here.marianne]
        assert not await here.strava.is_connected(here.marianne)


@pytest.mark.parametrize("hours", [0, 5.5, 7, 48])
async def test_a_second_browser_does_not_sign_the_first_one_out(hours: float) -> None:
    async with service() as here, here.browser() as browser, here.browser() as phone:
        await browser.connect()
        here.clock.advance(hours * 3600)  # after five, Strava gives new tokens, which have none of the old in common
        await phone.connect()
        assert [await me(browser), await me(phone)] == [200, 200]
        assert (await phone.post("/strava/sign-out")).status_code == 303
        assert [await me(browser), await me(phone)] == [200, 401]


async def test_who_is_forgotten_amid_a_connection_is_not_signed_in() -> None:
    async def refuse(request: Request, client: Client) -> None:
        await kit_of(request).strava.disconnect(client.athlete_id)

    async with service(on_connect=refuse) as here, here.browser() as browser:
        response = await browser.connect()
        assert response.status_code == 303
        assert SESSION not in browser.cookies


async def test_a_cookie_that_named_no_generation_is_nobodys() -> None:
    async with service() as here, here.browser() as browser:
        await browser.connect()
        for place in (SESSION, f"{SESSION} {SITE}"):
            for signed in (str(here.marianne), f"{here.marianne} "):
                cookie = here.strava.state_signer(purpose="session").sign(signed, session=place)
                async with here.browser() as old:
                    assert await me(old, cookie=f"{SESSION}={cookie}") == 401


# Everywhere


async def test_signing_out_everywhere_ends_all_sessions_and_leaves_the_athlete_connected() -> None:
    async with service() as here, here.browser() as browser, here.browser() as phone, here.browser() as other:
        await browser.connect()
        await phone.connect()
        await other.connect(athlete_id=here.pierre)
        response = await phone.post("/strava/sign-out?everywhere=1&next=/bye")
        assert (response.status_code, response.headers["location"]) == (303, "/bye")
        assert SESSION not in phone.cookies
        assert [await me(browser), await me(other)] == [401, 200]
        assert await here.strava.is_connected(here.marianne)
        await phone.connect()
        assert [await me(browser), await me(phone)] == [401, 200]
        await renewed(here)
        assert [await me(browser), await me(phone)] == [401, 200]


@pytest.mark.parametrize(
    ("wish", "status"), [("0", 303), *((wish, 400) for wish in ("", "true", "2", "1&everywhere=0"))]
)
async def test_what_asks_for_something_else_signs_nobody_else_out(wish: str, status: int) -> None:
    async with service() as here, here.browser() as browser:
        await browser.connect()
        thief = thief_of(here, browser)
        assert (await browser.post(f"/strava/sign-out?everywhere={wish}")).status_code == status
        assert (SESSION in browser.cookies) == (status == 400)
        assert await me(thief) == 200


async def test_a_page_of_another_site_signs_nobody_out_everywhere() -> None:
    async with service() as here, here.browser() as browser:
        await browser.connect()
        fields = {"sec-fetch-site": "same-site"}
        assert (await browser.post("/strava/sign-out?everywhere=1", headers=fields)).status_code == 403
        assert await me(browser) == 200


async def test_who_is_not_signed_in_ends_no_sessions() -> None:
    async with service() as here, here.browser() as browser, here.browser() as stranger:
        await browser.connect()
        assert (await stranger.post("/strava/sign-out?everywhere=1")).status_code == 303
        assert await me(browser) == 200


async def test_sessions_that_could_not_be_ended_are_reported_and_end_at_the_next_try() -> None:
    async with service() as here, here.browser() as browser:
        await browser.connect()
        thief = thief_of(here, browser)
        here.store.full = True
        response = await browser.post("/strava/sign-out?everywhere=1")
        assert response.status_code == 503
        assert [await me(browser), await me(thief)] == [200, 200]
        here.store.full = False
        assert (await browser.post("/strava/sign-out?everywhere=1")).status_code == 303
        assert await me(thief) == 401


async def test_a_service_may_let_one_browser_in_at_a_time() -> None:
    async def alone(request: Request, client: Client) -> None:
        await kit_of(request).strava.end_sessions(client.athlete_id)

    async with service(on_connect=alone) as here, here.browser() as browser, here.browser() as phone:
        await browser.connect()
        await phone.connect()
        assert [await me(browser), await me(phone)] == [401, 200]


async def test_a_service_with_users_of_its_own_may_end_sessions_too() -> None:
    def identify(connection: HTTPConnection) -> int | None:
        return here.marianne if connection.headers.get("x-user") == "marianne" else None

    async with service(lifespan={"identify": identify}) as here, here.browser() as browser:
        await browser.connect()
        before = await here.strava.generation(here.marianne)
        await browser.post("/strava/sign-out?everywhere=1", headers={"x-user": "marianne"})
        assert await here.strava.generation(here.marianne) not in (None, before)
        await here.strava.forget(here.marianne)
        assert await me(browser, **{"x-user": "marianne"}) == 200


# The store


async def test_with_a_store_that_keeps_no_generation_sessions_last_through_renewals_and_end_with_the_grant() -> None:
    async with service(store=ForgetfulStore()) as here, here.browser() as browser:
        await browser.connect()
        for _ in range(3):
            assert await me(browser) == 200
            kept = await renewed(here)
            assert kept is not None
            assert kept.generation == ""
        thief = thief_of(here, browser)
        await browser.post("/strava/disconnect")
        assert await me(thief) == 401


async def test_with_a_store_that_keeps_no_generation_nobody_is_told_that_all_sessions_have_ended() -> None:
    async with service(store=ForgetfulStore()) as here, here.browser() as browser:
        await browser.connect()
        response = await browser.post("/strava/sign-out?everywhere=1")
        assert response.status_code == 503
        with pytest.raises(TokenStoreError, match=r"does not keep TokenSet\.generation"):
            await here.strava.end_sessions(here.marianne)
        assert (await browser.post("/strava/sign-out")).status_code == 303


async def test_a_store_that_begins_to_keep_generations_signs_out_once_and_no_more() -> None:
    async with service(store=ForgetfulStore()) as old, old.browser() as browser:
        await browser.connect()
        kept = await old.store.load(old.marianne)
        assert kept is not None
        store = FussyStore()
        await store.save(old.marianne, kept)
        async with service(emulator=old.emulator, store=store) as new, new.browser() as later:
            later.cookies.update(browser.cookies)
            assert await me(later) == 200
            await renewed(new)
            assert await me(later) == 200
            async with new.browser() as phone:
                await phone.connect()
                assert [await me(later), await me(phone)] == [401, 200]
                await renewed(new)
                assert await me(phone) == 200


class CountingStore(FussyStore):
    """Counts how often it is read, and can be made to fail."""

    reads = 0
    broken = False

    async def load(self, athlete_id: int) -> TokenSet | None:
        self.reads += 1
        if self.broken:
            raise TokenStoreError("the disk is away")
        return await super().load(athlete_id)


async def test_each_request_reads_the_store_once_and_that_of_a_stranger_not_at_all() -> None:
    store = CountingStore()
    async with service(store=store) as here, here.browser() as browser, here.browser() as stranger:
        await browser.connect()
        for path in ("/me", "/name"):
            store.reads = 0
            assert (await browser.get(path)).status_code == 200
            assert store.reads == 1
            forged = {"cookie": f"{SESSION}={browser.cookies[SESSION][:-2]}AA"}
            assert (await stranger.get(path, headers=forged)).status_code == 401
            assert (await stranger.get(path)).status_code == 401
            assert store.reads == 1


async def test_a_store_that_cannot_be_read_signs_nobody_out() -> None:
    store = CountingStore()
    async with service(store=store) as here, here.browser() as browser:
        await browser.connect()
        store.broken = True
        for path in ("/me", "/name"):
            assert (await browser.get(path)).status_code == 503
        for path in ("/strava/disconnect", "/strava/sign-out?everywhere=1"):
            response = await browser.post(path)
            assert response.status_code == 503
            assert '<a href="/">Go back</a>' in response.text
        store.broken = False
        assert await me(browser) == 200


@pytest.mark.parametrize("keep", [False, True])
async def test_who_connects_while_the_store_cannot_be_read_is_not_signed_in(keep: bool) -> None:
    store = CountingStore()

    def away(*of_a_callback: Any) -> None:
        store.broken = True

    options: dict[str, Any] = {"on_error": away, "if_missing": "keep"} if keep else {"on_connect": away}
    async with service(store=store, **options) as here, here.browser() as browser:
        response = await browser.connect(scope=["read"]) if keep else await browser.connect()
        assert response.status_code == (403 if keep else 503)
        assert SESSION not in browser.cookies


# The site


async def test_a_session_of_staging_is_nobodys_in_production() -> None:
    store, emulator = FussyStore(), Emulator(years=0.1, athletes=2, clock=FakeClock())
    async with (
        service(emulator=emulator, store=store) as production,
        service(emulator=emulator, store=store) as staging,
        staging.browser(STAGING) as tester,
        production.browser() as stranger,
    ):
        await tester.connect()
        assert await me(tester) == 200
        assert await me(stranger, cookie=cookie_of(tester)) == 401
        async with production.browser("http://service.test") as plain:
            assert await me(plain, cookie=cookie_of(tester)) == 401


async def test_where_the_site_is_known_no_host_field_makes_it_another() -> None:
    store, emulator = FussyStore(), Emulator(years=0.1, athletes=2, clock=FakeClock())
    async with (
        service(emulator=emulator, store=store, base_url=SITE) as production,
        service(emulator=emulator, store=store, base_url=STAGING) as staging,
        staging.browser(STAGING) as tester,
        production.browser() as browser,
    ):
        await tester.connect()
        await browser.connect()
        for host in ("staging.service.test", "service.test", "10.0.0.7:8000", "", "a b"):
            assert await me(browser, cookie=cookie_of(tester), host=host) == 401
            assert await me(browser, cookie=cookie_of(browser), host=host) == 200


async def test_behind_a_proxy_that_hides_the_site_every_route_knows_who_is_signed_in() -> None:
    async with service(base_url=SITE) as here, here.browser("http://10.0.0.7") as behind:
        page = await here.emulator.approve((await behind.get("/strava/connect")).headers["location"])
        question = "; ".join(f"{name}={value}" for name, value in behind.cookies.items())
        answer = await behind.get(page.removeprefix(SITE), headers={"cookie": question})
        (signed,) = (each["value"] for each in set_cookies(answer) if each[""] == SESSION)
        for path in ("/me", "/name"):
            assert (await behind.get(path, headers={"cookie": f"{SESSION}={signed}"})).status_code == 200


@pytest.mark.parametrize(
    ("scheme", "host", "known"),
    [("wss", "service.test", True), ("wss", "service.test:444", False), ("ws", "service.test", False)],
)
async def test_a_websocket_is_of_the_same_site(scheme: str, host: str, known: bool) -> None:
    async with service() as here, here.browser() as browser:
        await browser.connect()
        fields = [(b"host", host.encode()), (b"cookie", cookie_of(browser).encode())]
        websocket = HTTPConnection({"type": "websocket", "scheme": scheme, "headers": fields})
        signed_in = SignedIn(here.strava, Sessions(here.strava.state_signer(purpose="session")))
        assert await signed_in.athlete_id(websocket) == (here.marianne if known else None)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Service.Test:443/a?b#c", "https://service.test"),
        ("http://a:80", "http://a"),
        ("http://a:443", "http://a:443"),
        ("https://[::1]:8443", "https://[::1]:8443"),
        *(
            (url, None)
            for url in ("null", "", "https://", "https://[", "https://a:x", "service.test", "https://a:99999")
        ),
    ],
)
async def test_an_origin_has_one_spelling(url: str, origin: str | None) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    ("scheme", "hosts", "server", "origin"),
    [
        ("https", [b"Service.test"], None, "https://service.test"),
        ("wss", [b"service.test:444"], None, "https://service.test:444"),
        ("ws", [], ("::1", 8000), "http://[::1]:8000"),
        ("http", [], ("127.0.0.1", 80), "http://127.0.0.1"),
        ("http", [], ("/run/service.sock", None), None),
        ("http", [], None, None),
        ("http", [b"a", b"a"], None, None),
        *(("http", [host], None, None) for host in (b"a@b", b"a/b", b"a b", b"", b"a?b", b"a:b", b"a\\b", b"[")),
    ],
)
async def test_the_origin_of_a_request_is_that_of_its_host(
    scheme: str, hosts: list[bytes], server: tuple[str, int | None] | None, origin: str | None
) -> None:
    scope = {"type": "http", "scheme": scheme, "headers": [(b"host", host) for host in hosts], "server": server}
    assert origin_asked(HTTPConnection(scope)) == origin


# The cookie


@pytest.mark.parametrize("prefix", [b"\xa0", b"\x85", b"\x1c", b"\x0b", "\u2003".encode(), b""])
async def test_a_name_that_a_neighbour_may_plant_is_nobodys(prefix: bytes) -> None:
    async with service() as here, here.browser() as evil, here.browser() as browser:
        await evil.connect(athlete_id=here.pierre)
        await browser.connect(athlete_id=here.marianne)
        planted = prefix + cookie_of(evil).encode()
        mine = cookie_of(browser).encode()
        for before, after in ((planted, mine), (mine, planted)):
            answer = await browser.get("/me", headers={"cookie": before + b"; " + after})
            if prefix:
                assert answer.json() == here.marianne
            else:
                assert answer.status_code == 401  # the name stands twice
        if prefix:
            assert (await here.browser().get("/me", headers={"cookie": planted})).status_code == 401


async def test_a_session_in_quotes_is_the_session() -> None:
    async with service() as here, here.browser() as browser, here.browser() as other:
        await browser.connect()
        assert await me(other, cookie=f'{SESSION}="{browser.cookies[SESSION]}"') == 200
        assert await me(other, cookie=f"{SESSION}={'A' * 60_000}") == 401


async def test_a_generation_is_in_no_log_and_no_page(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    async with service() as here, here.browser() as browser:
        responses = [
            await browser.connect(),
            await browser.get("/me"),
            await browser.post("/strava/sign-out?everywhere=1"),
        ]
        kept = await here.store.load(here.marianne)
        assert kept is not None
        assert kept.generation not in repr(kept)
        assert kept.generation not in caplog.text + "".join(response.text for response in responses)
