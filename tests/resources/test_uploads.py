"""``client.uploads``: files sent, and waited for until they are activities."""

import asyncio
import gzip
import json
import logging
from collections.abc import AsyncIterator, Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import httpx2
import pytest
from httpx_aiohttp import AiohttpTransport
from python_multipart.multipart import FormParser, parse_options_header

from strava_async import (
    ApiV3,
    Client,
    DuplicateUploadError,
    ForbiddenError,
    InputError,
    MissingScopeError,
    NotFoundError,
    QuotaExceededError,
    RateLimiter,
    ServerError,
    TransportError,
    UploadError,
)
from strava_async._http.pool import SingleConnectionPools
from strava_async.errors import UploadTimeoutError
from strava_async.models import read_one
from strava_async.models.upload import Upload
from strava_async.testing import Emulator, FakeClock, Fault, MeterLimits, serve

BASE = "https://strava.test"
ROOMY = MeterLimits(10_000, 100_000, 10_000, 100_000)
FIT = b"\x0e\x10\xd9\x07\x05\x00\x00\x00.FIT\x00\x00"
DELETED = {"id": 5, "status": "The created activity has been deleted.", "error": None, "activity_id": None}
PROCESSING = {"id": 5, "status": "Your activity is still being processed.", "error": None, "activity_id": None}


