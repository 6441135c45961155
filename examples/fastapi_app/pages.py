"""The pages."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from examples.fastapi_app.tally import TallyDep
from examples.fastapi_app.views import templates
from strava_async import InputError, InvalidClientError, InvalidGrantError, StravaError
from strava_async.fastapi import AthleteIdDep, ConnectFailure, kit_of, problem_of

router = APIRouter(include_in_schema=False)

# Only the browser may cache a page: it shows one athlete's data.
_PRIVATE = {"Cache-Control": "no-store"}


@router.get("/")
async def home(request: Request, tally: TallyDep) -> Response:
    """Show the athlete's dashboard, or an introduction to who is not signed in. Costs one read, or nothing."""
    kit = kit_of(request)
    athlete_id = await kit.athlete_id(request)
    if athlete_id is None:
        return page(request, "landing.html", note="")
    dashboard = await tally.rides.of(kit.strava.client(athlete_id))
    gauges = tally.live.gauges.shown
    return page(
        request,
        "dashboard.html",
        board=dashboard,
        gauges=gauges,
        can_record=tally.record is not None,
        at_strava=tally.at_strava,
    )


@router.get("/disconnect")
async def ask(request: Request) -> Response:
    """Ask for confirmation: the stored data are deleted at once."""
    if await kit_of(request).athlete_id(request) is None:
        return RedirectResponse("/", 303)
    return page(request, "disconnect.html")


@router.post("/record")
async def record(athlete_id: AthleteIdDep, tally: TallyDep) -> Response:
    """Let the athlete's watch record something, where Strava is an emulator."""
    if tally.record is None:
        raise HTTPException(404)
    tally.record(athlete_id)
    return RedirectResponse("/", 303)


def page(request: Request, name: str, *, status: int = 200, retry_after: int | None = None, **values: Any) -> Response:
    """Return a page.

    Args:
        request: the request.
        name: of the template.
        status: the HTTP status.
        retry_after: seconds after which the page reloads itself; None means never.
        values: for the template.
    """
    headers = _PRIVATE if retry_after is None else {**_PRIVATE, "Retry-After": str(retry_after)}
    values = {**values, "retry_after": retry_after}
    return templates.TemplateResponse(request, name, values, status_code=status, headers=headers)


def connect_failed(request: Request, failure: ConnectFailure) -> Response:
    """Tell an athlete why connecting did not work, and let them try again."""
    told: dict[str, Any] = {
        "title": failure.title,
        "text": failure.text,
        "link": failure.link,
        "link_text": failure.link_text,
    }
    if failure.reason == "missing_scope":
        told["text"] = (
            f"Tally needs {', '.join(sorted(failure.missing_scope))} to show your activities. Leave it ticked."
        )
    return page(request, "message.html", status=failure.status_code, **told)


async def strava_failed(request: Request, error: Exception) -> Response:
    """Show a person that Strava's request failed, with the matching status; programs get problem+json.

    Faults of the service itself are raised again, for the server to log.
    """
    if not isinstance(error, StravaError) or isinstance(error, InputError | InvalidClientError):
        raise error
    problem = problem_of(error, now=kit_of(request).strava.clock.time())
    if "text/html" not in request.headers.get("accept", ""):
        return problem.response()
    if isinstance(error, InvalidGrantError):
        return page(request, "landing.html", status=401, note="You are not connected any more. Connect again.")
    retry_after = problem.retry_after or (30 if problem.status in (502, 503, 504) else None)
    return page(
        request,
        "message.html",
        status=problem.status,
        retry_after=retry_after,
        title=problem.title,
        text=problem.detail,
        link="/strava/connect?approval_prompt=force" if problem.status == 403 else "/",
        link_text="Connect again" if problem.status == 403 else "Back to the beginning",
    )


async def http_failed(request: Request, error: Exception) -> Response:
    """Show a person that there is no such page."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    text = "There is no such page." if status == 404 else "That is not how this page is asked for."
    told: dict[str, Any] = {"title": "Not here", "text": text, "link": "/", "link_text": "Back to the beginning"}
    return page(request, "message.html", status=status, **told)
