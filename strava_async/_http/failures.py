"""From an HTTP library's error to a ``StravaError``, without the secrets that the library's may show."""

from __future__ import annotations

from typing import TypeVar

from strava_async._http.frames import forget_frames
from strava_async._http.trust import permanent_tls_failure
from strava_async.errors import StravaError, TransportError
from strava_async.request.outgoing import OutgoingRequest
from strava_async.request.redaction import redacted

REASON_CHARACTERS = 300

E = TypeVar("E", bound=StravaError)


def no_reply(
    outgoing: OutgoingRequest, error: BaseException, *, timed_out: bool = False, permanent: bool = False
) -> TransportError:
    """Return what to raise for an error of the library, with that for its cause. Some kinds are always permanent.

    Args:
        outgoing: the request.
        error: the library's.
        timed_out: whether it is a timeout.
        permanent: whether another attempt would fail the same way.
    """
    what = f"no reply to {outgoing.call.method} {outgoing.call.path}"
    failure = permanent_tls_failure(error)
    if failure is not None:
        failed = outgoing.error(f"{what}: {failure}", permanent=True)
    else:
        reason = redacted(str(error), outgoing.secrets())[:REASON_CHARACTERS]
        text = f"{what}: {type(error).__name__}{': ' if reason else ''}{reason}"
        failed = outgoing.error(text, timed_out=timed_out, permanent=permanent)
    return because(outgoing, error, failed)


def because(outgoing: OutgoingRequest, error: BaseException, failed: E) -> E:
    """Return ``failed`` with the library's error as its cause, unless that shows a secret."""
    shown = repr([(one, str(one)) for one in forget_frames(error)])
    failed.__cause__ = None if redacted(shown, outgoing.secrets()) != shown else error
    return failed
