"""``client.uploads``: files that become activities."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Any

from strava_async.errors import InputError
from strava_async.models._reading import read_one
from strava_async.models.sports import SportType
from strava_async.models.strength import (
    Seconds,
    StrengthSet,
    StrengthStreams,
    checked_strength_sport,
    strength_document,
)
from strava_async.models.upload import Upload
from strava_async.protocol import ApiV3
from strava_async.request.endpoints import Endpoint, Endpoints
from strava_async.request.options import RetryPolicy
from strava_async.resources._files import OutgoingFile, Progress, check_progress, file_to_send
from strava_async.resources._resource import Resource
from strava_async.resources._sources import UploadSource
from strava_async.resources._upload_polling import check_poll_timeout, is_ready, poll_until_ready, upload_id_of

# A body that the system has accepted may still be in its buffers when the wait for the answer starts.
UPLOAD_TIMEOUT_SECONDS = 120.0


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

        The file is read into memory first, in a thread where that may take time; if it cannot be read to its end,
        nothing is sent. It is sent once, unless Strava refuses the request (401, 429). If no answer comes, it may have
        arrived: upload it again yourself, and if it had, ``wait`` raises a DuplicateUploadError with the activity.

        Args:
            file: the path of a regular file, bytes, a binary file object (sync or async), or an async iterable of
                bytes; 512 MB at most, and reading stops one byte beyond that. A file object is read from its current
                position to its end, and not closed. After a cancellation its position is undefined, and a thread may
                still be reading it.
            data_type: ``fit``, ``tcx`` or ``gpx``, each also with ``.gz``, or ``json``; in any case. None takes it from
                ``filename``, or from the name of the file. Whether it ends in ``.gz`` is corrected by what the file
                holds, here and in the name.
            sport_type: a ``SportType``, or one that is newer than this library; case matters. None lets Strava decide.
            name: the activity's title.
            description: the activity's description.
            trainer: whether it was indoors.
            commute: whether it was a commute.
            external_id: your own identifier; it should be unique. Strava appends the file's extension. Without one,
                Strava uses ``filename``, which for bytes without a name is always the same: pass one or the other.
            filename: the name that is sent, without directories; None means the name of the file.
            gzip: whether to compress it. A file that is compressed already is sent as it is.
            progress: called with the bytes of the file that were sent so far and their total, from (0, total) up to
                (total, total), and from 0 again if the file is sent again. A plain function that returns soon. If it
                raises, the error is logged, and the upload continues without it.
            timeout: seconds of inactivity of the connection before the upload is given up; None means 120, or the
                client's timeout if that is longer.

        Raises:
            InputError: the file is missing, empty, too large or cannot be read, its type is not known, or an argument
                is invalid. Nothing was sent.
            DuplicateUploadError, UploadError: Strava refused it at once; mostly it does so later, see ``wait``.
            MissingScopeError: the athlete did not grant ``activity:write``.
            TransportError, ServerError: no usable answer came; the file may have arrived.
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
        return await self._request(api, Endpoints.UPLOADS_CREATE, form, files={"file": part})

    async def get(self, upload_id: int) -> Upload:
        """Return the state of an upload (``getUploadById``); one that failed is returned like any other.

        Raises:
            NotFoundError: there is none, or it is not the athlete's.
        """
        return await self._get(Upload, Endpoints.UPLOADS_GET, id=upload_id)

    async def wait(self, upload: Upload | int, *, timeout: float = 300.0) -> Upload:
        """Wait until an upload has become an activity.

        Polls after a second, then at growing intervals of up to ten seconds; each poll costs one request of the read
        class and waits for quota like any other. Strava takes two seconds on average. An upload that is known to be
        finished costs nothing.

        A poll that fails (TransportError, ServerError, RateLimitedError, DecodeError) is inconclusive: the next one
        comes after the usual interval, and the fifth failure in a row is raised. So there is at most one poll a second,
        except that one is repeated after a renewal of the token. The client's retry policy does not apply here.

        Args:
            upload: what ``create`` returned, or its id, from another process too.
            timeout: seconds until the start of the last poll, including the wait for quota: it replaces
                ``max_wait`` here. ``math.inf`` means no limit; less than a second means no poll.

        Returns:
            the upload; its ``activity_id`` is set.

        Raises:
            DuplicateUploadError: the activity exists already, under its ``activity_id``.
            UploadError: Strava could not make an activity of it, or the activity has been deleted meanwhile. ``error``
                and ``errors`` take precedence over ``activity_id``, should both be there; ``get`` shows them.
            UploadTimeoutError: it is still being processed, or there is no quota to poll in time. Wait again by its id.
            NotFoundError: there is none, or it is not the athlete's.
            TransportError, ServerError, RateLimitedError, DecodeError: five polls in a row failed. Wait again by id.
            InputError: ``upload`` has no id, or ``timeout`` is not a number.
        """
        check_poll_timeout(timeout)
        if isinstance(upload, Upload) and is_ready(upload):
            return upload
        upload_id = upload_id_of(upload)
        return await poll_until_ready(upload_id, partial(self._poll, upload_id), self._view.api.clock, timeout)

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
            creator: what recorded the workout, such as the name of your application.
            streams: lists of equal lengths by name: ``time``, ``active``, ``heartrate``; times do not decrease.
            utc_offset: the offset of local time from UTC in whole seconds; None means that of ``start_time``.
            name: see ``create``, as for the rest.
            description: the activity's description.
            trainer: whether it was indoors.
            commute: whether it was a commute.
            external_id: your own identifier; None means one made from the start.
            timeout: see ``create``.

        Raises:
            InputError: a time without a time zone, no set, streams of unequal lengths, a value that is invalid, or a
                sport for which Strava is known to accept no sets. Nothing was sent.
        """
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
            sport_type=checked_strength_sport(sport_type),
            name=name,
            description=description,
            trainer=trainer,
            commute=commute,
            external_id=external_id,
            filename=f"strength-{document['start_time'].replace(':', '')}.json",
            timeout=timeout,
        )

    async def _poll(self, upload_id: int, max_wait: float) -> Upload:
        api = self._view.api.with_options(max_wait=max_wait, retry=RetryPolicy(max_attempts=1))
        return await self._request(api, Endpoints.UPLOADS_GET, {"id": upload_id})

    async def _request(self, api: ApiV3, endpoint: Endpoint, params: dict[str, Any], **content: Any) -> Upload:
        decode = partial(read_one, Upload, on_invalid=self._view.on_invalid)
        upload: Upload = await api.request(endpoint.method, endpoint.path, params, decode=decode, **content)
        return upload


def _flag(name: str, value: Any) -> int | None:
    if value is not None and not isinstance(value, bool):
        raise InputError(f"{name} must be True or False")
    return None if value is None else int(value)


def _json(document: object) -> bytes:
    try:
        return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")
    except (TypeError, ValueError) as error:
        raise InputError(f"the workout cannot be sent as JSON: {error}") from None
