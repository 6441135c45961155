"""The host that Strava announces: the API at its root, OAuth where it was, tokens in header fields alone."""

from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from strava_async import ApiV3, QuotaClass, RetryPolicy, Strava
from strava_async.telemetry.hooks import Hooks, ResponseEvent
from strava_async.testing import Emulator, FakeClock

NEW = "https://api-v3.strava.com"
SCOPE = "read,activity:read_all,activity:write"


class Web:
    """Both hosts in front of one emulator, and what was sent to them."""

    def __init__(self) -> None:
        self.emulator = Emulator(clock=FakeClock(), years=0.1, api_prefix="", callbacks={"https://s.test": handshake})
        self.sent: list[tuple[str, str, str, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        fields = {name.decode(): value.decode() for name, value in scope["headers"]}
        body = b""

        async def heard() -> Any:
            nonlocal body
            message = await receive()
            body += message.get("body", b"")
            return message

        await self.emulator.app(scope, heard, send)
        self.sent.append((fields["host"], scope["path"], scope["query_string"].decode(), body))

    def hosts(self) -> dict[str, set[str]]:
        """Return the first parts of the paths that each host was asked for."""
        found: dict[str, set[str]] = {}
        for host, path, _, _ in self.sent:
            found.setdefault(host, set()).add(path.split("/")[1])
        return found


async def handshake(scope: Any, receive: Any, send: Any) -> None:
    challenge = dict(httpx.QueryParams(scope["query_string"]))["hub.challenge"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b'{"hub.challenge": "%s"}' % challenge.encode()})


@pytest.mark.anyio
async def test_one_setting_moves_all_but_oauth_and_no_token_is_in_an_address_or_a_form() -> None:
    web, events = Web(), list[ResponseEvent]()
    emulator = web.emulator
    async with httpx.AsyncClient(transport=httpx.ASGITransport(web)) as http_client:
        strava = Strava(
            emulator.client_id,
            emulator.client_secret,
            api_url=NEW,
            http_client=http_client,
            clock=emulator.clock,
            retry=RetryPolicy(max_attempts=1),
            hooks=Hooks(response=events.append),
        )
        page = await strava.authorization_url("http://localhost/callback", SCOPE, "a state")
        assert urlsplit(page)[1:3] == ("www.strava.com", "/oauth/authorize")
        client = await strava.connect_redirect(await emulator.approve(page), SCOPE, state="a state")
        newest = await client.activities.list(limit=1).collect()
        await client.activities.update(newest[0].id or 0, name="Renamed")
        await client.uploads.create(b"<gpx/>", data_type="gpx")
        subscription = await strava.webhooks.subscribe("https://s.test/hook", "verify me")
        await strava.webhooks.unsubscribe(subscription.id)
        tokens = await strava.token_store.load(client.athlete_id)
        assert tokens is not None
        assert (await client.api.get(f"{NEW}/athlete"))["id"] == client.athlete_id  # an address of the API's own origin
        await strava.disconnect(client.athlete_id)
    assert web.hosts() == {
        "api-v3.strava.com": {"athlete", "activities", "uploads", "push_subscriptions"},
        "www.strava.com": {"oauth"},
    }
    for _, path, query, body in web.sent:
        assert tokens.access_token not in query
        assert tokens.access_token.encode() not in body, path
    told = [(event.request.method, event.request.endpoint, event.request.quota_class) for event in events]
    assert ("PUT", "/activities/{id}", QuotaClass.READ) in told
    assert ("POST", "/uploads", QuotaClass.UPLOAD) in told
    assert strava.quota.overall_day.usage == 4  # what belongs to the application itself spends nothing there


@pytest.mark.anyio
async def test_an_address_of_the_old_host_gets_no_token() -> None:
    api = ApiV3("token", api_url=NEW)
    with pytest.raises(ValueError, match="not of the API's origin"):
        await api.get("https://www.strava.com/api/v3/athlete")
