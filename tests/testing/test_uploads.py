"""Uploads to the emulator: accepted, processed, refused."""

import gzip
import json

import anyio
import httpx
import pytest

from strava_async.testing import Emulator, FakeClock, MeterLimits
from tests.testing.event_loops import each_loop

pytestmark = pytest.mark.anyio
anyio_backend = each_loop

PROCESSING = "Your activity is still being processed."
READY = "Your activity is ready."
FAILED = "There was an error processing your activity."
DELETED = "The created activity has been deleted."


def gpx(name="Lunch <b>Run</b> & more", *, points=60, day=5, extra="", time=True):
    stamp = "<time>2026-01-{day:02}T11:{:02}:{:02}Z</time>"
    rows = "".join(
        f'<trkpt lat="{47 + 0.0001 * n}" lon="8.5"><ele>{400 + n}</ele>'
        + (stamp.format(n // 6, 10 * (n % 6), day=day) if time else "")
        + "<extensions><gpxtpx:TrackPointExtension><gpxtpx:hr>150</gpxtpx:hr><gpxtpx:cad>80</gpxtpx:cad>"
        "</gpxtpx:TrackPointExtension></extensions></trkpt>"
        for n in range(points)
    )
    title = name.replace("&", "&amp;").replace("<", "&lt;")
    return (
        '<?xml version="1.0" encoding="UTF-8"?>' + extra + '<gpx xmlns="http://www.topografix.com/GPX/1/1" '
        'xmlns:gpxtpx="http://www.garmin.com/xmlschemas/TrackPointExtension/v1">'
        f"<trk><name>{title}</name><type>running</type><trkseg>{rows}</trkseg></trk></gpx>"
    ).encode()


TCX = (
    b'<TrainingCenterDatabase xmlns="x"><Activities><Activity Sport="Biking"><Id>2026-01-04T08:00:00Z</Id><Lap><Track>'
    + b"".join(
        f"<Trackpoint><Time>2026-01-04T08:00:{n:02}Z</Time><Position><LatitudeDegrees>47.{n:04}</LatitudeDegrees>"
        f"<LongitudeDegrees>8.5</LongitudeDegrees></Position><DistanceMeters>{8 * n}</DistanceMeters>"
        f"<HeartRateBpm><Value>140</Value></HeartRateBpm></Trackpoint>".encode()
        for n in range(60)
    )
    + b"</Track></Lap></Activity></Activities></TrainingCenterDatabase>"
)
FIT = b"\x0e\x10\xd9\x07\x05\x00\x00\x00.FIT\x00\x00" + b"data" * 4
STRENGTH = {
    "version": "1.0",
    "start_time": "2026-01-03T18:00:00Z",
    "utc_offset": 3600,
    "elapsed_time": 1800,
    "sets": [{"exercise_type": "BENCH_PRESS", "repetitions": 8, "weight": 60}],
}


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def emulator(clock):
    return Emulator(clock=clock, years=0.2, limits=MeterLimits(10_000, 10_000, 10_000, 10_000))


def connect(emulator, **grant):
    token = emulator.grant(**grant)["access_token"]
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(emulator.app),
        base_url="https://www.strava.com/api/v3",
        headers={"Authorization": f"Bearer {token}"},
    )


async def send(api, content, *, data_type="gpx", file_name="lunch.gpx", **fields):
    return await api.post(
        "/uploads", data={"data_type": data_type, **fields}, files={"file": (file_name, content, "application/xml")}
    )


async def finish(api, clock, content, **options):
    """Upload, wait, return the upload and the activity."""
    reply = await send(api, content, **options)
    assert reply.status_code == 201, reply.text
    clock.advance(2)
    upload = (await api.get(f"/uploads/{reply.json()['id']}")).json()
    if upload["activity_id"] is None:
        return upload, None
    return upload, (await api.get(f"/activities/{upload['activity_id']}")).json()


async def test_an_upload_is_processed_for_a_while_and_then_ready(emulator, clock):
    async with connect(emulator) as api:
        reply = await send(api, gpx())
        first = reply.json()
        assert reply.status_code == 201
        assert first == {
            "id": first["id"],
            "id_str": str(first["id"]),
            "external_id": None,
            "error": None,
            "status": PROCESSING,
            "activity_id": None,
        }
        clock.advance(1.9)
        assert (await api.get(f"/uploads/{first['id']}")).json() == first
        clock.advance(0.1)
        ready = (await api.get(f"/uploads/{first['id']}")).json()
    assert (ready["status"], ready["error"], ready["external_id"]) == (READY, None, "lunch.gpx")
    assert isinstance(ready["activity_id"], int)


async def test_the_activity_appears_although_nobody_asked_for_the_upload(emulator, clock):
    async with connect(emulator) as api:
        await send(api, gpx(day=6))
        before = (await api.get("/athlete/activities?per_page=5")).json()
        clock.advance(3_600 * 3)
        after = (await api.get("/athlete/activities?per_page=5")).json()
    assert after[1:] == before[:4]
    assert after[0]["name"] == "Lunch <b>Run</b> & more"


async def test_the_activity_is_what_the_file_says(emulator, clock):
    async with connect(emulator) as api:
        upload, activity = await finish(api, clock, gpx(), description="d", commute="1", external_id="98765")
        streams = (
            await api.get(f"/activities/{activity['id']}/streams?keys=time,latlng,heartrate,altitude&key_by_type=true")
        ).json()
    assert upload["external_id"] == activity["external_id"] == "98765.gpx"
    assert (activity["name"], activity["sport_type"]) == ("Lunch <b>Run</b> & more", "Run")
    assert (activity["description"], activity["commute"]) == ("d", True)
    assert activity["start_date"] == "2026-01-05T11:00:00Z"
    assert activity["elapsed_time"] == 590
    assert activity["upload_id"] == upload["id"]
    assert set(streams["heartrate"]["data"]) == {150}
    assert streams["altitude"]["data"][0] == 400


async def test_name_and_sport_of_the_form_win(emulator, clock):
    async with connect(emulator) as api:
        _, activity = await finish(api, clock, gpx(), name="Mine", sport_type="TrailRun", activity_type="Ride")
    assert (activity["name"], activity["sport_type"]) == ("Mine", "TrailRun")


async def test_the_older_activity_type_may_be_written_in_any_case(emulator, clock):
    async with connect(emulator) as api:
        _, activity = await finish(api, clock, gpx(), activity_type="ebikeride")
    assert activity["sport_type"] == "EBikeRide"


@pytest.mark.parametrize(
    ("content", "data_type", "sport_type"),
    [
        (gpx(), "GPX", "Run"),
        (gzip.compress(gpx()), "gpx.gz", "Run"),
        (TCX, "tcx", "Ride"),
        (gzip.compress(TCX), "tcx.gz", "Ride"),
        (FIT, "fit", "Ride"),
        (gzip.compress(FIT), "fit.gz", "Ride"),
        (json.dumps(STRENGTH).encode(), "json", "WeightTraining"),
    ],
)
async def test_each_type_of_file_becomes_an_activity(emulator, clock, content, data_type, sport_type):
    async with connect(emulator) as api:
        upload, activity = await finish(api, clock, content, data_type=data_type, file_name="f")
    assert upload["status"] == READY
    assert activity["sport_type"] == sport_type
    assert upload["external_id"] == f"f.{data_type.lower()}"


async def test_the_same_file_again_is_a_duplicate_that_names_the_activity(emulator, clock):
    async with connect(emulator) as api:
        first, _ = await finish(api, clock, gpx())
        again, nothing = await finish(api, clock, gzip.compress(gpx()), data_type="gpx.gz", file_name="<copy>.gpx.gz")
    assert nothing is None
    assert again["status"] == FAILED
    assert again["error"] == (
        f"&lt;copy&gt;.gpx.gz duplicate of <a href='/activities/{first['activity_id']}' target='_blank'>"
        "Lunch &lt;b&gt;Run&lt;/b&gt; &amp; more</a>"
    )


async def test_two_of_the_same_file_in_progress_make_one_activity(emulator, clock):
    async with connect(emulator) as api:
        ids = [(await send(api, gpx())).json()["id"] for _ in range(2)]
        clock.advance(2)
        uploads = [(await api.get(f"/uploads/{upload_id}")).json() for upload_id in ids]
    assert [upload["status"] for upload in uploads] == [READY, FAILED]
    assert str(uploads[0]["activity_id"]) in uploads[1]["error"]


async def test_others_are_served_while_many_files_are_read(emulator):
    answered = []

    async def ask(number):
        reply = await (api.get("/gear/none") if number is None else send(api, gpx(day=number)))
        answered.append(reply.status_code)

    async with connect(emulator) as api, anyio.create_task_group() as tasks:
        for number in range(1, 9):
            tasks.start_soon(ask, number)
        tasks.start_soon(ask, None)
    assert answered.index(404) < 4
    assert answered.count(201) == 8


async def test_an_upload_can_end_as_deleted_and_the_file_may_come_again(emulator, clock):
    emulator.end_next_upload("deleted")
    async with connect(emulator) as api:
        before = len(emulator.world().activities)
        gone, _ = await finish(api, clock, gpx())
        assert (gone["status"], gone["error"], gone["activity_id"]) == (DELETED, None, None)
        assert len(emulator.world().activities) == before
        again, activity = await finish(api, clock, gpx())
    assert (again["status"], again["activity_id"]) == (READY, activity["id"])


async def test_an_upload_can_end_with_an_error_beside_its_activity(emulator, clock):
    emulator.end_next_upload("error")
    async with connect(emulator) as api:
        failed, activity = await finish(api, clock, gpx())
        fine, _ = await finish(api, clock, gpx(day=6))
    assert failed["status"] == FAILED
    assert failed["error"]
    assert failed["activity_id"] == activity["id"]
    assert (fine["status"], fine["error"]) == (READY, None)


async def test_the_text_of_old_duplicates_can_be_had(emulator, clock):
    emulator.quirks.html_in_upload_errors = False
    async with connect(emulator) as api:
        first, _ = await finish(api, clock, gpx())
        again, _ = await finish(api, clock, gpx())
    assert again["error"] == f"lunch.gpx duplicate of activity {first['activity_id']}"


async def test_another_athlete_may_upload_the_same_file(clock):
    emulator = Emulator(clock=clock, years=0.2, athletes=2)
    for athlete_id in emulator.athlete_ids:
        async with connect(emulator, athlete_id=athlete_id) as api:
            upload, _ = await finish(api, clock, gpx())
            assert upload["status"] == READY


async def test_uploads_of_others_are_not_seen(clock):
    emulator = Emulator(clock=clock, years=0.2, athletes=2)
    first, second = emulator.athlete_ids
    other = emulator.register_application()
    async with connect(emulator, athlete_id=first) as api:
        upload_id = (await send(api, gpx())).json()["id"]
    async with connect(emulator, athlete_id=second) as api:
        assert (await api.get(f"/uploads/{upload_id}")).status_code == 404
    async with connect(emulator, athlete_id=first, client_id=other.client_id) as api:
        assert (await api.get(f"/uploads/{upload_id}")).status_code == 404


BOMB = (
    "<!DOCTYPE b [<!ENTITY a 'aaaa'>"
    + "".join(f"<!ENTITY {c} '&{p};&{p};'>" for p, c in zip("abcdef", "bcdefg", strict=True))
    + "]>"
)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (gpx(time=False), "Time information is missing from file."),
        (gpx()[:-20], "The file appears to be malformed."),
        (b"<gpx/>", "The file has no records."),
        (b"not xml", "The file appears to be malformed."),
        (b"\xff\xfe\x00", "The file appears to be malformed."),
        (b"<?xml version='1.0' encoding='nonsense'?><gpx/>", "The file appears to be malformed."),
        (b"<a>" * 100_000, "The file appears to be malformed."),
        (gpx(extra=BOMB), "The file appears to be malformed."),
        (gpx(extra='<!DOCTYPE x SYSTEM "file:///etc/passwd">'), "The file appears to be malformed."),
        (gpx(day=20), "The activity is in the future."),
        (gpx().replace(b"11:00:00", b"99:99:99"), "Time information is missing from file."),
        (gpx().replace(b"2026-01-05T11:00:00", b"1999-01-05T11:00:00"), "The activity is too long."),
    ],
)
async def test_a_file_that_cannot_be_read_fails_in_processing(emulator, clock, content, error):
    async with connect(emulator) as api:
        upload, activity = await finish(api, clock, content)
    assert (upload["status"], upload["error"], activity) == (FAILED, error, None)


