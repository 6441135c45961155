"""``client.uploads``: files that become activities."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Any

from strava_async.errors import (
    DecodeError,
    InputError,
    QuotaExceededError,
    RateLimitedError,
    ServerError,
    StravaError,
    TransportError,
    UploadError,
    UploadTimeoutError,
)
from strava_async.models._reading import read_one
from strava_async.models.sports import SportType
from strava_async.models.strength import (
    Seconds,
    StrengthSet,
    StrengthStreams,
    check_strength_sport,
    strength_document,
)
from strava_async.models.upload import Upload, complaint_of, is_activity_id
from strava_async.request.reply import upload_error
from strava_async.request.retry import RetryPolicy
from strava_async.resources._files import OutgoingFile, Progress, check_progress, file_to_send
from strava_async.resources._resource import Resource
from strava_async.resources._sources import UploadSource

# What the system holds back of a body that was written is still on its way when the wait for the answer begins.
UPLOAD_TIMEOUT_SECONDS = 120.0

LEAST_PAUSE_SECONDS = 1.0
MOST_PAUSE_SECONDS = 10.0
PAUSE_GROWTH = 1.5
# In a row; the pauses between them are those of the looks.
MOST_FAILED_LOOKS = 5
_TELLS_NOTHING = (TransportError, ServerError, RateLimitedError, DecodeError)


class UploadsResource(Resource):
    """Files on their way to become activities. Needs ``activity:write``.

    ::

        upload = await client.uploads.create("ride.fit")
        upload = await client.uploads.wait(upload)
        activity = await client.activities.get(upload.activity_id)

    Source:
        https://developers.strava.com/docs/uploads/
    """

    async def create(
        self,
        file: UploadSource,
        *,
        data_type: str | None = None,
        sport_type: str | None = None,
        name: str | None = None,
        description: str | None = None,
        trainer: bool | None = None,
        commute: bool | None = None,
        external_id: str | None = None,
        filename: str | None = None,
        gzip: bool = False,
        progress: Progress | None = None,
        timeout: float | None = None,
    ) -> Upload:
        """Upload a file (``createUpload``). Costs one request of the upload class.

        It is read into memory first, in a thread where that may take time; of a file that cannot be read to its end
        nothing is sent. It is sent once, unless Strava refuses the request (401, 429). If no answer comes, it may have
        arrived: upload it again yourself, and if it had, ``wait`` raises a DuplicateUploadError with the activity.

        Args:
            file: the path of a regular file, bytes, a binary file object, plain or async, or an async iterable of
                bytes; 512 MB at the most, and one that has no end is read for one byte more. A file object is read
                from where it stands until it gives nothing, and not closed. If you cancel, it stands anywhere
                afterwards, and a thread may still be reading it.
            data_type: ``fit``, ``tcx`` or ``gpx``, each also with ``.gz``, or ``json``; in any case. None means what
                ``filename`` says, or the name of the file. Whether it ends in ``.gz`` is put right by what the file
                holds, here and in the name.
            sport_type: a ``SportType``, or one that is newer than this library; case counts. None lets Strava see.
            name: the activity's title.
            description: text.
            trainer: whether it was indoors.
            commute: whether it was a commute.
            external_id: what you know it by; should be unique. Strava appends the ending; without one it takes
                ``filename``, which for bytes that have no name is the same each time: give one or the other.
            filename: what Strava is told, without its directories; None means the name of the file.
            gzip: whether to pack it on the way. What is packed already is sent as it is.
            progress: called with the bytes of the file that have gone out and those there are, from (0, total) up to
                (total, total), and from 0 again if it is sent again. A plain function, to return soon. If it raises,
                that is logged, and the upload goes on without it.
            timeout: seconds without a sign of Strava before it is given up; None means 120, or what the client has if
                that is more.

        Raises:
            InputError: the file is missing, empty, too large or cannot be read, its type is not known, or an argument
                makes no sense. Nothing was sent.
            DuplicateUploadError, UploadError: Strava refused it at once; mostly it does so later, see ``wait``.
            MissingScopeError: the athlete did not grant ``activity:write``.
            TransportError, ServerError: no usable answer came; it may have arrived.
        """
        check_progress(progress)
        trainer_flag, commute_flag = _flag("trainer", trainer), _flag("commute", commute)
        sent = await file_to_send(file, data_type=data_type, filename=filename, gzip=gzip)
        form = {
            "data_type": sent.data_type,
            "sport_type": sport_type,
            "name": name,
            "description": description,
            "trainer": trainer_flag,
            "commute": commute_flag,
            "external_id": external_id,
        }
        part = (sent.filename, OutgoingFile(sent.content, progress), "application/octet-stream")
        least = max(UPLOAD_TIMEOUT_SECONDS, self._view.api.timeout)
        api = self._view.api.with_options(timeout=least if timeout is None else timeout)
        decode = partial(read_one, Upload, on_invalid=self._view.on_invalid)
        upload: Upload = await api.request("POST", "/uploads", form, files={"file": part}, decode=decode)
        return upload

    async def get(self, upload_id: int) -> Upload:
        """Return how far an upload is (``getUploadById``). A look: one that failed is returned like any other.

        Raises:
            NotFoundError: there is none, or it is not the athlete's.
        """
        return await self._get(Upload, "/uploads/{id}", id=upload_id)

    async def wait(self, upload: Upload | int, *, timeout: float = 300.0) -> Upload:
        """Wait until an upload has become an activity.

        Looks after a second, then at growing distances up to ten; each look costs one request of the read class and
        waits for quota like any other. Strava takes two seconds on average. What is finished already costs nothing.

        A look that fails (TransportError, ServerError, RateLimitedError, DecodeError) tells nothing: the next one comes
        after the usual pause, and the fifth failure in a row is raised. So there is never more than one look a second,
        but for one that is repeated after a renewal of the token. The client's retry policy does not count here.

        Args:
            upload: what ``create`` returned, or its id, from another process too.
            timeout: seconds until the last look begins, the wait for quota included: here it takes the place of
                ``max_wait``. ``math.inf`` means no limit; less than a second means no look.

        Returns:
            the upload; its ``activity_id`` is set.

        Raises:
            DuplicateUploadError: the activity exists already, under its ``activity_id``.
            UploadError: Strava could not make an activity of it, or the activity has been deleted meanwhile. ``error``
                and ``errors`` count more than ``activity_id``, should both be there; ``get`` shows them.
            UploadTimeoutError: it is still being processed, or there is no quota to look in time. Wait again by its id.
            NotFoundError: there is none, or it is not the athlete's.
            TransportError, ServerError, RateLimitedError, DecodeError: five looks in a row failed. Wait again by id.
            InputError: ``upload`` has no id, or ``timeout`` is no number.
        """
        _check_timeout(timeout)
        if isinstance(upload, Upload) and _is_ready(upload):
            return upload
        upload_id = _id_of(upload)
        clock = self._view.api.clock
        deadline = clock.monotonic() + timeout
        pause, failed = LEAST_PAUSE_SECONDS, list[StravaError]()
        # Rounded, because a sum of floats may fall short of a second that is there.
        while (left := round(deadline - clock.monotonic(), 6)) >= LEAST_PAUSE_SECONDS:
            await clock.sleep(min(pause, left))
            try:
                seen = await self._look(upload_id, max(0.0, deadline - clock.monotonic()))
            except QuotaExceededError as error:
                raise UploadTimeoutError(upload_id) from error
            except _TELLS_NOTHING as error:
                failed.append(error)
                if len(failed) == MOST_FAILED_LOOKS:
                    raise
            else:
                if _is_ready(seen):
                    return seen
                failed.clear()
            pause = min(pause * PAUSE_GROWTH, MOST_PAUSE_SECONDS)
        raise UploadTimeoutError(upload_id) from (failed[-1] if failed else None)

    async def strength(
        self,
        *,
        start_time: datetime,
        elapsed_time: Seconds,
        sets: Iterable[StrengthSet],
        sport_type: str = SportType.WEIGHT_TRAINING,
        active_time: Seconds | None = None,
        total_calories: float | None = None,
        creator: str | None = None,
        streams: StrengthStreams | None = None,
        utc_offset: int | None = None,
        name: str | None = None,
        description: str | None = None,
        trainer: bool | None = None,
        commute: bool | None = None,
        external_id: str | None = None,
        timeout: float | None = None,
    ) -> Upload:
        """Upload a strength workout, set by set, as Strava's JSON. Costs, waits and raises as ``create`` does.

        Args:
            start_time: see ``strength_document``, as for the arguments up to ``utc_offset``.
            elapsed_time: how long it took; seconds or a timedelta.
            sets: at least one; Strava shows them in this order.
            sport_type: ``WeightTraining``, ``HighIntensityIntervalTraining``, ``Workout`` or ``Crossfit``, or one that
                is newer than this library.
            active_time: how much of it was exercise; seconds or a timedelta.
            total_calories: kilocalories.
            creator: what made the workout's record, such as the name of your application.
            streams: lists of equal lengths by name: ``time``, ``active``, ``heartrate``; times do not decrease.
            utc_offset: whole seconds that the clock on the wall is ahead of UTC; None means as ``start_time`` has it.
            name: see ``create``, as for the rest.
            description: text.
            trainer: whether it was indoors.
            commute: whether it was a commute.
            external_id: what you know it by; None means one by the start.
            timeout: see ``create``.

        Raises:
            InputError: a time without a zone, no set, streams of unequal lengths, a value that makes no sense, or a
                sport that Strava is known to take no sets for. Nothing was sent.
        """
        check_strength_sport(sport_type)
        document = strength_document(
            start_time=start_time,
            elapsed_time=elapsed_time,
            sets=sets,
            active_time=active_time,
            total_calories=total_calories,
            creator=creator,
            streams=streams,
            utc_offset=utc_offset,
        )
        return await self.create(
            _json(document),
            data_type="json",
            sport_type=sport_type,
            name=name,
            description=description,
            trainer=trainer,
            commute=commute,
            external_id=external_id,
            filename=f"strength-{document['start_time'].replace(':', '')}.json",
            timeout=timeout,
        )

    async def _look(self, upload_id: int, max_wait: float) -> Upload:
        decode = partial(read_one, Upload, on_invalid=self._view.on_invalid)
        api = self._view.api.with_options(max_wait=max_wait, retry=RetryPolicy(max_attempts=1))
        upload: Upload = await api.request("GET", "/uploads/{id}", {"id": upload_id}, decode=decode)
        return upload


def _is_ready(upload: Upload) -> bool:
    """Say whether there is an activity; raise if there will be none."""
    match upload.state:
        case "ready":
            return is_activity_id(upload.activity_id)  # a text without the id is not enough
        case "processing":
            return False
        case "deleted":
            raise UploadError("the created activity has been deleted", upload_id=upload.id)
        case "error":
            refusal = upload_error(complaint_of(upload) or str(upload.error or ""), upload_id=upload.id)
            raise refusal if refusal.error else upload_error(str(upload.status), upload_id=upload.id)


def _flag(name: str, value: Any) -> int | None:
    if value is not None and not isinstance(value, bool):
        raise InputError(f"{name} is True or False")
    return None if value is None else int(value)


def _check_timeout(timeout: Any) -> None:
    if not isinstance(timeout, int | float) or math.isnan(timeout):
        raise InputError("timeout is a number of seconds")


def _id_of(upload: Any) -> int:
    upload_id = upload.id if isinstance(upload, Upload) else upload
    if not isinstance(upload_id, int) or isinstance(upload_id, bool):
        raise InputError("this upload has no id to wait for")
    return upload_id


def _json(document: object) -> bytes:
    try:
        return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")
    except (TypeError, ValueError) as error:
        raise InputError(f"the workout cannot be sent as JSON: {error}") from None