def fit(number: int = 0, size: int = 100) -> bytes:
    """Return a file that is unlike those of other numbers."""
    return FIT + number.to_bytes(4, "big") * (size // 4)


def short_gpx(number: int) -> bytes:
    """Return a file that is unlike those of other numbers, and quickly made an activity."""
    points = "".join(
        f'<trkpt lat="47.{number:04}" lon="8.5"><time>2026-01-05T11:00:0{second}Z</time></trkpt>' for second in range(2)
    )
    return f"<gpx><trk><trkseg>{points}</trkseg></trk></gpx>".encode()


class Service:
    """An emulator, and an athlete's client of it."""

    def __init__(self, limits: MeterLimits = ROOMY, *, transport: Any = None, **settings: Any) -> None:
        self.clock = FakeClock()
        self.emulator = Emulator(clock=self.clock, limits=limits, years=0.1, **settings)
        self.http_client = httpx.AsyncClient(transport=transport or httpx.ASGITransport(app=self.emulator.app))
        self.limiter = RateLimiter(clock=self.clock, random=lambda: 0.5)
        self.client = self.athlete()

    def athlete(
        self, *, scope: tuple[str, ...] = ("read", "activity:read_all", "activity:write"), **how: Any
    ) -> Client:
        granted = self.emulator.grant(scope=scope)
        api = ApiV3(
            granted["access_token"],
            self.http_client,
            self.limiter,
            refresh_token=granted["refresh_token"],
            client_id=self.emulator.client_id,
            client_secret=self.emulator.client_secret,
            api_url=f"{BASE}/api/v3",
            oauth_url=f"{BASE}/oauth",
            **how,
        )
        return Client(api)

    def looks(self) -> int:
        return self.emulator.count("GET", "/uploads/*")


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    made = Service()
    async with made.http_client:
        yield made


class Post:
    """A request as it arrived."""

    def __init__(self, request: httpx.Request, body: bytes) -> None:
        self.body = body
        self.timeout = request.extensions["timeout"]
        self.bearer = request.headers["Authorization"]
        self.fields: dict[str, str] = {}
        self.file = ("", b"")
        _, options = parse_options_header(request.headers["Content-Type"])
        parser = FormParser(
            "multipart/form-data",
            self._field,
            self._file,
            boundary=options[b"boundary"],
            config={"MAX_MEMORY_FILE_SIZE": 1e9},
        )
        parser.write(body)
        parser.finalize()

    def _field(self, field: Any) -> None:
        self.fields[field.field_name.decode()] = field.value.decode()

    def _file(self, file: Any) -> None:
        file.file_object.seek(0)
        self.file = (file.file_name.decode(), file.file_object.read())


class Strava(httpx.AsyncBaseTransport):
    """Returns the given responses, and records the requests."""

    def __init__(self, *answers: httpx.Response | dict[str, Any]) -> None:
        self.answers = list(answers)
        self.posts: list[Post] = []
        self.chunks: list[int] = []
        self.clock = FakeClock()
        self.api = ApiV3(
            "t0ken",
            httpx.AsyncClient(transport=self),
            RateLimiter(clock=self.clock, random=lambda: 0.5),
            refresh_token="r3fresh",
            client_id=1,
            client_secret="s3cret",
            api_url=f"{BASE}/api/v3",
            oauth_url=f"{BASE}/oauth",
        )
        self.uploads = Client(self.api).uploads

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/uploads"):
            assert isinstance(request.stream, httpx.AsyncByteStream)
            pieces = [piece async for piece in request.stream]
            self.chunks += map(len, pieces)
            self.posts.append(Post(request, b"".join(pieces)))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer if isinstance(answer, httpx.Response) else httpx.Response(201, json=answer)


# --- create ---


@pytest.mark.anyio
async def test_a_file_becomes_an_activity(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "Lunch.FIT"
    path.write_bytes(fit())
    upload = await service.client.uploads.create(
        path, sport_type="GravelRide", name="Loop", description="d", commute=True, external_id="42"
    )
    assert (upload.state, upload.activity_id) == ("processing", None)
    async with service.clock.autojump():
        done = await service.client.uploads.wait(upload)
    assert (done.id, done.state, done.external_id) == (upload.id, "ready", "42.fit")
    activity = await service.client.activities.get(done.activity_id or 0)
    assert (activity.name, activity.sport_type, activity.description) == ("Loop", "GravelRide", "d")
    assert (activity.commute, activity.trainer) == (True, False)


@pytest.mark.anyio
async def test_what_is_not_given_is_not_sent_and_truth_is_one_or_zero() -> None:
    strava = Strava(PROCESSING)
    await strava.uploads.create(fit(), data_type="FIT")
    await strava.uploads.create(fit(), data_type="fit", trainer=True, commute=False, name="")
    assert [post.fields for post in strava.posts] == [
        {"data_type": "fit"},
        {"data_type": "fit", "trainer": "1", "commute": "0", "name": ""},
    ]
    assert strava.posts[0].file == ("upload.fit", fit())


@pytest.mark.anyio
async def test_packing_on_the_way_declares_itself() -> None:
    strava = Strava(PROCESSING)
    await strava.uploads.create(fit(size=5000), data_type="fit", gzip=True)
    name, content = strava.posts[0].file
    assert (strava.posts[0].fields, name) == ({"data_type": "fit.gz"}, "upload.fit.gz")
    assert gzip.decompress(content) == fit(size=5000)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "name",
    [
        'a"; name="data_type.fit',
        "a\r\nX-Evil: 1\r\n\r\n.fit",
        "Zürich–山🚴.fit",
        "a\\b.fit",
        "half\ud800.fit",
        "%00.fit",
    ],
)
async def test_no_name_changes_the_shape_of_the_body(name: str) -> None:
    strava = Strava(PROCESSING)
    await strava.uploads.create(fit(), filename=name)
    post = strava.posts[0]
    assert (post.fields, post.file[1]) == ({"data_type": "fit"}, fit())
    assert post.file[0].endswith(".fit")
    assert b"\r\nX-Evil" not in post.body


@pytest.mark.anyio
async def test_a_name_in_any_script_arrives(service: Service) -> None:
    async with service.clock.autojump():
        done = await service.client.uploads.wait(await service.client.uploads.create(fit(), filename="Zürich–山🚴.fit"))
    assert done.external_id == "Zürich–山🚴.fit"


@pytest.mark.anyio
async def test_an_upload_spends_the_overall_meters_alone(service: Service) -> None:
    await service.client.uploads.create(fit(), data_type="fit")
    usage = service.emulator.meters_of().usage(service.clock.time())
    assert (usage["overall_day"], usage["read_day"]) == (1, 0)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("fault", "error"),
    [(Fault.lost(), TransportError), (Fault.server_error(), ServerError), (Fault.truncated(), Exception)],
)
async def test_an_upload_whose_fate_is_unknown_is_not_sent_again(
    service: Service, fault: Fault, error: type[Exception]
) -> None:
    service.emulator.faults.add(fault, path="/uploads")
    with pytest.raises(error):
        await service.client.uploads.create(fit(), data_type="fit")
    assert service.emulator.count("POST", "/uploads") == 1


@pytest.mark.anyio
async def test_an_upload_that_never_left_is_sent_again(service: Service) -> None:
    service.emulator.faults.add(Fault.refused(), path="/uploads")
    told: list[int] = []
    async with service.clock.autojump():
        await service.client.uploads.create(fit(), data_type="fit", progress=lambda sent, _: told.append(sent))
    assert told[-1] == len(fit())


