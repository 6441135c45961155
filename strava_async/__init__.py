"""Strava for asyncio and trio: inside the quota, one refresh for all, nothing lost.

``ApiV3`` makes requests for one athlete; ``Strava`` is an application with many.
"""

from typing import TYPE_CHECKING

from strava_async._http import HttpClient
from strava_async._lazy import lazy
from strava_async.clock import Clock, SystemClock
from strava_async.errors import (
    ApplicationInactiveError,
    AsyncOnlyError,
    AthleteCapacityError,
    AuthorizationDeniedError,
    AuthorizationTimeoutError,
    BadRequestError,
    CrossSiteError,
    DecodeError,
    DuplicateUploadError,
    EventStoreError,
    FaultError,
    ForbiddenError,
    InputError,
    InsufficientScopeError,
    InvalidClientError,
    InvalidGrantError,
    InvalidStateError,
    LimiterError,
    MissingScopeError,
    NotFoundError,
    OAuthError,
    PaymentRequiredError,
    QuotaExceededError,
    RateLimitedError,
    ServerError,
    StoreError,
    StravaError,
    TokenStoreError,
    TransportError,
    UnauthorizedError,
    UnverifiedWebhookError,
    UploadError,
    UploadTimeoutError,
)
from strava_async.limiter.base import ClosableLimiter, Limiter, Permit
from strava_async.limiter.local import RateLimiter
from strava_async.limiter.unlimited import Unlimited
from strava_async.oauth.grants import AccessInfo
from strava_async.oauth.scopes import Scope
from strava_async.oauth.token_set import TokenSet
from strava_async.protocol import ApiV3
from strava_async.quota.values import Blocked, Priority, QuotaClass
from strava_async.request.options import RetryPolicy
from strava_async.tokens.persistence import TokenPersistence
from strava_async.tokens.source import TokenSource

if TYPE_CHECKING:
    from strava_async.application import Strava
    from strava_async.client import Client
    from strava_async.limiter.sqlite import SqliteRateLimiter
    from strava_async.oauth.state import StateSigner
    from strava_async.quota.readings import Meter, Quota
    from strava_async.stores import MemoryTokenStore, SqliteTokenStore, TokenStore
    from strava_async.telemetry.hooks import Hooks, RefreshEvent, RequestEvent, ResponseEvent, RetryEvent, WaitEvent
    from strava_async.webhooks.events import WebhookEvent
    from strava_async.webhooks.subscription import Subscription, Webhooks
else:
    # Loaded when they are first asked for: an ApiV3 alone needs none of them.
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "Client": "client",
            "Hooks": "telemetry.hooks",
            "Meter": "quota.readings",
            "MemoryTokenStore": "stores.memory",
            "Quota": "quota.readings",
            "RefreshEvent": "telemetry.hooks",
            "RequestEvent": "telemetry.hooks",
            "ResponseEvent": "telemetry.hooks",
            "RetryEvent": "telemetry.hooks",
            "SqliteRateLimiter": "limiter.sqlite",
            "SqliteTokenStore": "stores.sqlite",
            "StateSigner": "oauth.state",
            "Strava": "application",
            "Subscription": "webhooks.subscription",
            "TokenStore": "stores.base",
            "WaitEvent": "telemetry.hooks",
            "WebhookEvent": "webhooks.events",
            "Webhooks": "webhooks.subscription",
        },
        then={"Client": "load_tags"},  # now, and not at the first use, which is on an event loop
    )
__version__ = "0.1.0"

__all__ = [
    "AccessInfo",
    "ApiV3",
    "ApplicationInactiveError",
    "AsyncOnlyError",
    "AthleteCapacityError",
    "AuthorizationDeniedError",
    "AuthorizationTimeoutError",
    "BadRequestError",
    "Blocked",
    "Client",
    "Clock",
    "ClosableLimiter",
    "CrossSiteError",
    "DecodeError",
    "DuplicateUploadError",
    "EventStoreError",
    "FaultError",
    "ForbiddenError",
    "Hooks",
    "HttpClient",
    "InputError",
    "InsufficientScopeError",
    "InvalidClientError",
    "InvalidGrantError",
    "InvalidStateError",
    "Limiter",
    "LimiterError",
    "MemoryTokenStore",
    "Meter",
    "MissingScopeError",
    "NotFoundError",
    "OAuthError",
    "PaymentRequiredError",
    "Permit",
    "Priority",
    "Quota",
    "QuotaClass",
    "QuotaExceededError",
    "RateLimitedError",
    "RateLimiter",
    "RefreshEvent",
    "RequestEvent",
    "ResponseEvent",
    "RetryEvent",
    "RetryPolicy",
    "Scope",
    "ServerError",
    "SqliteRateLimiter",
    "SqliteTokenStore",
    "StateSigner",
    "StoreError",
    "Strava",
    "StravaError",
    "Subscription",
    "SystemClock",
    "TokenPersistence",
    "TokenSet",
    "TokenSource",
    "TokenStore",
    "TokenStoreError",
    "TransportError",
    "UnauthorizedError",
    "Unlimited",
    "UnverifiedWebhookError",
    "UploadError",
    "UploadTimeoutError",
    "WaitEvent",
    "WebhookEvent",
    "Webhooks",
    "__version__",
]
