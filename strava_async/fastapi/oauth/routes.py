"""What the routes of ``oauth_router`` do."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields, replace
from urllib.parse import quote, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from strava_async._concurrency.callbacks import call_back
from strava_async._hidden import Hidden
from strava_async.application import Strava
from strava_async.client import Client
from strava_async.errors import AuthorizationDeniedError, InputError, StravaError, TokenStoreError
from strava_async.fastapi.cookies import cookies_of
from strava_async.fastapi.cross_site import is_sent_from_here
from strava_async.fastapi.kit import ServiceState, kit_of
from strava_async.fastapi.oauth.connect_link import note_next
from strava_async.fastapi.oauth.failures import ConnectFailure, failure, failure_of
from strava_async.fastapi.oauth.next_url import safe_next
from strava_async.fastapi.oauth.pages import failure_response
from strava_async.fastapi.oauth.query import read_query, take_code
from strava_async.fastapi.oauth.state_cookie import (
    MountPoint,
    clear_state_cookie,
    finished_next,
    new_state,
    set_state_cookie,
    verify_state_cookie,
)
from strava_async.login.grants import IfMissing
from strava_async.oauth.credentials import is_secret
from strava_async.quota.readings import Meter, Quota

OnConnect = Callable[[Request, Client], Awaitable[Response | None] | Response | None]
OnError = Callable[[Request, ConnectFailure], Awaitable[Response | None] | Response | None]
OnDisconnect = Callable[[int], object]
User = Callable[[Request], Awaitable[str | None] | str | None]

SECRET_BYTES = 24

# The service knows where to sign in: `on_error` may say so.
_NO_USER = replace(
    failure("not_signed_in"), text="Sign in to this service first, then connect with Strava.", link_text=""
)

_HIDDEN = (
    "The browser does not say which page this was sent from. Over plain http it does not for pages with "
    "Referrer-Policy: no-referrer."
)

_logger = logging.getLogger("strava_async.fastapi")


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthRoutes:
    """The routes, and what they were given; see ``oauth_router``."""

    strava: Strava
    scope: tuple[str, ...]
    required_scope: tuple[str, ...]
    on_connect: OnConnect | None
    on_error: OnError | None
    on_disconnect: OnDisconnect | None
    user: User | None
    base_url: str | None
    after_connect: str
    after_disconnect: str
    if_missing: IfMissing
    new_secret: Callable[[int], str]

    async def connect(self, request: Request) -> Response:
        """Redirect the browser to Strava's page."""
        kit, mount = self._kit(request), self._mount(request)
        query = read_query(request.scope["query_string"], ("next", "approval_prompt"))
        go_to = safe_next((query or {}).get("next"), "")
        note_next(request, go_to)
        prompt = "" if query is None else query.get("approval_prompt", "auto")
        if query is None or prompt not in ("auto", "force"):
            return await self._not_connected(request, failure("malformed"))
        user = await self._user(request)
        if user is None:
            return await self._show(request, _NO_USER)
        secret = self.new_secret(SECRET_BYTES)
        state = new_state(kit.states, go_to, secret, user)
        page = await kit.strava.authorization_url(f"{mount.url}/callback", self.scope, state, prompt)
        response = _see_other(page)
        set_state_cookie(response, mount, state, secret, cookies_of(request))
        return response

    async def callback(self, request: Request) -> Response:
        """Handle the redirect from Strava, and clear its cookie whatever the outcome.

        A redirect that was handled before, as after pressing Back, leads on if the athlete is signed in.
        """
        code = take_code(request)  # first, before anything can fail
        kit, mount, go_to, cookies = self._kit(request), self._mount(request), "", cookies_of(request)
        state = (read_query(request.scope["query_string"], ("state",)) or {}).get("state", "")
        note_next(request, go_to)
        user = await self._user(request)
        try:
            before = finished_next(kit.states, mount, state, cookies)
            if before is not None and await kit.athlete_id(request) is not None:
                return _see_other(before or self.after_connect)
            outcome: Client | ConnectFailure = _NO_USER
            if user is not None:
                go_to = verify_state_cookie(kit.states, mount, state, cookies, user)
                note_next(request, go_to)
                outcome = await self._exchange(kit, request, code)
        except InputError:
            raise  # an error in the service itself
        except StravaError as error:
            outcome = _logged_failure(kit, error, kept=self.if_missing == "keep")
        if isinstance(outcome, Client):
            response = await self._connected(request, outcome, go_to)
        else:
            response = await self._not_connected(request, outcome, go_to)
        clear_state_cookie(response, mount, state, cookies)
        return response

    async def disconnect(self, request: Request) -> Response:
        """Revoke the grant of the athlete who is signed in, then call ``on_disconnect``, then sign out."""
        kit = self._kit(request)
        query = read_query(request.scope["query_string"], ("next",))
        rejection = _rejection(request, self._mount(request), kit, query)
        if rejection is not None:
            return await self._not_disconnected(request, rejection)
        try:
            athlete_id = await kit.disconnecting_athlete_id(request)
        except TokenStoreError as error:
            return await self._not_disconnected(request, _logged_failure(kit, error))
        if athlete_id is None:
            return await self._not_connected(request, failure("not_signed_in"))
        try:
            await kit.strava.disconnect(athlete_id)
        except InputError:
            raise
        except StravaError as error:
            return await self._not_disconnected(request, _logged_failure(kit, error))
        if self.on_disconnect is not None:
            # Before signing out: if it fails, the athlete can press again, and `disconnect` finds nothing left to do.
            await call_back(self.on_disconnect, athlete_id)
        return self._signed_out(kit, query)

    async def sign_out(self, request: Request) -> Response:
        """Sign out in this browser; with ``everywhere=1`` in all browsers of the athlete."""
        kit = self._kit(request)
        query = read_query(request.scope["query_string"], ("next", "everywhere"))
        everywhere = (query or {}).get("everywhere", "0")
        rejection = _rejection(request, self._mount(request), kit, query if everywhere in ("0", "1") else None)
        if rejection is not None:
            return await self._not_disconnected(request, rejection)
        if everywhere == "1":
            try:
                athlete_id = await kit.athlete_id(request)
                if athlete_id is not None:
                    await kit.strava.end_sessions(athlete_id)
            except TokenStoreError as error:  # the browser stays signed in, for another try
                return await self._not_disconnected(request, _logged_failure(kit, error))
        return self._signed_out(kit, query)

    async def quota(self, request: Request) -> Response:
        """Return the application's meters, which say nothing about any athlete."""
        quota = self._kit(request).strava.quota
        return _private(JSONResponse({meter.name: _shown(getattr(quota, meter.name)) for meter in fields(Quota)}))

    async def _user(self, request: Request) -> str | None:
        """Return the service's own user: empty if it has none, None if nobody is signed in."""
        if self.user is None:
            return ""
        return _text_of(await call_back(self.user, request)) or None

    async def _exchange(self, kit: ServiceState, request: Request, code: Hidden[str]) -> Client | ConnectFailure:
        query = read_query(request.scope["query_string"], ("error", "scope"))
        if query is not None and query.get("error"):
            raise AuthorizationDeniedError(ascii(query["error"][:100])[1:-1])
        if query is None or not is_secret(code):
            return failure("malformed")
        return await kit.strava.connect(
            code.reveal(),
            self.required_scope or None,
            granted_scope=query.get("scope"),
            if_missing=self.if_missing,
        )

    async def _connected(self, request: Request, client: Client, go_to: str) -> Response:
        answer = await call_back(self.on_connect, request, client) if self.on_connect is not None else None
        response = _page(answer) if isinstance(answer, Response) else _see_other(go_to or self.after_connect)
        try:
            await self._sign_in(request, response, client.athlete_id)
        except TokenStoreError as error:
            return await self._not_connected(request, _logged_failure(self._kit(request), error), go_to)
        return response

    async def _not_connected(self, request: Request, shown: ConnectFailure, go_to: str = "") -> Response:
        """Respond with a failure that connecting again may resolve."""
        query = {"next": go_to} if go_to else {}
        if shown.reason == "missing_scope":
            query["approval_prompt"] = "force"  # Strava would not ask again for what was left out
        link = f"{self._mount(request).path}/connect{'?' if query else ''}{urlencode(query)}"
        response = await self._show(request, replace(shown, link=link if shown.link_text else ""))
        if shown.athlete_id is not None and self.if_missing == "keep":
            try:
                await self._sign_in(request, response, shown.athlete_id)
            except TokenStoreError as error:
                _logger.error("athlete %d is connected, and could not be signed in: %s", shown.athlete_id, error)
        return response

    async def _not_disconnected(self, request: Request, shown: ConnectFailure) -> Response:
        """Respond with a failure that links back to where the athlete came from."""
        return await self._show(request, replace(shown, link=self.after_disconnect, link_text="Go back"))

    async def _show(self, request: Request, shown: ConnectFailure) -> Response:
        answer = await call_back(self.on_error, request, shown) if self.on_error is not None else None
        return _page(answer) if isinstance(answer, Response) else _private(failure_response(request, shown))

    async def _sign_in(self, request: Request, response: Response, athlete_id: int) -> None:
        # After the application's own function: it may end the sessions of other browsers, or the grant.
        signed_in = self._kit(request).signed_in
        await signed_in.sign_in(request, response, athlete_id, origin=self._mount(request).origin)

    def _signed_out(self, kit: ServiceState, query: dict[str, str] | None) -> Response:
        response = _see_other(safe_next((query or {}).get("next"), self.after_disconnect))
        kit.sessions.sign_out(response)
        return response

    def _kit(self, request: Request) -> ServiceState:
        return kit_of(request, self.strava)

    def _mount(self, request: Request) -> MountPoint:
        """Return where the browser reaches the routes beside the requested one."""
        # `url_for` would not find them if there are two such routers, or a parameter in the prefix.
        root = request.scope.get("app_root_path", request.scope.get("root_path", "")).rstrip("/")
        path = request.scope["path"]
        path = path[len(root) :] if path.startswith(f"{root}/") else path
        url = (self.base_url or str(request.base_url).rstrip("/")) + quote(path.rpartition("/")[0])
        parts = urlsplit(url)
        return MountPoint(url, parts.path, parts.scheme == "https")


