"""Whether a request is repeated, and when."""

from strava_async.request.retry import Attempt, Decision, Pause, RetryPolicy, Step, decide

__all__ = ["Attempt", "Decision", "Pause", "RetryPolicy", "Step", "decide"]
