"""Waiting until an upload has become an activity: when to poll, and what an answer means."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

from strava_async.clock import Clock
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
from strava_async.models.upload import Upload, complaint_of, is_activity_id
from strava_async.request.faults import upload_error

MIN_POLL_INTERVAL = 1.0
MAX_POLL_INTERVAL = 10.0
POLL_INTERVAL_GROWTH = 1.5
# In a row, at the usual intervals.
MAX_FAILED_POLLS = 5
_INCONCLUSIVE = (TransportError, ServerError, RateLimitedError, DecodeError)


async def poll_until_ready(
    upload_id: int, poll: Callable[[float], Awaitable[Upload]], clock: Clock, timeout: float
) -> Upload:
    """Ask for an upload until it is an activity; see ``UploadsResource.wait``.

    Args:
        upload_id: which.
        poll: makes one request, given the seconds that it may wait for quota.
        clock: keeps the time.
        timeout: seconds until the start of the last request.
    """
    deadline = clock.monotonic() + timeout
    interval, failed = MIN_POLL_INTERVAL, list[StravaError]()
    # Rounded, because a sum of floats may fall just short of the second that is left.
    while (left := round(deadline - clock.monotonic(), 6)) >= MIN_POLL_INTERVAL:
        await clock.sleep(min(interval, left))
        try:
            upload = await poll(max(0.0, deadline - clock.monotonic()))
        except QuotaExceededError as error:
            raise UploadTimeoutError(upload_id) from error
        except _INCONCLUSIVE as error:
            # A failed poll is inconclusive: only several in a row end the wait.
            failed.append(error)
            if len(failed) == MAX_FAILED_POLLS:
                raise
        else:
            if is_ready(upload):
                return upload
            failed.clear()
        interval = min(interval * POLL_INTERVAL_GROWTH, MAX_POLL_INTERVAL)
    raise UploadTimeoutError(upload_id) from (failed[-1] if failed else None)


def is_ready(upload: Upload) -> bool:
    """Say whether there is an activity.

    Raises:
        UploadError: there will be none, or it has been deleted.
    """
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


def upload_id_of(upload: Any) -> int:
    """Return the id of an upload, given it or its id.

    Raises:
        InputError: it has none.
    """
    upload_id = upload.id if isinstance(upload, Upload) else upload
    if not isinstance(upload_id, int) or isinstance(upload_id, bool):
        raise InputError("this upload has no id to wait for")
    return upload_id


def check_poll_timeout(timeout: Any) -> None:
    """Raise InputError unless it is a number of seconds; infinity is allowed."""
    if not isinstance(timeout, int | float) or math.isnan(timeout):
        raise InputError("timeout must be a number of seconds")
