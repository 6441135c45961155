"""Log an athlete in from a terminal: the browser, a server on this machine for the redirect, its pages."""

from typing import TYPE_CHECKING

from strava_async._lazy import lazy

if TYPE_CHECKING:
    from strava_async.login.local import IfMissing, log_in, open_in_browser, show_in_browser
else:
    __getattr__, __dir__ = lazy(
        __name__, {"IfMissing": "local", "log_in": "local", "open_in_browser": "local", "show_in_browser": "local"}
    )

__all__ = ["IfMissing", "log_in", "open_in_browser", "show_in_browser"]
