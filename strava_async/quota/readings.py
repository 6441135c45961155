"""What the meters read at an instant: what limiters show. Loaded when it is first asked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Meter:
    """One meter at an instant.

    Attributes:
        limit: requests that the window holds; None until known.
        usage: requests spent, as far as they are known or must be assumed; None until known.
        reserved: permits out; of a quota that processes share, with what the others hold, as last told.
        resets_at: the end of the window; epoch seconds on Strava's clock.
    """

    limit: int | None
    usage: int | None
    reserved: int
    resets_at: float

    @property
    def remaining(self) -> int | None:
        """What is left: ``max(0, limit - usage - reserved)``; None until known."""
        if self.limit is None or self.usage is None:
            return None
        return max(0, self.limit - self.usage - self.reserved)


@dataclass(frozen=True, slots=True)
class Quota:
    """The four meters at an instant."""

    read_15min: Meter
    read_day: Meter
    overall_15min: Meter
    overall_day: Meter
