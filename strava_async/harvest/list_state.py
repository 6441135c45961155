"""How far the list of an athlete is: ``AthleteState``, and ``Walk`` for one reading of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Walk:
    """One reading of an athlete's list, from now back to ``after``.

    Attributes:
        number: which of the athlete's.
        began_at: when it began; the list is read up to here.
        after: the start of the oldest activities that it looks for; None for all there are.
        before: where the next page begins.
        is_complete: whether it looks for all that is wanted, and not for what is new.
        page: which page from there; see ``listing``.
    """

    number: int
    began_at: float
    after: float | None
    before: float
    is_complete: bool
    page: int = 1


@dataclass(frozen=True, slots=True)
class AthleteState:
    """How far an athlete's list is.

    Attributes:
        walk: the reading that is not at its end; None if there is none.
        walks: how many have begun.
        listed_at: when the last that came to its end began; None if none has.
        complete_at: the same of the last that was complete, back to ``complete_after``.
        complete_after: the ``after`` of that one.
        is_list_due: whether the list is to be read completely, because there was more to check than checks hold.
        checks: activities that Strava is to be asked about, because something said that they changed or are gone; the
            oldest 500 of them.
    """

    walk: Walk | None = None
    walks: int = 0
    listed_at: float | None = None
    complete_at: float | None = None
    complete_after: float | None = None
    is_list_due: bool = False
    checks: tuple[int, ...] = ()
