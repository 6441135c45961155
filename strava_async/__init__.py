"""Strava for asyncio and trio: inside the quota, one refresh for all, nothing lost.

``ApiV3`` makes requests for one athlete; ``Strava`` is an application with many.
"""

from importlib import import_module
from typing import TYPE_CHECKING

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
    FaultError,
    ForbiddenError,
    InputError,
    InsufficientScopeError,
    InvalidClientError,
    InvalidGrantError,
    InvalidStateError,
    MissingScopeError,
    NotFoundError,
    OAuthError,
    PaymentRequiredError,
    QuotaExceededError,
    RateLimitedError,
    ServerError,
    StravaError,
    TokenStoreError,
    TransportError,
    UnauthorizedError,
    UnverifiedWebhookError,
    UploadError,
    UploadTimeoutError,
)
from strava_async.limiter.local import Limiter, Permit, RateLimiter, Unlimited
from strava_async.oauth.grants import AccessInfo, TokenSet
from strava_async.oauth.scopes import Scope
from strava_async.protocol import ApiV3
from strava_async.quota.values import Priority, Quota, QuotaClass
from strava_async.request.retry import RetryPolicy
from strava_async.tokens.source import TokenKeeper, TokenSource

if TYPE_CHECKING:
    from strava_async.application import Strava
    from strava_async.client import Client
    from strava_async.oauth.state import StateSigner
    from strava_async.stores import MemoryTokenStore, SqliteTokenStore, TokenStore
    from strava_async.subscriptions import Subscription, Webhooks
    from strava_async.telemetry.hooks import Hooks, RefreshEvent, RequestEvent, ResponseEvent, RetryEvent, WaitEvent
    from strava_async.webhooks import WebhookEvent
else:
    # Loaded when they are first asked for: an ApiV3 alone needs none of them.
    _LATER = {
        "Client": "client",
        "Hooks": "hooks",
        "MemoryTokenStore": "stores",
        "RefreshEvent": "hooks",
        "RequestEvent": "hooks",
        "ResponseEvent": "hooks",
        "RetryEvent": "hooks",
        "SqliteTokenStore": "stores",
        "StateSigner": "state",
        "Strava": "application",
        "Subscription": "subscriptions",
        "TokenStore": "stores",
        "WaitEvent": "hooks",
        "WebhookEvent": "webhooks",
        "Webhooks": "subscriptions",
    }

    def __getattr__(name):
        if name in _LATER:
            module = import_module(f"strava_async.{_LATER[name]}")
            if name == "Client":
                module.load_tags()  # now, and not at the first use, which is on an event loop
            return getattr(module, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__all__})


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
    "Client",
    "Clock",
    "CrossSiteError",
    "DecodeError",
    "DuplicateUploadError",
    "FaultError",
    "ForbiddenError",
    "Hooks",
    "InputError",
    "InsufficientScopeError",
    "InvalidClientError",
    "InvalidGrantError",
    "InvalidStateError",
    "Limiter",
    "MemoryTokenStore",
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
    "SqliteTokenStore",
    "StateSigner",
    "Strava",
    "StravaError",
    "Subscription",
    "SystemClock",
    "TokenKeeper",
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
