"""Every endpoint of Strava with its scope and quota class, as data."""

from strava_async.request.endpoints import ENDPOINTS, Endpoint, endpoint_of

__all__ = ["ENDPOINTS", "Endpoint", "endpoint_of"]