@pytest.mark.anyio
async def test_a_token_that_expired_meanwhile_is_renewed_and_the_same_body_sent_again() -> None:
    expired = {
        "message": "Authorization Error",
        "errors": [{"resource": "Athlete", "field": "access_token", "code": "invalid"}],
    }
    fresh = {"access_token": "fr3sh", "refresh_token": "r2", "expires_at": 1_767_800_000, "expires_in": 21_600}
    strava = Strava(httpx.Response(401, json=expired), httpx.Response(200, json=fresh), PROCESSING)
    content, told = fit(size=200_000), list[int]()
    upload = await strava.uploads.create(content, data_type="fit", progress=lambda sent, total: told.append(sent))
    assert upload.id == 5
    assert [post.bearer for post in strava.posts] == ["Bearer t0ken", "Bearer fr3sh"]
    assert [post.file for post in strava.posts] == [("upload.fit", content)] * 2
    assert told == [0, 65_536, 131_072, 196_608, len(content)] * 2


@pytest.mark.anyio
async def test_a_refusal_for_want_of_quota_is_followed_by_the_same_body(service: Service) -> None:
    service.emulator.faults.add(Fault.rate_limited(), path="/uploads")
    async with service.clock.autojump():
        upload = await service.client.uploads.create(fit(), data_type="fit")
        assert (await service.client.uploads.wait(upload)).state == "ready"
    assert service.emulator.count("POST", "/uploads") == 2


@pytest.mark.anyio
async def test_a_file_refused_at_once_is_an_upload_error(service: Service) -> None:
    with pytest.raises(UploadError, match="not a FIT file"):
        await service.client.uploads.create(b"x" * 50, data_type="fit")


@pytest.mark.anyio
async def test_a_duplicate_may_be_reported_at_once() -> None:
    refusal = {
        "id": 7,
        "error": "a.fit duplicate of <a href='/activities/99'>Loop</a>",
        "status": "There was an error.",
    }
    with pytest.raises(DuplicateUploadError) as caught:
        await Strava(httpx.Response(400, json=refusal)).uploads.create(fit(), data_type="fit")
    assert (caught.value.activity_id, caught.value.upload_id, caught.value.error) == (99, 7, "a.fit duplicate of Loop")


@pytest.mark.anyio
async def test_a_server_error_that_says_error_says_nothing_of_the_file() -> None:
    with pytest.raises(ServerError):
        await Strava(httpx.Response(500, json={"status": 500, "error": "Internal Server Error"})).uploads.create(
            fit(), data_type="fit"
        )


@pytest.mark.anyio
async def test_without_the_scope_an_upload_is_refused(service: Service) -> None:
    with pytest.raises(MissingScopeError):
        await service.athlete(scope=("read",)).uploads.create(fit(), data_type="fit")


@pytest.mark.anyio
async def test_of_a_file_that_cannot_be_read_to_its_end_nothing_is_sent(service: Service, tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield fit(size=500_000)
        raise ConnectionResetError("the source hung up")

    for source in (broken(), tmp_path / "none.fit", tmp_path, b""):
        with pytest.raises(InputError):
            await service.client.uploads.create(source, data_type="fit")
    assert service.emulator.count() == 0
    assert service.limiter.quota.overall_day.reserved == 0


@pytest.mark.anyio
async def test_a_body_goes_out_in_pieces_each_with_time_enough() -> None:
    # A timeout bounds one write. In one piece, a large file on a slow line would need more than any sensible one.
    strava = Strava(PROCESSING)
    await strava.uploads.create(fit(size=300_000), data_type="fit")
    await strava.uploads.create(fit(), data_type="fit", timeout=7.0)
    assert max(strava.chunks) <= 65_536
    assert [post.timeout["write"] for post in strava.posts] == [120.0, 7.0]
    with pytest.raises(InputError):
        await strava.uploads.create(fit(), data_type="fit", timeout=-1)


@pytest.mark.anyio
@pytest.mark.parametrize(("seconds", "used"), [(30.0, 120.0), (600.0, 600.0)])
async def test_a_client_that_is_more_patient_is_so_with_uploads_too(seconds: float, used: float) -> None:
    strava = Strava(PROCESSING)
    await Client(strava.api.with_options(timeout=seconds)).uploads.create(fit(), data_type="fit")
    assert strava.posts[0].timeout["write"] == used


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["trainer", "commute"])
@pytest.mark.parametrize("value", [1, "false"])
async def test_what_is_neither_true_nor_false_is_refused(service: Service, name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"{name} must be True or False"):
        await service.client.uploads.create(fit(), data_type="fit", **{name: value})
    assert service.emulator.count() == 0


