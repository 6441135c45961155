"""A Strava for tests and demonstrations: an emulator with meters and faults, and clocks under the test's control.

The clocks and meters need nothing; the emulator and ``serve`` need the extra ``testing``, which is why names are
resolved on first use.
"""

from typing import TYPE_CHECKING

from strava_async._lazy import lazy

if TYPE_CHECKING:
    from strava_async.testing.browser import PageError
    from strava_async.testing.callbacks import CallbackReply, Callbacks
    from strava_async.testing.clock import FakeClock, FastClock
    from strava_async.testing.emulator import Emulator
    from strava_async.testing.faults import Fault, Faults
    from strava_async.testing.http.app import Served
    from strava_async.testing.meters import MeterLimits, Meters
    from strava_async.testing.quirks import Quirks
    from strava_async.testing.server import serve
    from strava_async.testing.state.grants import ALL_SCOPES, Application
    from strava_async.testing.webhooks.delivery import SentEvent
    from strava_async.testing.webhooks.subscriptions import PushSubscription
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "ALL_SCOPES": "state.grants",
            "Application": "state.grants",
            "CallbackReply": "callbacks",
            "Callbacks": "callbacks",
            "Emulator": "emulator",
            "FakeClock": "clock",
            "FastClock": "clock",
            "Fault": "faults",
            "Faults": "faults",
            "MeterLimits": "meters",
            "Meters": "meters",
            "PageError": "browser",
            "PushSubscription": "webhooks.subscriptions",
            "Quirks": "quirks",
            "SentEvent": "webhooks.delivery",
            "Served": "http.app",
            "serve": "server",
        },
        needs={"testing": ("starlette", "uvicorn", "python_multipart")},
    )

__all__ = [
    "ALL_SCOPES",
    "Application",
    "CallbackReply",
    "Callbacks",
    "Emulator",
    "FakeClock",
    "FastClock",
    "Fault",
    "Faults",
    "MeterLimits",
    "Meters",
    "PageError",
    "PushSubscription",
    "Quirks",
    "SentEvent",
    "Served",
    "serve",
]
