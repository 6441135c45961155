"""The emulator's events: which application hears of what, and how they are delivered."""

import hashlib
import hmac
import json
import re
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import anyio
import httpx
import pytest

from strava_async.testing import CallbackReply, Emulator, FakeClock, Fault
from strava_async.testing.webhooks.delivery import AT_ONCE, EVENTS_KEPT, Outbox, PendingEvent
from strava_async.testing.webhooks.events import ActivityState, Change, visible_change
from strava_async.testing.webhooks.subscriptions import PushSubscription
from tests.testing.event_loops import each_loop

pytestmark = pytest.mark.anyio
anyio_backend = each_loop

CALLBACK = "https://service.test/hook"
NOW = 1_767_693_600
EVERYTHING = ("read", "activity:read_all", "activity:write")
GPX = """<?xml version="1.0"?><gpx version="1.1" creator="t"><trk><trkseg>
<trkpt lat="47.0" lon="8.0"><ele>400</ele><time>2026-01-01T08:00:00Z</time></trkpt>
<trkpt lat="47.001" lon="8.001"><ele>401</ele><time>2026-01-01T08:01:00Z</time></trkpt>
</trkseg></trk></gpx>"""


class Service:
    """A callback: records events, returns a set response, and waits while its gate is closed."""

    def __init__(self):
        self.told = []
        self.answers = []
        self.access = None
        self.inside = self.most_inside = 0

    async def __call__(self, method, url, content):
        if method == "GET":
            return CallbackReply(200, json.dumps({"hub.challenge": httpx.URL(url).params["hub.challenge"]}).encode())
        self.told.append(json.loads(content))
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        try:
            if self.access is not None:
                await self.access.wait()
        finally:
            self.inside -= 1
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, Exception):
            raise answer
        return CallbackReply(answer)


