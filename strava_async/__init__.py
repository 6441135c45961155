"""Strava for asyncio and trio: inside the quota, one refresh for all, nothing lost.

``ApiV3`` makes requests for one athlete; objects of one application share a ``RateLimiter``.
"""

from strava_async.clock import Clock, SystemClock
from strava_async.errors import (
    ApplicationInactiveError,
    AthleteCapacityError,
    AuthorizationDeniedError,
    BadRequestError,
    DecodeError,
    DuplicateUploadError,
    FaultError,
    ForbiddenError,
    InputError,
    InsufficientScopeError,
    InvalidClientError,
    InvalidGrantError,
    MissingScopeError,
    NotFoundError,
    OAuthError,
    PaymentRequiredError,
    QuotaExceededError,
    RateLimitedError,
    ServerError,
    StravaError,
    TransportError,
    UnauthorizedError,
    UploadError,
)
from strava_async.limiter import Limiter, Permit, RateLimiter, Unlimited
from strava_async.oauth import AccessInfo, Scope, TokenSet
from strava_async.protocol import ApiV3
from strava_async.quota import Priority, Quota, QuotaClass
from strava_async.retry import RetryPolicy
from strava_async.tokens import TokenSource

__version__ = "0.1.0"

__all__ = [
    "AccessInfo",
    "ApiV3",
    "ApplicationInactiveError",
    "AthleteCapacityError",
    "AuthorizationDeniedError",
    "BadRequestError",
    "Clock",
    "DecodeError",
    "DuplicateUploadError",
    "FaultError",
    "ForbiddenError",
    "InputError",
    "InsufficientScopeError",
    "InvalidClientError",
    "InvalidGrantError",
    "Limiter",
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
    "RetryPolicy",
    "Scope",
    "ServerError",
    "StravaError",
    "SystemClock",
    "TokenSet",
    "TokenSource",
    "TransportError",
    "UnauthorizedError",
    "Unlimited",
    "UploadError",
    "__version__",
]
