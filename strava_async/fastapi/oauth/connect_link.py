"""The link to connect, for a page that says that a connection is needed."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from starlette.datastructures import URL
from starlette.requests import HTTPConnection
from starlette.routing import NoMatchFound

from strava_async.fastapi.kit import has_one_application
from strava_async.fastapi.oauth.next_url import safe_next
from strava_async.login.pages import Link

CONNECT_ROUTE = "strava_connect"

_NEXT = "strava_async.next"


def note_next(connection: HTTPConnection, go_to: str) -> None:
    """Set where the link leads back to if this request fails, instead of the URL of a step of a connection.

    Args:
        connection: the request.
        go_to: a path of this site; empty for none.
    """
    connection.scope[_NEXT] = go_to


def connect_link(connection: HTTPConnection, *, again: bool = False) -> Link | None:
    """Return the link to the route of ``oauth_router`` that begins a connection, and leads back here (``note_next``).

    Args:
        connection: the request.
        again: show Strava's page even if all was granted before.

    Returns:
        None if there is no such route, or one for each of several applications.
    """
    if not has_one_application(connection):
        return None
    try:
        path = URL(str(connection.url_for(CONNECT_ROUTE))).path
    except (NoMatchFound, RuntimeError):  # not below a router, either
        return None
    query = {"next": safe_next(_here(connection), "")} if connection.scope.get("method") in ("GET", "HEAD") else {}
    if again:
        query["approval_prompt"] = "force"
    query = {name: value for name, value in query.items() if value}
    return Link(f"{path}?{urlencode(query)}" if query else path, "Connect with Strava")


def _here(connection: HTTPConnection) -> str:
    if _NEXT in connection.scope:
        return str(connection.scope[_NEXT])
    root, path = connection.scope.get("root_path", ""), connection.scope["path"]
    path = quote(path if path.startswith(root) else f"{root}{path}")
    query = connection.scope.get("query_string", b"").decode("latin-1")
    return f"{path}?{query}" if query else path
