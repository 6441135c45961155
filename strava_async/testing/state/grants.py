"""Applications, grants and tokens: who may do what. Pure state; instants come in as arguments.

Rules:

- An application has one grant per athlete; the grant has one refresh token and one current access token.
- A refresh returns the current access token if that has more than an hour left, else a new one.
- A code works once. An invalid token is remembered, so that a request with it is still counted to its application.

Source:
    https://developers.strava.com/docs/authentication/
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from strava_async.testing.meters import Meters
from strava_async.testing.quirks import Quirks

ALL_SCOPES = (
    "read",
    "read_all",
    "profile:read_all",
    "profile:write",
    "activity:read",
    "activity:read_all",
    "activity:write",
)
TOKEN_LIFETIME_SECONDS = 21_600
RENEWAL_SECONDS = 3_600


def ordered_scopes(scope: Iterable[str]) -> tuple[str, ...]:
    """Return the scopes once each, in Strava's order; unknown ones raise ``ValueError``."""
    wanted = set(scope)
    unknown = wanted.difference(ALL_SCOPES)
    if unknown:
        raise ValueError(f"no such scope: {', '.join(sorted(unknown))}")
    return tuple(name for name in ALL_SCOPES if name in wanted)


@dataclass(slots=True)
class Application:
    """An API application. Its attributes may be changed at any time.

    Attributes:
        client_id: its id.
        client_secret: its secret.
        callback_domain: redirects go to this host or below it; ``localhost`` and ``127.0.0.1`` always work.
        active: False answers every API call with 403, as Strava does to an owner without subscription.
        athlete_capacity: how many athletes may be connected; None means any number.
        meters: its quota.
    """

    client_id: int
    client_secret: str = field(repr=False)
    callback_domain: str = "localhost"
    active: bool = True
    athlete_capacity: int | None = None
    meters: Meters = field(default_factory=Meters, repr=False)

    def accepts(self, secret: str) -> bool:
        """Say whether that is the client secret."""
        return hmac.compare_digest(self.client_secret.encode(), secret.encode("utf-8", "replace"))


@dataclass(slots=True, eq=False)
class AccessToken:
    """An access token, valid or not."""

    value: str = field(repr=False)
    client_id: int
    athlete_id: int
    scope: tuple[str, ...]
    expires_at: float

    def is_live(self, now: float) -> bool:
        """Return whether the token is valid at ``now``."""
        return now < self.expires_at


@dataclass(slots=True, eq=False)
class Grant:
    """What an athlete has granted an application."""

    client_id: int
    athlete_id: int
    scope: tuple[str, ...]
    refresh_token: str = field(repr=False)
    access: AccessToken


@dataclass(frozen=True, slots=True)
class _Code:
    client_id: int
    athlete_id: int
    scope: tuple[str, ...]
    expires_at: float


