"""The settings of the service, from the environment."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit


class SettingsError(Exception):
    """A variable of the environment is missing, or is invalid."""


@dataclass(frozen=True)
class Settings:
    """The settings of the service; the same in all its processes.

    Attributes:
        client_id: the application's id at Strava.
        client_secret: its secret.
        data_dir: where tokens and news are kept; made if it is not there.
        public_url: where browsers and Strava reach the service; None where that is what the browser asks for.
        verify_token: shows the webhook that a handshake is expected; empty derives one from the secret.
        webhook_path: of the webhook's callback, under ``/strava``; take one that nobody can guess.
        subscription_id: of the webhook subscription; None takes events of any.
        token_key: encrypts the tokens in their file (``strava_async.generate_key``); None stores them in plain text.
        api_url: None means Strava's.
        oauth_url: None means Strava's.
    """

    client_id: str
    client_secret: str = field(repr=False)
    data_dir: Path = Path("tally-data")
    public_url: str | None = None
    verify_token: str = field(default="", repr=False)
    webhook_path: str = field(default="/webhook", repr=False)
    subscription_id: int | None = None
    token_key: str | None = field(default=None, repr=False)
    api_url: str | None = None
    oauth_url: str | None = None

    def __post_init__(self) -> None:
        if not self.verify_token:
            derived = hmac.new(self.client_secret.encode(), b"tally: verify_token", hashlib.sha256).hexdigest()
            object.__setattr__(self, "verify_token", derived)

    @property
    def at_strava(self) -> bool:
        """Whether the service runs on Strava itself, and not on an emulator."""
        hosts = [urlsplit(url).hostname or "" for url in (self.api_url, self.oauth_url) if url is not None]
        return all(f".{host}".endswith(".strava.com") for host in hosts)

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """Return the settings in environment variables; an empty variable counts as not set.

        Raises:
            SettingsError: the application's id or secret is missing, a number is invalid, or white space surrounds a
                value.
        """

        def optional(name: str) -> str | None:
            value = environment.get(name) or None
            if value is not None and value != value.strip():
                raise SettingsError(f"{name} has white space around it, such as the line break of a file")
            return value

        def required(name: str) -> str:
            if value := optional(name):
                return value
            raise SettingsError(f"{name} is not set: see https://www.strava.com/settings/api")

        subscription_id = optional("STRAVA_SUBSCRIPTION_ID")
        if subscription_id is not None and not subscription_id.isdecimal():
            raise SettingsError("STRAVA_SUBSCRIPTION_ID is not a number")
        return cls(
            client_id=required("STRAVA_CLIENT_ID"),
            client_secret=required("STRAVA_CLIENT_SECRET"),
            data_dir=Path(optional("DATA_DIR") or cls.data_dir),
            public_url=(optional("PUBLIC_URL") or "").rstrip("/") or None,
            verify_token=optional("STRAVA_VERIFY_TOKEN") or "",
            webhook_path=optional("STRAVA_WEBHOOK_PATH") or cls.webhook_path,
            subscription_id=None if subscription_id is None else int(subscription_id),
            token_key=optional("STRAVA_TOKEN_KEY"),
            api_url=optional("STRAVA_API_URL"),
            oauth_url=optional("STRAVA_OAUTH_URL"),
        )
