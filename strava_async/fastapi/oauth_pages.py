"""What is answered when a connection fails and the application has no page of its own for that."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from strava_async.fastapi.oauth_failures import ConnectFailure
from strava_async.fastapi.problems import Problem, problem_type
from strava_async.login.pages import Link


def failure_response(request: Request, failure: ConnectFailure) -> Response:
    """Return a page, or problem+json to a client that asks for JSON and not for HTML."""
    problem = _problem(failure)
    accepted = request.headers.get("accept", "")
    if "json" in accepted and "html" not in accepted:
        return problem.response()
    return problem.page(Link(failure.link, failure.link_text) if failure.link else None)


def _problem(failure: ConnectFailure) -> Problem:
    more: dict[str, object] = {"reason": failure.reason}
    if failure.missing_scope:
        more["missing_scope"] = sorted(failure.missing_scope)
    kind = problem_type(failure.reason)
    return Problem(failure.status_code, failure.title, failure.text, failure.retry_after, more, kind)
