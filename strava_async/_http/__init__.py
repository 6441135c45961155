"""The only place that knows an HTTP library: httpx, httpx2 in its place, and aiohttp with the extra ``fast``.

::

    sender            an application's sender: open or closed, how many requests at a time (gate)
    ├─ callers_client     over a client of the caller's
    └─ connections        over connections that are made here: loaded when, for which event loop
       └─ own_senders         which library for which call
          ├─ proxies, trust      what the environment says
          └─ pool                httpx's connections
    httpx_sender      over a client of httpx or httpx2
    aiohttp_sender    over aiohttp's connections
    ├─ incoming           what is kept of a reply
    └─ failures           from the library's error to ours, without secrets (frames)
    secret_url        a query that is sent and never shown
    asgi              a client for an application in this process

Each of the senders is a ``request.sender.Sender``. An HTTP library is loaded where the first request needs it, in a
thread: to import this package loads none.
"""

from strava_async._http.http_client import HttpClient
from strava_async._http.sender import HttpSender

__all__ = ["HttpClient", "HttpSender"]