@pytest.mark.anyio
async def test_an_upload_can_be_cancelled_in_every_place(service: Service) -> None:
    service.emulator.faults.add(Fault.latency(1_000), path="/uploads", times=1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(service.client.uploads.create, fit(), data_type="fit"))
        await sleepers(service.clock, 1)
        tasks.cancel_scope.cancel()
    assert service.clock.sleeping == 0
    assert service.limiter.quota.overall_day.reserved == 0
    async with service.clock.autojump():
        upload = await service.client.uploads.create(fit(), data_type="fit")
        assert (await service.client.uploads.wait(upload)).state == "ready"


@pytest.mark.anyio
async def test_cancelling_while_the_file_is_read_sends_nothing(service: Service) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await service.clock.sleep(1)

    async with anyio.create_task_group() as tasks:
        source = endless()
        tasks.start_soon(partial(service.client.uploads.create, source, data_type="fit"))
        await sleepers(service.clock, 1)
        tasks.cancel_scope.cancel()
    assert service.emulator.count() == 0


@pytest.mark.anyio
async def test_an_async_progress_is_refused_before_the_file_is_read(service: Service) -> None:
    async def progress(sent: int, total: int) -> None: ...

    with pytest.raises(InputError, match="plain function"):
        await service.client.uploads.create("none.fit", progress=progress)


@pytest.mark.anyio
async def test_nothing_that_is_said_holds_a_secret(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    token = service.client.api.access_token or ""
    echo = {"id": None, "error": f"the token {token} is fine, the file is not", "status": "There was an error."}
    service.emulator.faults.add(Fault.status(400, echo), path="/uploads")

    def progress(sent: int, total: int) -> None:
        raise RuntimeError("no")

    with caplog.at_level(logging.DEBUG), pytest.raises(UploadError, match="the file is not") as caught:
        await service.client.uploads.create(fit(), data_type="fit", progress=progress)
    assert token
    assert token not in f"{caught.value!r} {caught.value.error} {caplog.text}"


def own() -> None:
    """aiohttp, for the extra ``fast`` is installed here."""


def over_our_pools() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=SingleConnectionPools(httpx.AsyncHTTPTransport))


def over_aiohttp() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=AiohttpTransport())


@pytest.mark.asyncio
@pytest.mark.parametrize("http_client", [own, over_our_pools, over_aiohttp, httpx.AsyncClient, httpx2.AsyncClient])
async def test_progress_over_a_socket_counts_up_to_the_end_on_each_transport(http_client: Callable[[], Any]) -> None:
    emulator = Emulator(years=0.1, upload_seconds=0)
    content, told = fit(size=5_000_000), list[tuple[int, int]]()
    client = http_client()
    async with serve(emulator) as url:
        granted = emulator.grant()
        arguments: Any = {"api_url": f"{url}/api/v3", "oauth_url": f"{url}/oauth"}
        async with ApiV3(
            "expired",
            client,
            refresh_token=granted["refresh_token"],
            client_id=emulator.client_id,
            client_secret=emulator.client_secret,
            **arguments,
        ) as api:
            uploads = Client(api).uploads
            upload = await uploads.create(
                content, data_type="fit", progress=lambda sent, total: told.append((sent, total))
            )
            assert (await uploads.get(upload.id or 0)).state == "ready"
            again = await uploads.get((await uploads.create(content, data_type="fit")).id or 0)
        if client is not None:
            await client.aclose()
    assert "duplicate" in (again.error or "")  # so it arrived whole, both times
    sent = [before for before, _ in told]
    restart = sent.index(0, 1)  # after the 401
    assert {total for _, total in told} == {len(content)}
    assert sent[:restart] == sorted(set(sent[:restart]))
    assert sent[restart:] == sorted(set(sent[restart:]))
    assert sent[restart:][-1] == len(content)
    assert len(sent[restart:]) > 50


