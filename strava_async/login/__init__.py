"""How an athlete is connected and a grant ended: the methods of ``Strava``; and the login from a terminal."""

from typing import TYPE_CHECKING

from strava_async._lazy import lazy

if TYPE_CHECKING:
    from strava_async.login.local import log_in, open_in_browser, show_in_browser
else:
    __getattr__, __dir__ = lazy(__name__, {"log_in": "local", "open_in_browser": "local", "show_in_browser": "local"})

__all__ = ["log_in", "open_in_browser", "show_in_browser"]