class App:
    """A callback as an ASGI application: keeps the header fields and bodies of its requests."""

    def __init__(self):
        self.asked = []
        self.told = anyio.Event()

    async def __call__(self, scope, receive, send):
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message.get("more_body", False)
        self.asked.append((dict(scope["headers"]), body))
        query = httpx.QueryParams(scope["query_string"].decode())
        answer = json.dumps({"hub.challenge": query.get("hub.challenge")}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": answer})
        if body:
            self.told.set()


@pytest.fixture
def clock():
    return FakeClock(NOW)


@pytest.fixture
def service():
    return Service()


@pytest.fixture
def emulator(clock, service):
    return Emulator(clock=clock, years=0.1, callbacks=service)


def browse(emulator, token=None):
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    transport = httpx.ASGITransport(emulator.app)
    return httpx.AsyncClient(transport=transport, base_url="https://www.strava.com", headers=headers)


async def subscribe(emulator, application=None, callback_url=CALLBACK):
    application = application or emulator.application()
    form = {"client_id": application.client_id, "client_secret": application.client_secret}
    async with browse(emulator) as http:
        reply = await http.post(
            "/api/v3/push_subscriptions", data={**form, "callback_url": callback_url, "verify_token": "v"}
        )
    assert reply.status_code == 201
    return reply.json()["id"]


@asynccontextmanager
async def connected(emulator, scope=EVERYTHING):
    """Subscribe, connect the athlete, and hand over the API."""
    await subscribe(emulator)
    async with browse(emulator, emulator.grant(scope=scope)["access_token"]) as http:
        yield http


async def received(emulator, service):
    """Deliver, and return a summary of the events since the last call."""
    service.told.clear()
    await emulator.deliver()
    return [(event["aspect_type"], event["object_id"], event["updates"]) for event in service.told]


MANUAL = {"name": "Lunch", "sport_type": "Run", "start_date_local": "2026-01-05T12:00:00Z", "elapsed_time": "600"}


async def test_a_created_activity_is_reported_in_full(emulator, service):
    async with connected(emulator) as http:
        activity = (await http.post("/api/v3/activities", data=MANUAL)).json()
    assert await emulator.deliver() == 1
    assert service.told == [
        {
            "aspect_type": "create",
            "event_time": NOW,
            "object_id": activity["id"],
            "object_type": "activity",
            "owner_id": emulator.athlete_ids[0],
            "subscription_id": emulator.subscription().id,
            "updates": {},
        }
    ]
    assert await emulator.deliver() == 0


@pytest.mark.parametrize(
    ("change", "updates"),
    [
        ({"name": "New"}, {"title": "New"}),
        ({"sport_type": "TrailRun"}, {"type": "Run"}),
        ({"name": "New", "sport_type": "Hike"}, {"title": "New", "type": "Hike"}),
        ({"name": "Lunch"}, None),
        ({"description": "x", "commute": True, "hide_from_home": True}, None),
    ],
)
async def test_a_change_of_title_or_type_is_reported_and_no_other(emulator, service, change, updates):
    async with connected(emulator) as http:
        activity = (await http.post("/api/v3/activities", data=MANUAL)).json()
        await emulator.deliver()
        assert (await http.put(f"/api/v3/activities/{activity['id']}", json=change)).status_code == 200
    assert await received(emulator, service) == ([("update", activity["id"], updates)] if updates else [])


async def test_what_the_athlete_does_on_the_site_is_reported(emulator, service):
    async with connected(emulator) as http:
        number = emulator.record_activity(name="Ride")
        assert await received(emulator, service) == [("create", number, {})]
        emulator.edit_activity(number, private=True, name="Secret")
        assert await received(emulator, service) == [("update", number, {"title": "Secret", "private": "true"})]
        assert (await http.get(f"/api/v3/activities/{number}")).json()["visibility"] == "only_me"
        emulator.edit_activity(number, private=False)
        assert await received(emulator, service) == [("update", number, {"private": "false"})]
        emulator.delete_activity(number)
        assert await received(emulator, service) == [("delete", number, {})]
        assert (await http.get(f"/api/v3/activities/{number}")).status_code == 404
        listed = (await http.get("/api/v3/athlete/activities?per_page=200")).json()
    assert number not in [activity["id"] for activity in listed]


async def test_with_activity_read_alone_going_private_is_a_delete_and_going_public_a_create(emulator, service):
    async with connected(emulator, ("activity:read",)):
        number = emulator.record_activity(private=True)
        emulator.edit_activity(number, name="Secret")
        assert await received(emulator, service) == []
        emulator.edit_activity(number, private=False, name="Open")
        assert await received(emulator, service) == [("create", number, {})]
        emulator.edit_activity(number, private=True)
        assert await received(emulator, service) == [("delete", number, {})]
        emulator.delete_activity(number)
        assert await received(emulator, service) == []


async def test_without_a_scope_for_activities_only_the_end_of_the_grant_is_reported(emulator, service):
    async with connected(emulator, ("read", "activity:write")):
        emulator.delete_activity(emulator.record_activity())
        emulator.disconnect()
    assert await received(emulator, service) == [("update", emulator.athlete_ids[0], {"authorized": "false"})]


@pytest.mark.parametrize(
    "before", [None, ActivityState("a", "Run", "Run", False), ActivityState("a", "Run", "Run", True)]
)
@pytest.mark.parametrize(
    "after", [None, ActivityState("a", "Run", "Run", False), ActivityState("a", "Run", "Run", True)]
)
@pytest.mark.parametrize("scope", [("read",), ("activity:read",), ("activity:read_all",)])
def test_an_application_hears_of_an_activity_only_what_it_may_see(before, after, scope):
    told = visible_change(before, after, scope)
    seen = [
        look is not None and scope != ("read",) and (not look.private or "activity:read_all" in scope)
        for look in (before, after)
    ]
    changed = all(seen) and before != after
    kinds = {(False, True): "create", (True, False): "delete", (True, True): "update" if changed else None}
    assert (told and told.kind) == kinds.get(tuple(seen))
    assert told is None or isinstance(told, Change)


@pytest.mark.parametrize("way", ["site", "revoke", "deauthorize"])
async def test_the_end_of_a_grant_is_reported_once(emulator, service, way):
    await subscribe(emulator)
    token = emulator.grant()
    async with browse(emulator) as http:
        if way == "site":
            emulator.disconnect()
        elif way == "revoke":
            basic = (str(emulator.client_id), emulator.client_secret)
            await http.post("/oauth/revoke", auth=basic, data={"token": token["refresh_token"]})
        else:
            await http.post("/oauth/deauthorize", data={"access_token": token["access_token"]})
    emulator.disconnect()  # there is no grant any more
    await emulator.deliver()
    [event] = service.told
    athlete_id = emulator.athlete_ids[0]
    assert (event["object_type"], event["object_id"], event["owner_id"]) == ("athlete", athlete_id, athlete_id)
    assert (event["aspect_type"], event["updates"]) == ("update", {"authorized": "false"})


async def test_an_application_without_grant_or_subscription_hears_nothing(emulator, service):
    unsubscribed = emulator.register_application()
    emulator.grant(client_id=unsubscribed.client_id)
    await subscribe(emulator)
    emulator.record_activity()
    emulator.disconnect(client_id=unsubscribed.client_id)
    assert await emulator.deliver() == 0
    assert service.told == []


async def test_each_application_hears_by_its_own_scope(emulator, service):
    other = emulator.register_application()
    numbers = [await subscribe(emulator), await subscribe(emulator, other)]
    emulator.grant(scope=["activity:read"])
    emulator.grant(scope=["activity:read_all"], client_id=other.client_id)
    emulator.record_activity(private=True)
    await emulator.deliver()
    assert [event["subscription_id"] for event in service.told] == numbers[1:]
    assert emulator.events[0].client_id == other.client_id


async def test_an_upload_is_reported_when_it_has_become_an_activity(emulator, service, clock):
    async with connected(emulator) as http:
        form = {"data": {"data_type": "gpx"}, "files": {"file": ("a.gpx", GPX.encode())}}
        upload = (await http.post("/api/v3/uploads", **form)).json()
        assert await emulator.deliver() == 0
        clock.advance(3)
        assert [kind for kind, _, _ in await received(emulator, service)] == ["create"]
        status = (await http.get(f"/api/v3/uploads/{upload['id']}")).json()
        assert service.told[0]["object_id"] == status["activity_id"]
        assert service.told[0]["event_time"] == NOW + 2  # when it was ready, not when somebody looked
        emulator.delete_activity(status["activity_id"])
        gone = (await http.get(f"/api/v3/uploads/{upload['id']}")).json()
        assert (gone["status"], gone["activity_id"]) == ("The created activity has been deleted.", None)
        await http.post("/api/v3/uploads", **form)
        clock.advance(3)
        assert [kind for kind, _, _ in await received(emulator, service)] == ["delete", "create"]


async def test_an_upload_that_ends_as_deleted_is_reported_as_created_and_deleted(emulator, service, clock):
    emulator.end_next_upload("deleted")
    async with connected(emulator) as http:
        await http.post("/api/v3/uploads", data={"data_type": "gpx"}, files={"file": ("a.gpx", GPX.encode())})
        clock.advance(3)
        assert sorted(kind for kind, _, _ in await received(emulator, service)) == ["create", "delete"]
        assert len({event["object_id"] for event in service.told}) == 1


async def test_an_event_has_three_attempts_two_minutes_apart(emulator, service, clock):
    service.answers = [204, OSError(), 500]
    async with connected(emulator):
        emulator.record_activity()
    for _ in range(4):
        await emulator.deliver()
        assert await emulator.deliver() == 0
        clock.advance(119)
        assert await emulator.deliver() == 0
        clock.advance(1)
    assert [(sent.attempt, sent.status_code, sent.at - NOW) for sent in emulator.events] == [
        (1, 204, 0),
        (2, None, 120),
        (3, 500, 240),
    ]
    assert len({sent.body for sent in emulator.events}) == 1


async def test_an_event_that_was_taken_is_not_sent_again(emulator, service, clock):
    service.answers = [503, 200]
    async with connected(emulator):
        emulator.record_activity()
    for _ in range(4):
        await emulator.deliver()
        clock.advance(120)
    assert [sent.status_code for sent in emulator.events] == [503, 200]


async def test_the_gap_between_attempts_can_be_chosen(clock, service):
    emulator = Emulator(clock=clock, years=0.1, callbacks=service, retry_seconds=0)
    service.answers = [500] * 3
    async with connected(emulator):
        emulator.record_activity()
    assert [await emulator.deliver() for _ in range(4)] == [1, 1, 1, 0]


async def test_events_go_out_by_themselves_while_delivering(emulator, service, clock):
    service.answers = [500]
    async with connected(emulator) as http, clock.autojump(), emulator.delivering():
        await http.post("/api/v3/activities", data=MANUAL)
        await http.post("/api/v3/uploads", data={"data_type": "gpx"}, files={"file": ("a.gpx", GPX.encode())})
        while len(emulator.events) < 3:
            await clock.sleep(1)
    assert [(sent.attempt, sent.status_code, sent.at - NOW) for sent in emulator.events] == [
        (1, 500, 0),
        (1, 200, 2),
        (2, 200, 120),
    ]


async def test_delivering_waits_without_looking_at_the_clock(emulator, clock):
    async with connected(emulator), emulator.delivering():
        await anyio.wait_all_tasks_blocked()
        assert clock.sleeping == 0
    assert clock.sleeping == 0


async def test_an_upload_is_settled_while_delivering_though_nobody_asks(emulator, service, clock):
    async with connected(emulator) as http, emulator.delivering():
        await http.post("/api/v3/uploads", data={"data_type": "gpx"}, files={"file": ("a.gpx", GPX.encode())})
        await anyio.wait_all_tasks_blocked()
        assert clock.sleeping == 1
        clock.advance(2)
        await anyio.wait_all_tasks_blocked()
        assert len(service.told) == 1
    assert clock.sleeping == 0


async def test_a_retry_holds_up_no_other_event(emulator, service):
    service.answers = [500]
    async with connected(emulator), emulator.delivering():
        emulator.record_activity()
        await anyio.wait_all_tasks_blocked()
        emulator.record_activity()
        await anyio.wait_all_tasks_blocked()
    assert [(sent.attempt, sent.status_code) for sent in emulator.events] == [(1, 500), (1, 200)]


@pytest.mark.parametrize("background", [True, False])
async def test_a_handful_of_events_are_in_progress_at_a_time(emulator, service, background):
    service.access = anyio.Event()
    async with connected(emulator):
        for number in range(3 * AT_ONCE):
            emulator.post_event({"object_id": number})
        async with emulator.delivering() if background else anyio.create_task_group() as tasks:
            if not background:
                tasks.start_soon(emulator.deliver)
            await anyio.wait_all_tasks_blocked()
            assert service.inside == AT_ONCE
            service.access.set()
            await anyio.wait_all_tasks_blocked()
    assert service.most_inside == AT_ONCE
    assert sorted(event["object_id"] for event in service.told) == list(range(3 * AT_ONCE))


async def test_an_upload_is_settled_even_while_all_places_are_taken(emulator, service, clock):
    service.access = anyio.Event()
    async with connected(emulator) as http:
        await http.post("/api/v3/uploads", data={"data_type": "gpx"}, files={"file": ("a.gpx", GPX.encode())})
        before = len(emulator.world().activities)
        for number in range(2 * AT_ONCE):
            emulator.post_event({"object_id": number})
        async with emulator.delivering():
            await anyio.wait_all_tasks_blocked()
            clock.advance(2)
            await anyio.wait_all_tasks_blocked()
            assert len(emulator.world().activities) == before + 1


@pytest.mark.parametrize("background", [True, False])
async def test_what_is_cut_short_is_sent_again(emulator, service, background):
    service.access = anyio.Event()
    async with connected(emulator):
        for number in range(AT_ONCE + 2):
            emulator.post_event({"object_id": number})
        async with anyio.create_task_group() as tasks:
            if background:
                tasks.start_soon(deliver_in_background, emulator)
            else:
                tasks.start_soon(emulator.deliver)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert len(emulator.events) == 0
        service.access = None
        service.told.clear()
        assert await emulator.deliver() == AT_ONCE + 2
    assert sorted(event["object_id"] for event in service.told) == list(range(AT_ONCE + 2))
    assert {sent.attempt for sent in emulator.events} == {1}


async def deliver_in_background(emulator):
    async with emulator.delivering():
        await anyio.sleep_forever()


async def test_two_who_deliver_send_each_event_once(emulator, service):
    async with connected(emulator), emulator.delivering():
        async with emulator.delivering():
            for number in range(5):
                emulator.post_event({"object_id": number})
            await anyio.wait_all_tasks_blocked()
        emulator.post_event({"object_id": 5})
        await anyio.wait_all_tasks_blocked()
    assert sorted(event["object_id"] for event in service.told) == list(range(6))


async def test_an_error_in_the_block_comes_out_as_it_is(emulator):
    with pytest.raises(ZeroDivisionError):
        async with emulator.delivering():
            raise ZeroDivisionError


async def test_the_events_of_a_deleted_subscription_are_dropped(emulator, service):
    service.answers = [500]
    credentials = {"client_id": emulator.client_id, "client_secret": emulator.client_secret}
    async with connected(emulator) as http:
        emulator.record_activity()
        url = f"/api/v3/push_subscriptions/{emulator.subscription().id}"
        assert (await http.request("DELETE", url, params=credentials)).status_code == 204
        await subscribe(emulator)
        assert await emulator.deliver() == 0
    assert service.told == []


async def test_a_test_can_post_any_event(emulator, service):
    async with connected(emulator):
        forged = {"object_type": "athlete", "subscription_id": 1}
        for event in (forged, forged, b'"odd"'):
            emulator.post_event(event)
        assert await emulator.deliver() == 3
    assert service.told == [forged, forged, "odd"]
    assert [sent.event for sent in emulator.events] == service.told


async def test_an_event_for_nobody_cannot_be_posted(emulator):
    with pytest.raises(ValueError, match="no webhook subscription"):
        emulator.post_event({})


def test_an_outbox_that_is_full_loses_what_is_due_first():
    to = PushSubscription(1, 1, CALLBACK, 0.0)
    outbox = Outbox(limit=2)
    for second, body in ((5.0, b"b"), (3.0, b"a"), (9.0, b"c")):
        outbox.put(PendingEvent(to, body), second)
    assert outbox.take(4.0) is None
    assert outbox.next_due_at == 5.0
    assert [outbox.take(9.0).body, outbox.take(9.0).body, outbox.take(9.0)] == [b"b", b"c", None]
    assert outbox.next_due_at is None


async def test_what_nobody_delivers_does_not_grow_without_bound(emulator):
    async with connected(emulator):
        for _ in range(EVENTS_KEPT + 5):
            emulator.post_event(b"{}")
        assert await emulator.deliver() == EVENTS_KEPT
    assert len(emulator.events) == EVENTS_KEPT


@pytest.mark.parametrize("secret", ["key", None])
async def test_an_event_is_signed_if_there_is_a_secret(clock, secret):
    app = App()
    emulator = Emulator(clock=clock, years=0.1, callbacks={"https://service.test": app}, signing_secret=secret)
    await subscribe(emulator)
    emulator.post_event({"object_id": 1})
    await emulator.deliver()
    (handshake, _), (fields, body) = app.asked
    digest = hmac.new(b"key", f"{NOW}.".encode() + body, hashlib.sha256).hexdigest()
    assert fields.get(b"x-strava-signature") == (f"t={NOW},v1={digest}".encode() if secret else None)
    assert b"x-strava-signature" not in handshake


async def test_a_function_cannot_be_given_a_signature():
    with pytest.raises(ValueError, match="signing_secret"):
        Emulator(callbacks=Service(), signing_secret="key")


async def test_a_recorded_activity_is_as_others_are_and_has_just_ended(emulator, clock):
    number = emulator.record_activity(sport_type="Run", name="Home again")
    newest = emulator.world().activities[-1]
    assert (newest["id"], newest["name"], newest["sport_type"]) == (number, "Home again", "Run")
    ended = datetime.fromisoformat(newest["start_date"]).timestamp() + newest["elapsed_time"]
    assert NOW - 120 <= ended <= NOW
    assert newest["map"]["summary_polyline"]
    assert len(emulator.world().streams(number)["latlng"]["data"]) > 500


async def test_what_is_no_sport_or_no_activity_is_refused(emulator):
    number = emulator.record_activity()
    for wrong in (
        lambda: emulator.record_activity(sport_type="Juggling"),
        lambda: emulator.edit_activity(number, sport_type="Juggling"),
    ):
        with pytest.raises(ValueError, match="Juggling"):
            wrong()
    for wrong in (lambda: emulator.edit_activity(7, name="x"), lambda: emulator.delete_activity(7)):
        with pytest.raises(KeyError, match="unknown activity: 7"):
            wrong()


async def test_an_activity_that_was_always_there_can_be_deleted_too(emulator):
    number = emulator.world().activities[0]["id"]
    emulator.delete_activity(number)
    assert number not in [activity["id"] for activity in emulator.world().activities]


async def test_a_deleted_activity_leaves_nothing_behind(emulator):
    world = emulator.world()
    before = json.dumps([world.activities, world.profile], sort_keys=True)
    number = emulator.record_activity()
    segments = [effort["segment"]["id"] for effort in world.segment_efforts(number)]
    assert segments
    there = world.segments.all()[segments[0]]
    assert number in world.segments.passed_by(there)
    emulator.delete_activity(number)
    assert json.dumps([world.activities, world.profile], sort_keys=True) == before
    emulator.record_activity(sport_type="WeightTraining")  # as many as before
    assert number not in world.segments.passed_by(there)
    with pytest.raises(KeyError):
        world.detail(number)


async def test_a_deleted_activity_is_not_compared_with_others_on_its_course(emulator):
    rides = [emulator.record_activity() for _ in range(6)]
    similar = [emulator.world().detail(ride)["similar_activities"]["effort_count"] for ride in rides]
    assert max(similar) > 1  # some of them went the same way
    for ride in rides[:-1]:
        emulator.delete_activity(ride)
        assert all(emulator.world().detail(activity["id"]) for activity in emulator.world().activities[-6:])


async def test_the_front_page_shows_athletes_and_what_they_are_connected_to(emulator):
    async with browse(emulator) as http:
        assert "Not connected." in (await http.get("/")).text
        emulator.grant()
        page = (await http.get("/")).text
        assert f"Connected to application {emulator.client_id}, which has no webhook subscription." in page
        assert emulator.world().profile["lastname"] in page
        await subscribe(emulator)
        assert "which receives events." in (await http.get("/")).text


async def test_a_name_on_the_front_page_is_text(emulator):
    emulator.world().summary_profile["firstname"] = "<b>O'Neill</b>"
    async with browse(emulator) as http:
        page = (await http.get("/")).text
    assert "&lt;b&gt;O&#x27;Neill&lt;/b&gt;" in page
    assert "<b>" not in page


async def test_the_front_page_shows_what_was_sent(emulator, service):
    async with connected(emulator), browse(emulator) as http:
        assert "None so far." in (await http.get("/")).text
        service.answers = [500, 200]
        emulator.post_event({"object_type": "<b>", "object_id": 7, "updates": {"authorized": "false"}})
        await emulator.deliver()
        emulator.post_event(b'"odd"')
        await emulator.deliver()
        page = (await http.get("/")).text
    assert "&lt;b&gt; 7 {&#x27;authorized&#x27;" in page
    assert f"something else, to application {emulator.client_id}, attempt 1: 200" in page
    assert "attempt 1: 500" in page


async def test_the_front_page_shows_no_secret(emulator):
    await subscribe(emulator, callback_url="https://service.test/unguessable")
    token = emulator.grant()
    async with browse(emulator) as http:
        page = await http.get("/")
        live = await http.get("/emulator/live")
    secrets = (token["access_token"], token["refresh_token"], emulator.client_secret, "unguessable")
    assert not [secret for secret in secrets if secret in page.text + live.text]
    assert re.findall("<script[^>]*>", page.text) == ['<script src="emulator/site.js" defer>']
    policy = page.headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= set(policy)


async def test_the_front_page_confirms_what_was_recorded_and_says_who_is_told(emulator, service):
    athlete_id = emulator.athlete_ids[0]
    async with browse(emulator) as http:
        for told in ("No application receives it", "Its event appears below."):
            reply = await http.post("/emulator/record", data={"athlete_id": athlete_id, "sport_type": "Run"})
            page = (await http.get(f"/emulator/{reply.headers['Location']}")).text
            number = int(reply.headers["Location"].partition("=")[2])
            activity = next(a for a in emulator.world().activities if a["id"] == number)
            length = timedelta(seconds=activity["moving_time"])
            assert f"Recorded: {activity['name']}, {activity['distance'] / 1000:.1f} km, {length}. {told}" in page
            assert "<option selected>Run</option>" in page
            if emulator.subscription() is None:
                await subscribe(emulator)
                emulator.grant()
        for nothing in ("1", "x", "-1", "9" * 30, "<b>", "٣"):
            assert "Recorded:" not in (await http.get("/", params={"recorded": nothing})).text


async def test_who_watches_the_front_page_meets_no_fault_and_is_on_no_record(emulator, service):
    async with connected(emulator), browse(emulator) as http:
        emulator.requests.clear()
        emulator.faults.add(Fault.status(503), times=None)
        before = (await http.get("/emulator/live")).text
        assert "None so far." in before
        emulator.record_activity()
        await emulator.deliver()
        after = await http.get("/emulator/live")
        assert (after.status_code, (await http.get("/emulator/site.js")).status_code) == (200, 200)
        assert re.search(r"<li>\d\d:\d\d:\d\d UTC: activity \d+ create, .*: 200</li>", after.text)
        assert list(emulator.requests) == []
        assert (await http.get("/")).status_code == 503


async def test_an_athlete_records_an_activity_on_the_front_page(emulator, service):
    async with connected(emulator), browse(emulator) as http:
        page = (await http.get("/")).text
        action = re.search(r'action="([^"]*record)"', page)[1]
        form = {"athlete_id": emulator.athlete_ids[0], "sport_type": "Run"}
        reply = await http.post(f"/{action}", data=form)
        assert (reply.status_code, reply.url.join(reply.headers["Location"]).path) == (303, "/")
    newest = emulator.world().activities[-1]
    assert newest["sport_type"] == "Run"
    assert await received(emulator, service) == [("create", newest["id"], {})]


async def test_an_athlete_removes_an_application_on_the_front_page(emulator, service):
    async with connected(emulator), browse(emulator) as http:
        page = (await http.get("/")).text
        action = re.search(r'action="([^"]*disconnect)"', page)[1]
        form = {"athlete_id": emulator.athlete_ids[0], "client_id": emulator.client_id}
        assert (await http.post(f"/{action}", data=form)).status_code == 303
        assert "Not connected." in (await http.get("/")).text
    assert await received(emulator, service) == [("update", emulator.athlete_ids[0], {"authorized": "false"})]


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("record", {}),
        ("record", {"athlete_id": "1"}),
        ("record", {"athlete_id": "x"}),
        ("record", {"sport_type": "Juggling"}),
        ("disconnect", {"client_id": "1"}),
        ("disconnect", {}),
        ("disconnect", {"athlete_id": "1"}),
    ],
)
async def test_a_form_that_does_not_fit_is_refused(emulator, path, form):
    right = {"athlete_id": str(emulator.athlete_ids[0])} if "sport_type" in form or "client_id" in form else {}
    known = {"client_id": str(emulator.client_id)} if "athlete_id" in form else {}
    async with browse(emulator) as http:
        assert (await http.post(f"/emulator/{path}", data={**right, **known, **form})).status_code == 400
    assert not [activity for activity in emulator.world().activities if activity["id"] > 90_000_000_000]
