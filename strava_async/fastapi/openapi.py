"""The OpenAPI description of routes that need an athlete: the cookie, and their error responses.

FastAPI documents the cookie, because it is a dependency of those routes. A dependency cannot declare responses, so they
are added to the finished document, to every operation that uses the cookie. A response that the service describes
itself stays as it is.

Source:
    https://fastapi.tiangolo.com/how-to/extending-openapi/ and RFC 9457.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.models import APIKey, APIKeyIn
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from strava_async.errors import StravaError
from strava_async.fastapi.cookies import own_name
from strava_async.fastapi.problems import MEDIA_TYPE, strava_error_handler
from strava_async.fastapi.sessions import COOKIE_NAME

SCHEME = "StravaSession"
SCHEMA = "StravaProblem"

# Of the only application, and beside others; without ``__Host-``.
CookieNames = tuple[str, str]

_REFERENCE = {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{SCHEMA}"}}}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds after which it may work.", "schema": {"type": "integer"}}}
_ANSWERS: dict[str, dict[str, Any]] = {
    "401": {"description": "Nobody is signed in, or the grant has ended: connect with Strava.", "content": _REFERENCE},
    "402": {"description": "Strava keeps it for its subscribers.", "content": _REFERENCE},
    "403": {"description": "The athlete did not grant it, or Strava does not allow it.", "content": _REFERENCE},
    "404": {"description": "It is not at Strava, or cannot be seen with what was granted.", "content": _REFERENCE},
    "502": {"description": "Strava cannot be reached, or its answer is not usable.", "content": _REFERENCE},
    "503": {
        "description": "Strava's quota is spent, or the service cannot keep it, or cannot read its own data.",
        "headers": _RETRY_AFTER,
        "content": _REFERENCE,
    },
    "504": {"description": "Strava does not answer in time.", "content": _REFERENCE},
}
_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457. A kind of problem may have further members, such as the scopes that are missing.",
    "type": "object",
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "The kind of problem; does not change."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What to do about it."},
        "missing_scope": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["type", "title", "status"],
}


def _described(names: list[str]) -> str:
    each = f" Each application has one: {', '.join(f'`{name}`' for name in names)}." if len(names) > 1 else ""
    return f"Connecting with Strava sets it.{each} Over plain http its name is without `__Host-`."


class SessionCookie(SecurityBase):
    """The cookie of a session, as FastAPI documents it. It checks nothing."""

    def __init__(self) -> None:
        self.scheme_name = SCHEME
        self.model = APIKey.model_validate(
            {
                "in": APIKeyIn.cookie,
                "name": own_name(COOKIE_NAME, secure=True),
                "description": _described([]),
            }
        )

    async def __call__(self, connection: HTTPConnection) -> None:
        """Do nothing."""


session_cookie = SessionCookie()


def document_errors(app: FastAPI) -> None:
    """Let ``app.openapi()`` name the errors of the routes that need an athlete.

    ``StravaLifespan`` does this at startup. It is for programs that make the document without starting the service.

    Args:
        app: what has the routes, those of applications that are mounted included.
    """
    for each in _with_mounted(app):
        _documented(each).names_errors = True


def document(app: object, application: str, cookies: CookieNames | None) -> None:
    """Let ``app.openapi()`` describe the errors, if ``exception_handlers`` handle them, and the cookie.

    Args:
        app: what has a lifespan; ignored unless it is FastAPI's.
        application: the client id; a service may have several.
        cookies: None where the service has its own users, and documents itself how it identifies them.
    """
    for each in _with_mounted(app):
        documented = _documented(each)
        documented.cookies[application] = cookies
        if each.exception_handlers.get(StravaError) is strava_error_handler:
            documented.names_errors = True


class _Documented:
    """Replaces ``FastAPI.openapi``."""

    names_errors = False

    def __init__(self, openapi: Callable[[], dict[str, Any]]) -> None:
        self._openapi = openapi
        self.cookies: dict[str, CookieNames | None] = {}  # by application

    def __call__(self) -> dict[str, Any]:
        document = self._openapi()  # FastAPI caches it: what was added is there the next time
        names = self._cookie_names()
        for operation in _operations(document):
            if not any(SCHEME in wanted for wanted in operation.get("security", ())):
                continue
            if self.names_errors:
                schemas = document.setdefault("components", {}).setdefault("schemas", {})
                schemas.setdefault(SCHEMA, deepcopy(_SCHEMA))
                for status, answer in _ANSWERS.items():
                    operation.setdefault("responses", {}).setdefault(status, deepcopy(answer))
            if not names:
                _set_or_delete(
                    operation, "security", [wanted for wanted in operation["security"] if SCHEME not in wanted]
                )
        _name_cookies(document.get("components", {}), names)
        return document

    def _cookie_names(self) -> list[str]:
        """Return the names of the cookies on https; none where the service has its own users."""
        if not self.cookies:
            return [own_name(COOKIE_NAME, secure=True)]  # not started yet
        is_beside = len(self.cookies) > 1
        return [own_name(names[is_beside], secure=True) for names in self.cookies.values() if names is not None]


def _name_cookies(components: dict[str, Any], names: list[str]) -> None:
    schemes = components.get("securitySchemes", {})
    if SCHEME not in schemes:
        return
    if names:
        schemes[SCHEME].update(name=names[0], description=_described(names))
    else:
        others = {name: scheme for name, scheme in schemes.items() if name != SCHEME}
        _set_or_delete(components, "securitySchemes", others)


def _documented(app: FastAPI) -> _Documented:
    found = vars(app).get("openapi")
    if isinstance(found, _Documented):
        return found
    vars(app)["openapi"] = made = _Documented(app.openapi)
    return made


def _set_or_delete(members: dict[str, Any], name: str, left: dict[str, Any] | list[Any]) -> None:
    """Set a member to what is left of it, or delete it: an empty one would mean that nothing is required."""
    if left:
        members[name] = left
    else:
        del members[name]


def _with_mounted(app: object) -> Iterator[FastAPI]:
    if isinstance(app, FastAPI):
        yield app
        for route in app.routes:
            yield from _with_mounted(getattr(route, "app", None))


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document.get("paths", {}).values():
        for operation in path.values():
            if isinstance(operation, dict):
                yield operation
