"""Uploads."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import field_validator

from strava_async.models._model import StravaModel
from strava_async.wire import upload_error

UploadState = Literal["processing", "ready", "error", "deleted"]


class Upload(StravaModel):
    """A file on its way to become an activity.

    Source:
        https://developers.strava.com/docs/uploads/
    """

    id: int | None = None
    """The upload's id."""
    id_str: str | None = None
    """The same as text."""
    external_id: str | None = None
    """What the caller named the file, with its ending; None until it is processed."""
    error: str | None = None
    """Why there is no activity, in English and with HTML in it at times."""
    status: str | None = None
    """How far it is, in English."""
    activity_id: int | None = None
    """The id of the activity that came of it."""

    @property
    def state(self) -> UploadState:
        """How far it is, by the fields; by the text of ``status`` where they do not tell.

        A text that we do not know means that it is still being processed.
        """
        status = self.status.lower() if isinstance(self.status, str) else ""
        if self.error_text if isinstance(self.error, str) else self.error:
            return "error"
        if "has been deleted" in status:
            return "deleted"
        if is_activity_id(self.activity_id) or "is ready" in status:
            return "ready"
        return "error" if "error" in status else "processing"

    @property
    def error_text(self) -> str | None:
        """``error`` as plain text; None if there is none, or no words in it."""
        return (upload_error(self.error).error or None) if isinstance(self.error, str) else None

    @field_validator("activity_id", mode="before")
    @classmethod
    def _is_no_truth_value(cls, value: Any) -> Any:
        if isinstance(value, bool):  # of which pydantic would make 1
            raise ValueError("a truth value is no id")
        return value


def is_activity_id(value: object) -> bool:
    """Say whether a value can be the id of an activity."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