class GrantRegistry:
    """All applications of the emulator and what athletes granted them.

    Attributes:
        applications: by client id.
        on_end: called with each grant that has ended.
    """

    def __init__(self, quirks: Quirks) -> None:
        self.applications: dict[int, Application] = {}
        self.on_end: Callable[[Grant], None] = lambda grant: None
        self._quirks = quirks
        self._grants: dict[tuple[int, int], Grant] = {}
        self._by_refresh_token: dict[str, Grant] = {}
        self._access_tokens: dict[str, AccessToken] = {}
        self._codes: dict[str, _Code] = {}

    def application(self, client_id: str) -> Application | None:
        """Return the application with that id, given as a caller wrote it."""
        if not (client_id.isascii() and client_id.isdecimal() and len(client_id) <= 18):
            return None
        return self.applications.get(int(client_id))

    def access_token(self, value: str) -> AccessToken | None:
        """Return the token of that value, valid or not."""
        return self._access_tokens.get(value)

    def grant_of(self, client_id: int, athlete_id: int) -> Grant | None:
        """Return what the athlete has granted the application."""
        return self._grants.get((client_id, athlete_id))

    def is_full_for(self, application: Application, athlete_id: int) -> bool:
        """Say whether connecting the athlete would go beyond the application's capacity."""
        if application.athlete_capacity is None or (application.client_id, athlete_id) in self._grants:
            return False
        connected = sum(1 for client_id, _ in self._grants if client_id == application.client_id)
        return connected >= application.athlete_capacity

    def issue_code(self, client_id: int, athlete_id: int, scope: tuple[str, ...], now: float) -> str:
        """Return an authorization code for what the athlete has just granted."""
        value = secrets.token_hex(20)
        self._codes[value] = _Code(client_id, athlete_id, scope, now + self._quirks.code_lifetime_seconds)
        return value

    def athlete_of_code(self, client_id: int, value: str, now: float) -> int | None:
        """Return whose code that is; None for an unknown, used, expired or foreign one."""
        code = self._codes.get(value)
        return code.athlete_id if code and code.client_id == client_id and now < code.expires_at else None

    def redeem(self, client_id: int, value: str, now: float) -> Grant | None:
        """Exchange a code for a grant; None for an unknown, used, expired or foreign one."""
        if self.athlete_of_code(client_id, value, now) is None:
            return None
        code = self._codes.pop(value)
        grant = self.grant_of(client_id, code.athlete_id)
        if grant is not None and grant.scope == code.scope:
            return self._renew(grant, now)
        return self.issue_token(client_id, code.athlete_id, code.scope, now, end_old=self._quirks.end_old_access_tokens)

    def refresh(self, client_id: int, refresh_token: str, now: float) -> Grant | None:
        """Apply the one-hour rule; None for an invalid or foreign refresh token."""
        grant = self._by_refresh_token.get(refresh_token)
        return None if grant is None or grant.client_id != client_id else self._renew(grant, now)

    def issue_token(
        self,
        client_id: int,
        athlete_id: int,
        scope: tuple[str, ...],
        now: float,
        *,
        lifetime_seconds: float = TOKEN_LIFETIME_SECONDS,
        end_old: bool = False,
    ) -> Grant:
        """Issue an access token of that scope, and make a grant if there was none."""
        token = AccessToken(secrets.token_hex(20), client_id, athlete_id, scope, now + lifetime_seconds)
        self._access_tokens[token.value] = token
        grant = self.grant_of(client_id, athlete_id)
        if grant is None:
            grant = Grant(client_id, athlete_id, scope, secrets.token_hex(20), token)
            self._grants[client_id, athlete_id] = grant
            self._by_refresh_token[grant.refresh_token] = grant
        elif end_old:
            grant.access.expires_at = min(grant.access.expires_at, now)
        grant.scope, grant.access = scope, token
        return grant

    def revoke(self, client_id: int, token: str) -> None:
        """End the grant that an access or refresh token of the application belongs to, if there is one."""
        grant = self._by_refresh_token.get(token)
        if grant is None and (access := self._access_tokens.get(token)):
            grant = self.grant_of(access.client_id, access.athlete_id)
        if grant is not None and grant.client_id == client_id:
            self.disconnect(client_id, grant.athlete_id)

    def disconnect(self, client_id: int, athlete_id: int) -> None:
        """End a grant with all its tokens."""
        grant = self._grants.pop((client_id, athlete_id), None)
        if grant is None:
            return
        self._by_refresh_token.pop(grant.refresh_token, None)
        self._expire(athlete_id, client_id)
        self.on_end(grant)

    def grants_of(self, athlete_id: int) -> list[Grant]:
        """Return what an athlete has granted, to whichever application."""
        return [grant for grant in self._grants.values() if grant.athlete_id == athlete_id]

    def expire_access_tokens(self, athlete_id: int | None) -> None:
        """Expire the access tokens of one athlete, or of all; grants stay."""
        self._expire(athlete_id, None)

    def _expire(self, athlete_id: int | None, client_id: int | None) -> None:
        for token in self._access_tokens.values():
            if athlete_id in (None, token.athlete_id) and client_id in (None, token.client_id):
                token.expires_at = 0.0

    def _renew(self, grant: Grant, now: float) -> Grant:
        if grant.access.expires_at - now > RENEWAL_SECONDS:
            return grant
        quirks = self._quirks
        self.issue_token(grant.client_id, grant.athlete_id, grant.scope, now, end_old=quirks.end_old_access_tokens)
        if quirks.rotate_refresh_tokens:
            del self._by_refresh_token[grant.refresh_token]
            grant.refresh_token = secrets.token_hex(20)
            self._by_refresh_token[grant.refresh_token] = grant
        return grant
