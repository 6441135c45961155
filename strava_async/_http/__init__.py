"""The only place that knows an HTTP library: httpx, httpx2 in its place, and aiohttp with the extra ``fast``.

::

    sender            one request out, one reply in: open or closed, how many at a time
    ├─ callers_client     over a client of the caller's
    └─ connections        over connections that are made here: loaded when, for which event loop
       └─ own_adapters        which library for which call
          ├─ proxies, trust      what the environment says
          └─ pool                httpx's connections
    attempt           one request on its way: its bounds, the same for each library, and what ended it
    ├─ incoming           what is kept of a reply
    ├─ httpx_adapter      over a client of httpx or httpx2
    └─ aiohttp_adapter    over aiohttp
    asgi              a client for an application in this process

An HTTP library is loaded where the first request needs it, in a thread: to import this package loads none.
"""

from strava_async._http.attempt import HttpClient
from strava_async._http.sender import HttpSender, Sender

__all__ = ["HttpClient", "HttpSender", "Sender"]
