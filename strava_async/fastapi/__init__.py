"""Strava in a FastAPI service: signing in, webhooks, clients for routes, errors as responses.

::

    strava = Strava(CLIENT_ID, CLIENT_SECRET, token_store=SqliteTokenStore("tokens.sqlite"))
    app = FastAPI(lifespan=StravaLifespan(strava), exception_handlers=exception_handlers)
    app.include_router(oauth_router(strava, scope="read,activity:read"), prefix="/strava")
    app.include_router(webhook_router(strava, verify_token=VERIFY_TOKEN, path=SECRET_PATH, on_event=on_event))

    @app.get("/rides")
    async def rides(athlete: AthleteDep) -> list[str | None]:
        return [activity.name async for activity in athlete.activities.list(limit=10)]

``docs/fastapi.md`` goes from there to a running service. Needs the extra ``fastapi``.
"""

from strava_async._extras import extra

# Not lazy: every name needs the extra, so the import says what is missing. FastAPI is three quarters of its time.
with extra("fastapi", __name__, "fastapi", "starlette", "pydantic"):
    from strava_async.fastapi.access_log import AccessLogFilter
    from strava_async.fastapi.dependencies import (
        AthleteDep,
        AthleteIdDep,
        Dependencies,
        StravaDep,
        athlete_id_of,
        athlete_of,
        strava_of,
    )
    from strava_async.fastapi.kit import Identify, Kit, ServiceState, kit_of
    from strava_async.fastapi.oauth.failures import ConnectFailure
    from strava_async.fastapi.oauth.next_url import safe_next
    from strava_async.fastapi.oauth.router import oauth_router
    from strava_async.fastapi.openapi import document_errors
    from strava_async.fastapi.problems import Problem, exception_handlers, problem_of
    from strava_async.fastapi.service import StravaLifespan, lifespan
    from strava_async.fastapi.sessions import Sessions
    from strava_async.fastapi.webhooks.router import WebhookRouter, webhook_router
    from strava_async.login.pages import Link
    from strava_async.webhooks.backlog import Backlog, PersistedEvent
    from strava_async.webhooks.backlog import PersistedEvent as KeptEvent
    from strava_async.webhooks.backlog_sqlite import SqliteBacklog
    from strava_async.webhooks.counts import WebhookCounts

__all__ = [
    "AccessLogFilter",
    "AthleteDep",
    "AthleteIdDep",
    "Backlog",
    "ConnectFailure",
    "Dependencies",
    "Identify",
    "KeptEvent",
    "Kit",
    "Link",
    "PersistedEvent",
    "Problem",
    "ServiceState",
    "Sessions",
    "SqliteBacklog",
    "StravaDep",
    "StravaLifespan",
    "WebhookCounts",
    "WebhookRouter",
    "athlete_id_of",
    "athlete_of",
    "document_errors",
    "exception_handlers",
    "kit_of",
    "lifespan",
    "oauth_router",
    "problem_of",
    "safe_next",
    "strava_of",
    "webhook_router",
]
