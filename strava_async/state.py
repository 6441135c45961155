"""Signed values for the ``state`` of an authorization request."""

from strava_async.oauth.state import MAX_DATA_BYTES, StateSigner, check_state

__all__ = ["MAX_DATA_BYTES", "StateSigner", "check_state"]
