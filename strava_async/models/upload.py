"""Uploads."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import field_validator

from strava_async._types import is_list, is_object
from strava_async.models._model import StravaModel
from strava_async.request.faults import upload_error

UploadState = Literal["processing", "ready", "error", "deleted"]


class Upload(StravaModel):
    """A file on its way to become an activity.

    Source:
        https://developers.strava.com/docs/uploads/
    """

    id: int | None = None
    """The upload's id."""
    id_str: str | None = None
    """The id as text."""
    external_id: str | None = None
    """The caller's identifier of the file, with its extension; None until it is processed."""
    error: str | None = None
    """Why there is no activity, in English, sometimes with HTML in it."""
    errors: list[Any] | dict[str, Any] | str | None = None
    """The reason in the form of Strava's faults; sent where there is no ``error``."""
    status: str | None = None
    """The state of processing, in English."""
    activity_id: int | None = None
    """The id of the resulting activity."""

    @property
    def state(self) -> UploadState:
        """The state by the fields, or else by the text of ``status``.

        An unknown text means that it is still being processed.
        """
        status = self.status.lower() if isinstance(self.status, str) else ""
        if self.error_text or _is_no_text(self.error):
            return "error"
        if "has been deleted" in status:
            return "deleted"
        if is_activity_id(self.activity_id) or "is ready" in status:
            return "ready"
        return "error" if "error" in status else "processing"

    @property
    def error_text(self) -> str | None:
        """``error``, or else ``errors``, as plain text; None if there is none, or it has no text."""
        return upload_error(complaint_of(self)).error or None

    @field_validator("activity_id", mode="before")
    @classmethod
    def _is_no_truth_value(cls, value: Any) -> Any:
        if isinstance(value, bool):  # which pydantic would convert to 1
            raise ValueError("a boolean is not an id")
        return value


def _is_no_text(error: object) -> bool:
    """Say whether there is anything but a text."""
    return bool(error) and not isinstance(error, str)


def complaint_of(upload: Upload) -> str:
    """Return the reason for a failure as it came: ``error``, or else ``errors`` in one line; empty if there is none."""
    error: object = upload.error  # whatever came in its place
    return error if isinstance(error, str) and upload_error(error).error else _words(upload.errors)


def _words(errors: object) -> str:
    if not errors or isinstance(errors, str):
        return errors if isinstance(errors, str) else ""
    entries = errors if is_list(errors) else [errors]
    return "; ".join(text for text in map(_entry, entries) if text)


def _entry(entry: object) -> str:
    """Return an entry of a Fault's ``errors`` as text: ``Upload data empty``."""
    if not entry or isinstance(entry, str):
        return entry if isinstance(entry, str) else ""
    if is_object(entry) and isinstance(entry.get("code"), str):
        values = (entry.get(name) for name in ("resource", "field", "code"))
        return " ".join(value for value in values if isinstance(value, str) and value)
    try:
        return json.dumps(entry, default=str)
    except (ValueError, RecursionError):
        return "errors that cannot be shown"


def is_activity_id(value: object) -> bool:
    """Say whether a value can be the id of an activity."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
