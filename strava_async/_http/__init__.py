"""The only place that knows an HTTP library: httpx, or httpx2 in its place.

``sender`` makes one request and returns one reply; ``pool`` is the client that it makes where the caller brought none.
"""

from strava_async._http.sender import HttpClient, HttpSender, Sender, asgi_client

__all__ = ["HttpClient", "HttpSender", "Sender", "asgi_client"]