@pytest.mark.asyncio
@pytest.mark.parametrize("http_client", [own, over_our_pools, httpx.AsyncClient, httpx2.AsyncClient])
async def test_progress_that_fails_spoils_no_upload_on_any_transport(http_client: Callable[[], Any]) -> None:
    emulator = Emulator(years=0.1, upload_seconds=0)
    client = http_client()

    def progress(sent: int, total: int) -> None:
        if sent > 100_000:
            raise BrokenPipeError("no terminal")

    async with serve(emulator) as url:
        async with ApiV3(emulator.grant()["access_token"], client, api_url=f"{url}/api/v3") as api:
            upload = await Client(api).uploads.create(fit(size=1_000_000), data_type="fit", progress=progress)
            assert (await Client(api).uploads.get(upload.id or 0)).state == "ready"
        if client is not None:
            await client.aclose()
    assert emulator.count("POST", "/uploads") == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("http_client", [own, over_our_pools, httpx.AsyncClient, httpx2.AsyncClient])
async def test_cancelling_amid_the_body_leaves_no_upload(http_client: Callable[[], Any]) -> None:
    emulator = Emulator(years=0.1, upload_seconds=0)
    client = http_client()
    async with serve(emulator) as url:
        async with ApiV3(emulator.grant()["access_token"], client, api_url=f"{url}/api/v3") as api:
            with anyio.CancelScope() as scope:
                await Client(api).uploads.create(
                    fit(size=5_000_000),
                    data_type="fit",
                    progress=lambda sent, _: scope.cancel() if sent > 1e6 else None,
                )
            assert scope.cancelled_caught
            assert (await Client(api).athlete.get()).id == emulator.athlete_ids[0]
        if client is not None:
            await client.aclose()
        await asyncio.sleep(0)
    assert not [served for served in emulator.requests if served.status_code == 201]


# --- wait ---


def gaps(service: Service) -> list[float]:
    """Return the seconds from the upload to the first look, from that to the second, and so on."""
    at = [served.at for served in service.emulator.requests if "/uploads" in served.path]
    return [round(after - before, 3) for before, after in pairwise(at)]


@pytest.mark.anyio
async def test_looks_come_after_a_second_and_then_ever_more_rarely() -> None:
    service = Service(upload_seconds=60)
    async with service.clock.autojump():
        await service.client.uploads.wait(await service.client.uploads.create(fit(), data_type="fit"))
    assert gaps(service) == [1, 1.5, 2.25, 3.375, 5.062, 7.594, 10, 10, 10, 10]


@pytest.mark.anyio
async def test_an_upload_can_be_waited_for_by_its_id(service: Service) -> None:
    upload = await service.client.uploads.create(fit(), data_type="fit")
    async with service.clock.autojump():
        done = await service.athlete().uploads.wait(upload.id or 0)
    assert (done.id, done.state) == (upload.id, "ready")


@pytest.mark.anyio
async def test_what_is_finished_already_costs_nothing(service: Service) -> None:
    ready = Upload(id=5, status="Your activity is ready.", activity_id=7)
    assert await service.client.uploads.wait(ready) is ready
    with pytest.raises(UploadError, match="malformed"):
        await service.client.uploads.wait(Upload(id=5, error="The file is malformed."))
    assert service.emulator.count() == 0


@pytest.mark.anyio
async def test_a_file_that_fails_in_processing_is_an_upload_error(service: Service) -> None:
    upload = await service.client.uploads.create(b"<gpx/>", data_type="gpx")
    async with service.clock.autojump():
        with pytest.raises(UploadError) as caught:
            await service.client.uploads.wait(upload)
    assert (caught.value.error, caught.value.upload_id) == ("The file has no records.", upload.id)
    assert type(caught.value) is UploadError
    seen = await service.client.uploads.get(upload.id or 0)
    assert (seen.state, seen.error) == ("error", "The file has no records.")


@pytest.mark.anyio
@pytest.mark.parametrize("as_html", [True, False])
async def test_the_same_file_again_names_the_activity_that_exists(service: Service, as_html: bool) -> None:
    service.emulator.quirks.html_in_upload_errors = as_html
    uploads = service.client.uploads
    async with service.clock.autojump():
        first = await uploads.wait(await uploads.create(fit(), data_type="fit", name="A <b>bold</b> & long ride"))
        again = await uploads.create(fit(), filename="duplicate of activity 1.fit")
        with pytest.raises(DuplicateUploadError) as caught:
            await uploads.wait(again)
    assert (caught.value.activity_id, caught.value.upload_id) == (first.activity_id, again.id)
    assert "<" not in caught.value.error


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (DELETED, "deleted"),
        ({**DELETED, "activity_id": 7}, "deleted"),
        ({**PROCESSING, "error": "<b>Bad</b> &amp; broken", "activity_id": 7}, "Bad & broken"),
        ({**PROCESSING, "status": "There was an error processing your activity."}, "There was an error"),
        ({**PROCESSING, "error": {"odd": 1}}, "odd"),
    ],
)
async def test_an_upload_that_comes_to_nothing_is_an_error(answer: dict[str, Any], told: str) -> None:
    strava = Strava(answer)
    async with strava.clock.autojump():
        with pytest.raises(UploadError, match=told) as caught:
            await strava.uploads.wait(5)
    assert caught.value.upload_id == 5


