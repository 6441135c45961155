"""Strava's quota as values and rules: what is left, what is reserved, what a response says. Pure: no I/O, no clock."""

from typing import TYPE_CHECKING

from strava_async._lazy import lazy

if TYPE_CHECKING:
    from strava_async.quota.readings import Meter, Quota
    from strava_async.quota.values import Blocked, Priority, QuotaClass
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {"Blocked": "values", "Meter": "readings", "Priority": "values", "Quota": "readings", "QuotaClass": "values"},
    )

__all__ = ["Blocked", "Meter", "Priority", "Quota", "QuotaClass"]