@pytest.mark.parametrize(
    "change",
    [
        {"version": "2.0"},
        {"start_time": "x"},
        {"start_time": 5},
        {"elapsed_time": "1"},
        {"elapsed_time": -1},
        {"sets": []},
        {"sets": [1]},
        {"sets": None},
    ],
)
async def test_a_strength_file_that_breaks_the_format_fails_in_processing(emulator, clock, change):
    async with connect(emulator) as api:
        upload, _ = await finish(api, clock, json.dumps(STRENGTH | change).encode(), data_type="json")
    assert upload["status"] == FAILED


@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff", b"[" * 100_000])
async def test_a_strength_file_that_is_no_object_fails_in_processing(emulator, clock, content):
    async with connect(emulator) as api:
        upload, _ = await finish(api, clock, content, data_type="json")
    assert upload["error"] == "The file appears to be malformed."


@pytest.mark.parametrize("number", ["nan", "inf", "x", "1e400", "-9999999999"])
async def test_values_that_are_no_measurements_are_left_out(emulator, clock, number):
    async with connect(emulator) as api:
        content = gpx().replace(b">150<", f">{number}<".encode()).replace(b"<ele>400", f"<ele>{number}".encode())
        upload, _ = await finish(api, clock, content)
    assert upload["status"] == READY


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"data_type": "exe"}, "data_type"), ({"data_type": ""}, "data_type"), ({"sport_type": "run"}, "sport_type")],
)
async def test_a_bad_field_is_a_400(emulator, fields, field):
    async with connect(emulator) as api:
        reply = await send(api, gpx(), **fields)
    assert (reply.status_code, reply.json()["errors"][0]["field"]) == (400, field)