@pytest.mark.anyio
@pytest.mark.parametrize(
    "answer",
    [
        PROCESSING,
        {**PROCESSING, "status": "Patience."},
        {**PROCESSING, "status": None},
        {**PROCESSING, "status": 5},
        {**PROCESSING, "status": "Your activity is ready."},
        {**PROCESSING, "activity_id": 0},
        {**PROCESSING, "activity_id": -7},
        {**PROCESSING, "activity_id": True},
        {**PROCESSING, "activity_id": "soon", "status": "Your activity is ready."},
        {**PROCESSING, "error": ""},
        {**PROCESSING, "error": " <br/> "},
        {},
        httpx.Response(200, json=[]),
        httpx.Response(200, content=b"null"),
    ],
)
async def test_what_does_not_tell_is_waited_for_until_it_does(answer: Any) -> None:
    strava = Strava(answer, answer, {**PROCESSING, "activity_id": 7})
    async with strava.clock.autojump():
        assert (await strava.uploads.wait(5)).activity_id == 7


@pytest.mark.anyio
async def test_the_wait_ends_at_its_deadline_and_can_be_resumed() -> None:
    service = Service(upload_seconds=400)
    upload = await service.client.uploads.create(fit(), data_type="fit")
    async with service.clock.autojump():
        begun = service.clock.monotonic()
        with pytest.raises(UploadTimeoutError, match="wait for it again by its id") as caught:
            await service.client.uploads.wait(upload)
        assert service.clock.monotonic() - begun == 300
        assert caught.value.upload_id == upload.id
        assert (await service.client.uploads.wait(caught.value.upload_id or 0)).state == "ready"
    assert min(gaps(service)) >= 1


@pytest.mark.anyio
@pytest.mark.parametrize(("seconds", "looks"), [(1.0, 1), (1.9, 1), (2.5, 2), (0.5, 0), (0, 0), (-5, 0)])
async def test_a_short_wait_never_looks_more_than_once_a_second(seconds: float, looks: int) -> None:
    service = Service(upload_seconds=1_000)
    upload = await service.client.uploads.create(fit(), data_type="fit")
    async with service.clock.autojump():
        begun = service.clock.monotonic()
        with pytest.raises(UploadTimeoutError):
            await service.client.uploads.wait(upload, timeout=seconds)
        assert service.clock.monotonic() - begun <= max(seconds, 0)
    assert service.looks() == looks


@pytest.mark.anyio
async def test_the_wait_may_have_no_end() -> None:
    service = Service(upload_seconds=1_000)
    upload = await service.client.uploads.create(fit(), data_type="fit")
    async with service.clock.autojump():
        assert (await service.client.uploads.wait(upload, timeout=float("inf"))).state == "ready"


@pytest.mark.anyio
async def test_what_cannot_be_waited_for_is_refused(service: Service) -> None:
    with pytest.raises(InputError, match="number of seconds"):
        await service.client.uploads.wait(5, timeout=float("nan"))
    wrong: Any = "300"
    with pytest.raises(InputError, match="number of seconds"):
        await service.client.uploads.wait(5, timeout=wrong)
    for upload in (Upload(), True):
        with pytest.raises(InputError, match="no id"):
            await service.client.uploads.wait(upload)
    async with service.clock.autojump():
        with pytest.raises(NotFoundError):
            await service.client.uploads.wait(5)


@pytest.mark.parametrize(
    ("error", "status", "activity_id", "state"),
    [
        ("bad", "The created activity has been deleted.", 7, "error"),
        (None, "The created activity has been deleted.", 7, "deleted"),
        (" ", "Your activity is still being processed.", 7, "ready"),
        (None, "There was an error processing your activity.", 7, "ready"),
        ("", "There was an error processing your activity.", None, "error"),
        (None, "Your activity is ready.", None, "ready"),
        (None, "Your activity is still being processed.", 0, "processing"),
    ],
)
def test_an_error_counts_more_than_a_deletion_and_that_more_than_an_activity(
    error: str | None, status: str, activity_id: int | None, state: str
) -> None:
    assert Upload(error=error, status=status, activity_id=activity_id).state == state


