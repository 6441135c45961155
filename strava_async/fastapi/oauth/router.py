"""The routes by which athletes connect with Strava, and disconnect again.

Rules:

- A redirect from Strava is accepted only in the browser that began the authorization (``state_cookie``), for the same
  user of the service (``user``), and once: its code is spent.
- No code and no state leaks through a URL: no response may be cached, and none sends a Referer; the application's own
  pages send the origin alone.
- Whatever changes something is a POST, and is rejected if a page of another origin sent it.
- An athlete's data are deleted after the grant is revoked. If that fails half way, the athlete is still signed in, and
  pressing the button again does the rest.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable

from fastapi import APIRouter

from strava_async.application import Strava
from strava_async.errors import InputError
from strava_async.fastapi.cross_site import is_a_site
from strava_async.fastapi.oauth.connect_link import CONNECT_ROUTE
from strava_async.fastapi.oauth.routes import OAuthRoutes, OnConnect, OnDisconnect, OnError, User
from strava_async.fastapi.origins import origin_of
from strava_async.login.grants import IfMissing
from strava_async.oauth.scopes import scope_names


def oauth_router(
    strava: Strava,
    *,
    scope: str | Iterable[str] | None = None,
    required_scope: str | Iterable[str] | None = None,
    on_connect: OnConnect | None = None,
    on_error: OnError | None = None,
    on_disconnect: OnDisconnect | None = None,
    user: User | None = None,
    base_url: str | None = None,
    after_connect: str = "/",
    after_disconnect: str = "/",
    if_missing: IfMissing = "revoke",
    quota: bool = True,
    new_secret: Callable[[int], str] = secrets.token_urlsafe,
) -> APIRouter:
    """Return the routes for ``app.include_router(..., prefix="/strava")``. The service needs a ``StravaLifespan``.

    They need an application of FastAPI's: one of Starlette's alone cannot mount them.

    ===================  ================================================================================
    ``GET /connect``     redirects to Strava's page, and remembers ``?next=``, a path of this
                         site; ``?approval_prompt=force`` shows the page even if all was granted before
    ``GET /callback``    takes Strava's redirect, saves the tokens, signs the athlete in, goes on to ``next``
    ``POST /disconnect`` revokes the grant of the athlete who is signed in, deletes the tokens, signs out
    ``POST /sign-out``   signs out, in this browser alone; with ``?everywhere=1`` in all that the athlete is
                         signed in with
    ``GET /quota``       the application's four meters as JSON, for anybody; see ``quota``
    ===================  ================================================================================

    They are named ``strava_connect``, ``strava_callback`` and so on, for ``url_for``. The four functions may be
    ``async``; if they are not, they run in a thread. What they raise propagates to the application.

    Args:
        strava: the application; the same that ``StravaLifespan`` has.
        scope: what is requested; None means ``read`` and ``activity:read``.
        required_scope: what the athlete has to grant; None means all that is requested, an empty one nothing.
        on_connect: called with the request and the athlete's client, when the tokens are saved and nothing required is
            missing. A response that it returns is sent in place of the redirect, and signs the athlete in too: it is
            given the athlete's cookie, so make a new one each time. If it raises, the athlete is connected but not
            signed in.
        on_error: called with the request and a ``ConnectFailure``. A new response that it returns is sent in place of
            the default page. Whatever status it has, it must not show the address of the request.
        on_disconnect: called with the athlete's id, when the grant is revoked and the tokens are deleted: delete the
            data. It may be called again for the same athlete. It is not called when tokens are revoked because
            a scope was not granted.
        user: called with the request, at the beginning and at the end of a connection; returns a text that names the
            service's own user, such as an id, or None if none is signed in, in which case the page asks to sign in
            first. The redirect of one user is rejected as forged when another brings it: otherwise the athlete could
            be linked to the user who is signed in by then. A service that has users of its own (``identify``) needs
            it. The text is only compared: it is neither kept nor shown.
        base_url: the address of the service's root as browsers see it, such as ``https://service.example``; needed
            behind a proxy that hides it, or that hides https. None takes it from the request. With it, a
            session of another site is not valid here, whatever a request says.
        after_connect: where to go if there is no ``next``.
        after_disconnect: where to go after signing out, if there is no ``next``.
        if_missing: what happens to the tokens if something required was not granted; see ``Strava.connect``. With
            ``keep`` the athlete is connected and signed in; ``on_error`` is the notice of it, with the reason
            ``missing_scope`` and the ``athlete_id``, and ``on_connect`` is not called.
        quota: whether there is ``GET /quota``. It names no athlete, but shows anybody how much the service is used, and
            someone who drains its quota how far they are.
        new_secret: makes a random text of that many bytes.

    Raises:
        InputError: an argument is invalid.

    Source:
        https://developers.strava.com/docs/authentication/, RFC 6749 and RFC 9700.
    """
    if if_missing not in ("keep", "revoke"):
        raise InputError(f"if_missing is 'keep' or 'revoke', not {if_missing!r}")
    asked = scope_names(scope)
    routes = OAuthRoutes(
        strava=strava,
        scope=asked,
        required_scope=_required(asked, required_scope),
        on_connect=on_connect,
        on_error=on_error,
        on_disconnect=on_disconnect,
        user=user,
        base_url=_checked(base_url),
        after_connect=after_connect,
        after_disconnect=after_disconnect,
        if_missing=if_missing,
        new_secret=new_secret,
    )
    strava.origins.add(None if routes.base_url is None else origin_of(routes.base_url))
    return _router(routes, quota=quota)


def _router(routes: OAuthRoutes, *, quota: bool) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    router.add_api_route("/connect", routes.connect, name=CONNECT_ROUTE)
    router.add_api_route("/callback", routes.callback, name="strava_callback")
    router.add_api_route("/disconnect", routes.disconnect, methods=["POST"], name="strava_disconnect")
    router.add_api_route("/sign-out", routes.sign_out, methods=["POST"], name="strava_sign_out")
    if quota:
        router.add_api_route("/quota", routes.quota, name="strava_quota")
    return router


def _required(asked: tuple[str, ...], required_scope: str | Iterable[str] | None) -> tuple[str, ...]:
    if required_scope is None:
        return asked
    names = required_scope if isinstance(required_scope, str) else list(required_scope)
    required = scope_names(names) if names else ()
    if unasked := set(required) - set(asked):
        raise InputError(f"required_scope has {', '.join(sorted(unasked))}, which scope does not request")
    return required


def _checked(base_url: str | None) -> str | None:
    if base_url is None:
        return None
    if not is_a_site(base_url):
        # Not shown: a user and password may be in it.
        raise InputError("base_url is the address of a site and nothing more, like https://service.example")
    return base_url.rstrip("/")
