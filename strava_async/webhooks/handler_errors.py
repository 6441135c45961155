"""Errors of the application's functions: which of them propagate, and how they are logged."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TypeGuard

import anyio

from strava_async.errors import StravaError
from strava_async.webhooks.events import WebhookEvent

_logger = logging.getLogger("strava_async.webhooks")


class HandlerTimeoutError(TimeoutError):
    """A function of the application took longer than ``handler_seconds``, and was cancelled."""


class ThreadLeftBehindError(HandlerTimeoutError):
    """A function of the application took longer than ``handler_seconds``, and its thread runs on."""


def event_label(event: WebhookEvent) -> str:
    """Return the name of an event in the log: one line, whatever was sent."""
    return f"webhook event {event.aspect_type[:40]!r} of {event.object_type[:40]!r} {event.object_id}"


def flatten(error: BaseException) -> Iterable[BaseException]:
    """Return the errors of a group, and of the groups in it; of any other error itself."""
    if _is_group(error):
        for inner in error.exceptions:
            yield from flatten(inner)
    else:
        yield error


def must_propagate(error: BaseException, *also: type[BaseException]) -> BaseException | None:
    """Return the part of an error that no handler may swallow, or None.

    That is a cancellation, KeyboardInterrupt, GeneratorExit, or one of ``also``.
    """
    kinds = (anyio.get_cancelled_exc_class(), KeyboardInterrupt, GeneratorExit, *also)
    if _is_group(error):
        return error.subgroup(kinds)
    return error if isinstance(error, kinds) else None


def needs_traceback(error: BaseException) -> bool:
    """Say whether an error is to be logged with its traceback: this package's own errors are complete without."""
    return not all(isinstance(leaf, StravaError | HandlerTimeoutError) for leaf in flatten(error))


def log_error(error: Exception, text: str) -> None:
    """Log a text and the error behind it, with a traceback where it needs one."""
    if needs_traceback(error):
        _logger.error("%s", text, exc_info=error)
    else:
        _logger.error("%s: %s", text, ascii(error)[:300])


def _is_group(error: BaseException) -> TypeGuard[BaseExceptionGroup[BaseException]]:
    return isinstance(error, BaseExceptionGroup)
