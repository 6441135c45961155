"""``/oauth/authorize``: checks the request, asks the athlete, redirects the browser.

Source:
    https://developers.strava.com/docs/authentication/ ("Requesting access"). Only the Fault for a
    wrong client id has been reported; the others follow its pattern.
"""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from strava_async.testing.http.request import EmulatorRequest
from strava_async.testing.http.responses import Response, bad_request, empty_response, html_response
from strava_async.testing.pages.consent_html import PAGE_HEADERS, capacity_page, consent_page
from strava_async.testing.state.grants import Application, GrantRegistry, ordered_scopes

PAGE_LIFETIME_SECONDS = 1_800
PAGES_KEPT = 10_000

_LOCAL_HOSTS = ("localhost", "127.0.0.1")
_FORBIDDEN_SCHEMES = ("javascript", "data", "vbscript", "file", "")
_NOT_IN_A_URI = re.compile(r"[\x00-\x20\x7f\\<>\"]")
_COOKIE = "emulator_athlete"


@dataclass(frozen=True, slots=True)
class _AuthorizationRequest:
    """An authorization request whose page was shown."""

    application: Application
    redirect_uri: str
    scope: tuple[str, ...]
    state: str | None
    expires_at: float


class Consent:
    """The authorization endpoint.

    Args:
        registry: stores the grants.
        names: returns the name of each athlete by id; called when a page is shown.
        first_athlete: the athlete who is signed in to a new browser.
    """

    def __init__(self, registry: GrantRegistry, names: Callable[[], Mapping[int, str]], first_athlete: int) -> None:
        self._registry = registry
        self._names = names
        self._first_athlete = first_athlete
        self._pending: OrderedDict[str, _AuthorizationRequest] = OrderedDict()

    async def show(self, request: EmulatorRequest) -> Response:
        """GET: show the page, or redirect at once where everything has been granted already."""
        authorization = self._read(request)
        names = self._names()
        chosen = self._signed_in(request, names)
        granted = self._registry.grant_of(authorization.application.client_id, chosen)
        certain = len(names) == 1 or _COOKIE in request.asgi_request.cookies
        automatic = certain and request.query.get("approval_prompt", "auto") == "auto"
        if automatic and granted and set(authorization.scope) <= set(granted.scope):
            return self._send_back(authorization, chosen, granted.scope, request.now)
        if certain and self._registry.is_full_for(authorization.application, chosen):
            return html_response(capacity_page(), 403, PAGE_HEADERS)
        request_id = secrets.token_urlsafe(24)
        self._pending[request_id] = authorization
        if len(self._pending) > PAGES_KEPT:
            self._pending.popitem(last=False)
        page = consent_page(
            application=f"application {authorization.application.client_id}",
            request_id=request_id,
            scope=authorization.scope,
            athletes=names,
            chosen=chosen,
            destination=urlsplit(authorization.redirect_uri).hostname or "",
        )
        return html_response(page, 200, PAGE_HEADERS)

    async def decide(self, request: EmulatorRequest) -> Response:
        """POST: the athlete's decision. Works once for each page shown."""
        form = _read_form(await request.body())
        authorization = self._pending.pop(form.get("request_id", [""])[0], None)
        if authorization is None or authorization.expires_at <= request.now:
            raise bad_request("Authorize", "request_id")
        if form.get("action") != ["authorize"]:
            return _redirect(authorization, {"error": "access_denied"})
        athlete_id = _known_athlete(form.get("athlete_id", [""])[0], self._names())
        if self._registry.is_full_for(authorization.application, athlete_id):
            return html_response(capacity_page(), 403, PAGE_HEADERS)
        ticked = set(form.get("scope", []))
        return self._send_back(
            authorization, athlete_id, tuple(s for s in authorization.scope if s in ticked), request.now
        )

    def _read(self, request: EmulatorRequest) -> _AuthorizationRequest:
        query = request.query
        application = self._registry.application(query.get("client_id", ""))
        if application is None:
            raise bad_request("Application", "client_id")
        redirect_uri = query.get("redirect_uri", "")
        if not allows_redirect(redirect_uri, application.callback_domain):
            raise bad_request("Application", "redirect_uri")
        if query.get("response_type") != "code":
            raise bad_request("Authorize", "response_type")
        if query.get("approval_prompt", "auto") not in ("auto", "force"):
            raise bad_request("Authorize", "approval_prompt")
        try:
            scope = ordered_scopes(query.get("scope", "").replace(",", " ").split())
        except ValueError as error:
            raise bad_request("Authorize", "scope") from error
        if not scope:
            raise bad_request("Authorize", "scope", "missing")
        expires_at = request.now + PAGE_LIFETIME_SECONDS
        return _AuthorizationRequest(application, redirect_uri, scope, query.get("state"), expires_at)

    def _signed_in(self, request: EmulatorRequest, names: Mapping[int, str]) -> int:
        cookie = request.asgi_request.cookies.get(_COOKIE, "")
        return next((athlete_id for athlete_id in names if str(athlete_id) == cookie), self._first_athlete)

    def _send_back(
        self, authorization: _AuthorizationRequest, athlete_id: int, scope: tuple[str, ...], now: float
    ) -> Response:
        code = self._registry.issue_code(authorization.application.client_id, athlete_id, scope, now)
        cookie = f"{_COOKIE}={athlete_id}; Path=/; HttpOnly; SameSite=Lax"
        return _redirect(authorization, {"code": code, "scope": ",".join(scope)}, {"Set-Cookie": cookie})


def allows_redirect(redirect_uri: str, callback_domain: str) -> bool:
    """Say whether a browser may be sent there: to the callback domain, below it, or to the local machine."""
    if _NOT_IN_A_URI.search(redirect_uri):
        return False
    try:
        parts = urlsplit(redirect_uri)
        host = parts.hostname or ""
        _ = parts.port  # raises ValueError if it is not a number
    except ValueError:
        return False
    if parts.scheme in _FORBIDDEN_SCHEMES or "@" in parts.netloc or parts.fragment:
        return False
    domain = callback_domain.lower()
    return host in (*_LOCAL_HOSTS, domain) or (bool(domain) and host.endswith(f".{domain}"))


def _read_form(raw: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(raw.decode("utf-8", "replace"), max_num_fields=50)
    except ValueError as error:
        raise bad_request("Authorize", "request_id") from error


def _known_athlete(value: str, names: Mapping[int, str]) -> int:
    for athlete_id in names:
        if str(athlete_id) == value:
            return athlete_id
    raise bad_request("Athlete", "id")


def _redirect(
    authorization: _AuthorizationRequest, values: Mapping[str, str], headers: Mapping[str, str] | None = None
) -> Response:
    given = {} if authorization.state is None else {"state": authorization.state}
    query = urlencode({**given, **values}, safe=",:", quote_via=quote)
    # Non-ASCII characters of the caller's URI go out escaped; what is escaped already stays.
    target = quote(authorization.redirect_uri, safe="!#$%&'()*+,/:;=?@[]~")
    location = f"{target}{'&' if urlsplit(target).query else '?'}{query}"
    return empty_response(302, {"Location": location, "Cache-Control": "no-store", **(headers or {})})