EMPTY = {"resource": "Upload", "field": "data", "code": "empty"}
DUPLICATE = "a.fit duplicate of <a href='/activities/42' target='_blank'>Ride</a>"


@pytest.mark.parametrize(
    ("errors", "text"),
    [
        ([EMPTY], "Upload data empty"),
        ([EMPTY, {**EMPTY, "field": None}], "Upload data empty; Upload empty"),
        (EMPTY, "Upload data empty"),
        ("malformed", "malformed"),
        (["malformed", "", "<b>late</b>"], "malformed; late"),
        ({"file": ["is malformed"]}, '{"file": ["is malformed"]}'),
        ([EMPTY | {"code": 5}], '{"resource": "Upload", "field": "data", "code": 5}'),
        (True, "true"),
        ([], None),
        ({}, None),
        ("", None),
        ([{}, ""], None),
        (False, None),
        (None, None),
    ],
)
def test_errors_in_the_shape_of_a_fault_are_an_error(errors: Any, text: str | None) -> None:
    def read(**fields: Any) -> Upload:
        return read_one(Upload, json.dumps({"id": 5, "errors": errors, **fields}).encode())

    assert (read().state, read().error_text) == ("error" if text else "processing", text)
    assert read(error="this first").error_text == "this first"
    assert read(error=" ", activity_id=7).state == ("error" if text else "ready")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        ({"message": "Bad Request", "errors": [EMPTY]}, UploadError, "Upload data empty"),
        ({**PROCESSING, "errors": [EMPTY]}, UploadError, "Upload data empty"),
        ({**PROCESSING, "error": {"code": 1}}, UploadError, "{'code': 1}"),
        ({**PROCESSING, "errors": [DUPLICATE]}, DuplicateUploadError, "a.fit duplicate of Ride"),
    ],
)
async def test_an_upload_with_errors_is_not_looked_at_again(answer: Any, kind: type[UploadError], text: str) -> None:
    strava = Strava(PROCESSING, answer)
    began = strava.clock.monotonic()
    async with strava.clock.autojump():
        with pytest.raises(UploadError) as caught:
            await strava.uploads.wait(5)
    assert (type(caught.value), caught.value.error) == (kind, text)
    assert strava.clock.monotonic() - began == 2.5  # two looks


@pytest.mark.anyio
@pytest.mark.parametrize("fault", [Fault.server_error(), Fault.lost(), Fault.rate_limited(), Fault.truncated()])
async def test_looks_that_fail_come_no_faster_than_others_and_tell_nothing(service: Service, fault: Fault) -> None:
    upload = await service.client.uploads.create(fit(), data_type="fit")
    service.emulator.faults.add(fault, path="/uploads/*", times=3)
    async with service.clock.autojump():
        assert (await service.client.uploads.wait(upload, timeout=10_000)).state == "ready"
    assert service.looks() == 4
    assert min(gaps(service)) >= 1


@pytest.mark.anyio
async def test_failures_are_counted_in_a_row() -> None:
    busy = httpx.Response(503)
    strava = Strava(*[busy] * 4, PROCESSING, *[busy] * 4, {**PROCESSING, "activity_id": 7})
    async with strava.clock.autojump():
        assert (await strava.uploads.wait(5)).activity_id == 7


@pytest.mark.anyio
async def test_a_wait_that_ends_amid_failures_tells_the_last_one() -> None:
    strava = Strava(httpx.Response(503))
    async with strava.clock.autojump():
        with pytest.raises(UploadTimeoutError) as caught:
            await strava.uploads.wait(5, timeout=3)
    assert isinstance(caught.value.__cause__, ServerError)


@pytest.mark.anyio
async def test_a_refusal_to_look_is_raised_at_once() -> None:
    strava = Strava(httpx.Response(403), PROCESSING)
    async with strava.clock.autojump():
        with pytest.raises(ForbiddenError):
            await strava.uploads.wait(5)
    assert len(strava.answers) == 1  # one look was made, and no second


@pytest.mark.anyio
async def test_a_look_does_not_queue_beyond_the_end_of_the_wait() -> None:
    service = Service(MeterLimits(200, 2_000, 100, 1_000))
    upload = await service.client.uploads.create(fit(), data_type="fit")
    async with service.clock.autojump():
        for _ in range(100):
            await service.client.api.get("/athlete")
        with pytest.raises(QuotaExceededError) as caught:
            await service.client.api.with_options(max_wait=0).get("/athlete")
        # The quota comes back half a second after the end: sooner than the whole timeout, counted from the look on.
        with pytest.raises(UploadTimeoutError):
            await service.client.uploads.wait(upload, timeout=caught.value.wait_seconds - 0.5)
    assert service.looks() == 0