async def test_an_upload_without_a_file_is_a_400(emulator):
    empty = {"message": "Bad Request", "errors": [{"resource": "Upload", "field": "data", "code": "empty"}]}
    async with connect(emulator) as api:
        for reply in (await send(api, b""), await api.post("/uploads", data={"data_type": "gpx"})):
            assert (reply.status_code, reply.json()) == (400, empty)


@pytest.mark.parametrize(
    ("content", "data_type"),
    [
        (b"no fit", "fit"),
        (b"x" * 100, "fit"),
        (b"no gzip", "gpx.gz"),
        (gzip.compress(gpx())[:-9], "gpx.gz"),
        (gzip.compress(bytes(40 << 20)), "gpx.gz"),
    ],
)
async def test_what_is_plainly_no_file_of_its_type_is_refused_with_an_upload_body(emulator, content, data_type):
    async with connect(emulator) as api:
        reply = await send(api, content, data_type=data_type)
    assert reply.status_code == 400
    body = reply.json()
    assert (body["status"], body["activity_id"]) == (FAILED, None)
    assert body["error"]


async def test_a_body_that_is_too_large_is_a_413(emulator):
    async with connect(emulator) as api:
        assert (await send(api, bytes(33 << 20))).status_code == 413


@pytest.mark.parametrize("number", ["0", "x", "9" * 30, "%2e%2e"])
async def test_an_unknown_upload_is_a_404(emulator, number):
    async with connect(emulator) as api:
        assert (await api.get(f"/uploads/{number}")).status_code == 404


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=b",
        "text/plain",
        "x/y; q",
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b"--b\r\n", b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--", b"\xff\x00"]
)
async def test_a_broken_multipart_body_is_a_400(emulator, content_type, body):
    async with connect(emulator) as api:
        reply = await api.post("/uploads", content=body, headers={"Content-Type": content_type})
    assert reply.status_code == 400
