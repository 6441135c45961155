"""What a store knows of a run: ``Run``. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Run:
    """A call of ``Harvest.run``.

    Attributes:
        began_at: epoch seconds.
        ended_at: the same; None as long as it has not ended, and if it was killed.
        requests: how many it sent.
        outcome: ``complete``, ``partial`` or ``cancelled``, or the class of the error that ended it.
    """

    began_at: float
    ended_at: float | None = None
    requests: int = 0
    outcome: str = ""