@pytest.mark.anyio
async def test_the_fifth_look_in_a_row_that_fails_is_reported_and_the_wait_can_be_resumed(service: Service) -> None:
    upload = await service.client.uploads.create(fit(), data_type="fit")
    service.emulator.faults.add(Fault.lost(), path="/uploads/*", times=5)
    async with service.clock.autojump():
        with pytest.raises(TransportError):
            await service.client.uploads.wait(upload)
        assert service.looks() == 5
        assert (await service.client.uploads.wait(upload.id or 0)).state == "ready"


@pytest.mark.anyio
async def test_a_look_that_finds_no_quota_in_time_ends_the_wait_at_once() -> None:
    service = Service(MeterLimits(200, 2_000, 100, 1_000))
    upload = await service.client.uploads.create(fit(), data_type="fit")
    async with service.clock.autojump():
        for _ in range(100):
            await service.client.api.get("/athlete")
        begun = service.clock.monotonic()
        with pytest.raises(UploadTimeoutError) as caught:
            await service.client.uploads.wait(upload)
        assert service.clock.monotonic() - begun == 1
        assert isinstance(caught.value.__cause__, QuotaExceededError)
        assert service.looks() == 0
        assert (await service.client.uploads.wait(upload, timeout=1_000)).state == "ready"


@pytest.mark.anyio
async def test_the_timeout_of_the_wait_takes_the_place_of_max_wait() -> None:
    service = Service(MeterLimits(200, 2_000, 100, 1_000))
    hasty = service.athlete(max_wait=5)
    upload = await hasty.uploads.create(fit(), data_type="fit")
    async with service.clock.autojump():
        for _ in range(100):
            await hasty.api.get("/athlete")
        with pytest.raises(QuotaExceededError):
            await hasty.uploads.get(upload.id or 0)
        assert (await hasty.uploads.wait(upload, timeout=1_000)).state == "ready"


@pytest.mark.anyio
async def test_a_thousand_waits_at_once_stay_within_the_quota() -> None:
    service = Service(MeterLimits(2_000, 20_000, 600, 3_000), upload_seconds=30)
    ended: list[str] = []

    async def upload(number: int) -> None:
        made = await service.client.uploads.create(short_gpx(number), data_type="gpx")
        try:
            ended.append((await service.client.uploads.wait(made, timeout=3_600)).state)
        except UploadTimeoutError:
            ended.append("timeout")

    async with service.clock.autojump(), anyio.create_task_group() as tasks:
        begun = service.clock.monotonic()
        for number in range(1_000):
            tasks.start_soon(upload, number)
    assert ended == ["ready"] * 1_000
    assert not [served for served in service.emulator.requests if served.status_code == 429]
    assert service.looks() <= 8_000
    assert service.clock.monotonic() - begun <= 3_600
    assert service.limiter.quota.read_day.reserved == 0


@pytest.mark.anyio
@pytest.mark.parametrize("where", ["in the pause", "in the look", "in the queue"])
async def test_a_cancelled_wait_leaves_nothing_behind(where: str) -> None:
    service = Service(MeterLimits(200, 2_000, 1, 1_000) if where == "in the queue" else ROOMY)
    upload = await service.client.uploads.create(fit(), data_type="fit")
    if where == "in the look":
        service.emulator.faults.add(Fault.latency(500), path="/uploads/*", times=1)
    if where == "in the queue":
        await service.client.api.get("/athlete")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(service.client.uploads.wait, upload, timeout=10_000))
        await sleepers(service.clock, 1)
        if where != "in the pause":
            service.clock.advance(1)
            await sleepers(service.clock, 1)
        tasks.cancel_scope.cancel()
    assert service.clock.sleeping == 0
    assert service.limiter.quota.read_day.reserved == 0
    async with service.clock.autojump():
        assert (await service.client.uploads.wait(upload, timeout=10_000)).state == "ready"


async def sleepers(clock: FakeClock, count: int) -> None:
    """Let the tasks go on until so many sleep."""
    for _ in range(20):
        await anyio.lowlevel.checkpoint()
    while clock.sleeping != count:
        await anyio.lowlevel.checkpoint()
