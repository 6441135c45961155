"""``/oauth/token``, ``/oauth/revoke`` and ``/oauth/deauthorize``.

Source:
    https://developers.strava.com/docs/authentication/; the failure bodies as seen by a probe of 2026-07.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

from strava_async.testing.http.access import AccessControl, application_of, bearer_of
from strava_async.testing.http.request import EmulatorRequest
from strava_async.testing.http.responses import (
    HttpError,
    Response,
    bad_request,
    empty_response,
    json_response,
    over_capacity,
    unauthorized,
)
from strava_async.testing.quirks import Quirks
from strava_async.testing.state.grants import Application, Grant, GrantRegistry

SummaryOf = Callable[[int], dict[str, Any]]


def token_values(grant: Grant, now: float, *, with_scope: bool) -> dict[str, Any]:
    """Return the token response for a grant."""
    values: dict[str, Any] = {
        "token_type": "Bearer",
        "access_token": grant.access.value,
        "expires_at": int(grant.access.expires_at),
        "expires_in": max(0, int(grant.access.expires_at) - int(now)),
        "refresh_token": grant.refresh_token,
    }
    return {**values, "scope": " ".join(grant.scope)} if with_scope else values


class TokensApi:
    """The endpoints that issue and revoke tokens.

    Args:
        registry: stores the grants.
        access: counts the legacy ``deauthorize``, the only one of the three that spends quota.
        quirks: see there.
        summary_of: gives the SummaryAthlete of an athlete.
    """

    def __init__(self, registry: GrantRegistry, access: AccessControl, quirks: Quirks, summary_of: SummaryOf) -> None:
        self._registry = registry
        self._access = access
        self._quirks = quirks
        self._summary_of = summary_of

    async def token(self, request: EmulatorRequest) -> Response:
        """POST /oauth/token: exchange a code or a refresh token. The parameters may come as form, JSON or query."""
        values = await request.parameters()
        application = application_of(self._registry, values)
        grant_type = values.get("grant_type")
        if grant_type == "authorization_code":
            return self._redeem(application, values.get("code", ""), request.now)
        if grant_type == "refresh_token":
            grant = self._registry.refresh(application.client_id, values.get("refresh_token", ""), request.now)
            if grant is None:
                raise bad_request("RefreshToken", "refresh_token")
            return json_response(self._values(grant, request.now))
        # The response to a known application with a wrong grant_type has not been reported.
        raise bad_request("Application", "grant_type")

    async def revoke(self, request: EmulatorRequest) -> Response:
        """POST /oauth/revoke: end a grant by one of its tokens; 200 also for a token that is not known."""
        application = self._basic(request.asgi_request.headers.get("authorization", ""))
        token = (await request.parameters()).get("token", "")
        if not token:
            raise bad_request("Token", "token", "missing")
        self._registry.revoke(application.client_id, token)
        return empty_response()

    async def deauthorize(self, request: EmulatorRequest) -> Response:
        """POST /oauth/deauthorize: the legacy way, by access token as parameter or bearer; spends quota."""
        token = (await request.parameters()).get("access_token") or bearer_of(request)
        self._access.identify(request, token)
        refusal = self._access.count(request)
        if refusal is not None:
            raise refusal
        if request.token is None or not request.token.is_live(request.now):
            raise unauthorized()
        self._registry.revoke(request.token.client_id, token)
        return json_response({"access_token": token})

    def _basic(self, header: str) -> Application:
        scheme, _, value = header.partition(" ")
        try:
            pair = base64.b64decode(value.strip(), validate=True).decode() if scheme.lower() == "basic" else ""
        except (binascii.Error, ValueError):
            pair = ""
        client_id, _, secret = pair.partition(":")
        application = self._registry.application(client_id)
        if application is None or not application.accepts(secret):
            raise HttpError(401, "Authorization Error")
        return application

    def _redeem(self, application: Application, code: str, now: float) -> Response:
        athlete_id = self._registry.athlete_of_code(application.client_id, code, now)
        if athlete_id is not None and self._registry.is_full_for(application, athlete_id):
            raise over_capacity()
        grant = self._registry.redeem(application.client_id, code, now)
        if grant is None:
            raise bad_request("AuthorizationCode", "code")
        athlete = self._summary_of(grant.athlete_id)
        return json_response({**self._values(grant, now), "athlete": athlete})

    def _values(self, grant: Grant, now: float) -> dict[str, Any]:
        return token_values(grant, now, with_scope=self._quirks.scope_in_token_answer)
