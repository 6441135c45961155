"""Uploads: accepted at once, processed later, refused if the same file was uploaded before.

Source:
    https://developers.strava.com/docs/uploads/; error texts as users report them.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal

from strava_async.testing.api.track_files import FileError
from strava_async.testing.api.upload_files import DATA_TYPES, Recording, check_header, read_file, unpack
from strava_async.testing.http.parameters import sport_type, text, truth
from strava_async.testing.http.request import EmulatorRequest, SentFile
from strava_async.testing.http.responses import Response, bad_request, json_response, not_found
from strava_async.testing.http.serial_executor import SerialExecutor
from strava_async.testing.quirks import Quirks
from strava_async.testing.state.catalogue import Catalogue
from strava_async.testing.webhooks.publisher import EventPublisher
from strava_async.testing.world.additions import NewUpload

BODY_LIMIT_BYTES = 32 << 20

PROCESSING = "Your activity is still being processed."
READY = "Your activity is ready."
FAILED = "There was an error processing your activity."
DELETED = "The created activity has been deleted."
UNEXPECTED = "An unexpected error occurred."

UploadOutcome = Literal["deleted", "error"]


@dataclass(slots=True)
class _Upload:
    upload_id: int
    athlete_id: int
    client_id: int
    file_name: str
    external_id: str
    digest: str
    ready_at: float
    recording: Recording | None
    fields: dict[str, Any] = field(repr=False)
    error: str | None = None
    activity_id: int | None = None
    done: bool = False
    outcome: UploadOutcome | None = None

    def values(self) -> dict[str, Any]:
        failed = self.done and self.error is not None
        ready = DELETED if self.outcome == "deleted" else READY
        return {
            "id": self.upload_id,
            "id_str": str(self.upload_id),
            "external_id": self.external_id if self.done else None,
            "error": self.error if self.done else None,
            "status": FAILED if failed else ready if self.done else PROCESSING,
            "activity_id": self.activity_id,
        }


class UploadsApi:
    """The endpoints of tag Uploads.

    Args:
        catalogue_of: gives the activities of an athlete, without looking for finished uploads first.
        next_id: gives the ids of uploads and activities.
        quirks: see there.
        upload_seconds: how long an upload is processed, on the emulator's clock.
        publisher: publishes the new activities.
        on_accept: called when an upload was accepted for processing.

    Attributes:
        outcomes: of the next uploads of good files; without one they are ready.
    """

    def __init__(
        self,
        catalogue_of: Callable[[int], Catalogue],
        next_id: Iterator[int],
        quirks: Quirks,
        upload_seconds: float,
        publisher: EventPublisher,
        on_accept: Callable[[], None],
    ) -> None:
        self.upload_seconds = upload_seconds
        self._catalogue_of = catalogue_of
        self._next_id = next_id
        self._quirks = quirks
        self._publisher = publisher
        self._on_accept = on_accept
        self._uploads: dict[int, _Upload] = {}
        self._waiting: deque[_Upload] = deque()
        self._known: dict[tuple[int, str], int] = {}
        self._executor = SerialExecutor()
        self.outcomes: deque[UploadOutcome] = deque()

    async def create(self, request: EmulatorRequest) -> Response:
        """POST /uploads: multipart; upload class. A file that is obviously not of its type is a 400 at once."""
        request.require("activity:write")
        values = await request.parameters(BODY_LIMIT_BYTES)
        data_type = values.get("data_type", "").lower()
        if data_type not in DATA_TYPES:
            raise bad_request("Upload", "data_type", "invalid" if data_type else "missing")
        sent = request.files.get("file")
        if sent is None or not sent.content:
            raise bad_request("Upload", "data", "empty")
        sport = sport_type(values, "Upload", older="activity_type")
        fields = {
            "name": text(values, "name", "Upload"),
            "description": text(values, "description", "Upload"),
            "sport_type": sport,
            "trainer": truth(values, "trainer"),
            "commute": truth(values, "commute"),
        }
        external_id = text(values, "external_id", "Upload")
        try:
            content = unpack(sent.content, data_type)
            check_header(content, data_type)
        except FileError as error:
            return json_response(_refused(str(error)), 400)
        upload = await self._accept(request, sent, content, data_type, external_id, fields)
        return json_response(upload.values(), 201)

    async def status(self, request: EmulatorRequest) -> Response:
        """GET /uploads/{id}."""
        request.require("activity:write")
        missing = not_found("Upload")
        upload = self._uploads.get(request.number_in_path(missing))
        if upload is None or (upload.athlete_id, upload.client_id) != (request.athlete_id, request.bearer.client_id):
            raise missing
        self.settle(request.now)
        return json_response(upload.values())

    def settle(self, now: float) -> None:
        """Finish the uploads that are due, in the order they were accepted."""
        while self._waiting and self._waiting[0].ready_at <= now:
            upload = self._waiting.popleft()
            self._finish(upload)
            upload.done = True

    @property
    def next_ready_at(self) -> float | None:
        """When the next upload is due; None if none is being processed."""
        return self._waiting[0].ready_at if self._waiting else None

    def forget(self, activity_id: int) -> None:
        """Mark the upload of a deleted activity, so that the file can be uploaded again."""
        for upload in self._uploads.values():
            if upload.activity_id == activity_id:
                upload.activity_id, upload.outcome, upload.error = None, "deleted", None
                del self._known[upload.athlete_id, upload.digest]

    async def _accept(
        self,
        request: EmulatorRequest,
        sent: SentFile,
        content: bytes,
        data_type: str,
        external_id: str | None,
        fields: dict[str, Any],
    ) -> _Upload:
        file_name = sent.name or f"upload.{data_type}"
        identifier = external_id or file_name
        upload = _Upload(
            upload_id=next(self._next_id),
            athlete_id=request.athlete_id,
            client_id=request.bearer.client_id,
            file_name=file_name,
            external_id=identifier if identifier.lower().endswith(f".{data_type}") else f"{identifier}.{data_type}",
            digest=hashlib.sha256(content).hexdigest(),
            ready_at=request.now + self.upload_seconds,
            recording=None,
            fields=fields,
        )
        try:
            upload.recording = await self._executor.run(lambda: read_file(content, data_type, fields["sport_type"]))
        except FileError as error:
            upload.error = str(error)
        else:
            if upload.recording.start_at is not None and upload.recording.start_at > request.now + 86_400:
                upload.error = "The activity is in the future."
        self._uploads[upload.upload_id] = upload
        self._waiting.append(upload)
        self._on_accept()
        return upload

    def _finish(self, upload: _Upload) -> None:
        if upload.error is not None or upload.recording is None:
            return
        catalogue = self._catalogue_of(upload.athlete_id)
        existing = self._known.get((upload.athlete_id, upload.digest))
        if existing is not None:
            upload.error = self._duplicate(upload.file_name, existing, catalogue)
            return
        upload.outcome = self.outcomes.popleft() if self.outcomes else None
        detail = self._add(upload, upload.recording, catalogue)
        upload.recording = None
        self._publisher.created(detail, at=upload.ready_at)
        if upload.outcome == "deleted":
            catalogue.remove(detail["id"])
            self._publisher.deleted(detail, at=upload.ready_at)
            return
        upload.activity_id = detail["id"]
        self._known[upload.athlete_id, upload.digest] = detail["id"]
        upload.error = UNEXPECTED if upload.outcome == "error" else None

    def _add(self, upload: _Upload, recording: Recording, catalogue: Catalogue) -> dict[str, Any]:
        fields = upload.fields
        new = NewUpload(
            activity_id=next(self._next_id),
            upload_id=upload.upload_id,
            name=fields["name"] or recording.name,
            sport_type=fields["sport_type"] or recording.sport_type or "Ride",
            start_at=upload.ready_at - 3_600 if recording.start_at is None else recording.start_at,
            samples=recording.samples,
            external_id=upload.external_id,
            description=fields["description"],
            trainer=fields["trainer"],
            commute=fields["commute"],
        )
        detail = catalogue.world.add_uploaded(new, now=upload.ready_at)
        catalogue.refresh(detail["id"])
        return detail

    def _duplicate(self, file_name: str, activity_id: int, catalogue: Catalogue) -> str:
        if not self._quirks.html_in_upload_errors:
            return f"{file_name} duplicate of activity {activity_id}"
        activity = catalogue.find(activity_id, private=True) or {}
        title = escape(str(activity.get("name", "")))
        return f"{escape(file_name)} duplicate of <a href='/activities/{activity_id}' target='_blank'>{title}</a>"


def _refused(error: str) -> dict[str, Any]:
    return {"id": None, "id_str": None, "external_id": None, "error": error, "status": FAILED, "activity_id": None}
