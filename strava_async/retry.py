"""Whether a request is repeated, and when."""

from strava_async.request.options import RetryPolicy
from strava_async.request.pause import Pause
from strava_async.request.retry import Attempt, Decision, Step, decide

__all__ = ["Attempt", "Decision", "Pause", "RetryPolicy", "Step", "decide"]