def _text_of(user: object) -> str | None:
    if user is None or isinstance(user, str):
        return user
    raise InputError(f"oauth_router(user=...) has to return a text or None, not {type(user).__name__}")


def _rejection(
    request: Request, mount: MountPoint, kit: ServiceState, query: dict[str, str] | None
) -> ConnectFailure | None:
    if not is_sent_from_here(request, mount.origin, kit.origins):
        rejected = failure("cross_site")
        return replace(rejected, text=_HIDDEN) if request.headers.get("origin") == "null" else rejected
    return failure("malformed") if query is None else None


def _logged_failure(kit: ServiceState, error: StravaError, *, kept: bool = False) -> ConnectFailure:
    shown = failure_of(error, now=kit.strava.clock.time(), kept=kept)
    if shown.status_code >= 500 or shown.reason == "athlete_capacity":
        _logger.error("an athlete saw this page: %s. The reason: %s", shown.title, error)
    elif shown.reason == "missing_scope" and error.__cause__ is not None:
        _logger.error("a required scope was not granted, and the grant could not be revoked: %s", error.__cause__)
    return shown


def _see_other(url: str) -> Response:
    return _private(RedirectResponse(url, 303))


def _page(response: Response) -> Response:
    """Forbid caching of a page of the application, and let its links tell the site alone as the referrer.

    Not ``no-referrer``: over plain http its forms would be sent with ``Origin: null``, and be rejected here.
    """
    return _private(response, "strict-origin")


def _private(response: Response, referrer_policy: str = "no-referrer") -> Response:
    """Forbid caching of the response, and let its links send no referrer."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = referrer_policy
    return response


def _shown(meter: Meter) -> dict[str, float | None]:
    return {
        "limit": meter.limit,
        "usage": meter.usage,
        "reserved": meter.reserved,
        "remaining": meter.remaining,
        "resets_at": meter.resets_at,
    }
