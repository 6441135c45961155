"""Access to the API: the token, the quota, and the state of the application."""

from __future__ import annotations

from collections.abc import Mapping

from strava_async.testing.http.request import EmulatorRequest
from strava_async.testing.http.responses import (
    RATE_FIELDS,
    HttpError,
    bad_request,
    inactive,
    rate_limited,
    unauthorized,
    wrong_secret,
)
from strava_async.testing.meters import RateClass
from strava_async.testing.quirks import Quirks
from strava_async.testing.state.grants import Application, GrantRegistry

HEADER_ONLY_AT = 1_811_808_000.0  # 2027-06-01, when tokens in a query stop working; the hour is not announced
UPLOAD_CLASS = frozenset({("POST", "/activities"), ("POST", "/uploads")})

_ON_THE_WIRE = {name.lower(): name for name in RATE_FIELDS}


def bearer_of(request: EmulatorRequest) -> str:
    """Return the access token in the ``Authorization`` field; empty if there is none."""
    scheme, _, value = request.asgi_request.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def application_of(registry: GrantRegistry, values: Mapping[str, str]) -> Application:
    """Return the application whose ``client_id`` and ``client_secret`` were sent; an ``HttpError`` for invalid ones."""
    application = registry.application(values.get("client_id", ""))
    secret = values.get("client_secret", "")
    if application is None or not secret:
        raise bad_request("Application", "client_id")
    if not application.accepts(secret):
        raise wrong_secret()
    return application


class AccessControl:
    """Identifies callers by their tokens, and counts and checks their requests."""

    def __init__(self, registry: GrantRegistry, quirks: Quirks) -> None:
        self._registry = registry
        self._quirks = quirks

    def token_of(self, request: EmulatorRequest) -> str:
        """Return the access token that was sent; empty if there is none.

        It is in the ``Authorization`` field, or in the query with ``Quirks.token_in_query``, as long as Strava
        accepts it there.
        """
        in_query = self._quirks.token_in_query and request.now < HEADER_ONLY_AT
        return bearer_of(request) or (request.query.get("access_token", "") if in_query else "")

    def identify(self, request: EmulatorRequest, token: str) -> None:
        """Set the token and the application of a request; an unknown token sets neither."""
        request.token = self._registry.access_token(token) if token else None
        if request.token is not None:
            request.application = self._registry.applications[request.token.client_id]

    def count(self, request: EmulatorRequest, rate_class: RateClass = "read") -> HttpError | None:
        """Count the request against its application's quota; return a 429 if that is exceeded.

        A request without a known token belongs to no application: it is not counted.
        """
        if request.application is None:
            return None
        verdict = request.application.meters.count(rate_class, request.now)
        request.rate_headers = {_ON_THE_WIRE[name.lower()]: value for name, value in verdict.headers.items()}
        return None if verdict.exceeded is None else rate_limited(verdict.exceeded)

    def check(self, request: EmulatorRequest) -> None:
        """Raise ``HttpError`` for an inactive application or an invalid token."""
        if request.application is not None and not request.application.active:
            raise inactive()
        if request.token is None or not request.token.is_live(request.now):
            raise unauthorized()
