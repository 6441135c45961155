"""What is known of work that is carried to its end: whether it may be stopped now. ``_shield`` has the whole of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextvars import ContextVar


class Work(ABC):
    """One piece of work. Its tasks, timers and callbacks find it in ``current``, because they inherit its context.

    Attributes:
        parent: the work inside of which it was asked for; None if there is none.
        held: it is not to be stopped. False before it begins, and in parts in which nothing is at stake.
        committed: it is held from now on, whatever part comes.
        ended: it is over; what still finds it in its context has nothing to do with it any more.
    """

    __slots__ = ("committed", "ended", "held", "parent")

    def __init__(self) -> None:
        around = current.get()
        self.parent: Work | None = None if around is None or around.ended else around
        self.held = False
        self.committed = False
        self.ended: bool = False

    @property
    def may_stop(self) -> bool:
        """Whether stopping it loses nothing; what belongs to work that is held is held as well."""
        return not self.held and (self.parent is None or self.parent.may_stop)

    @abstractmethod
    def let_go(self) -> None:
        """Begin a part in which nothing is at stake."""

    @abstractmethod
    def hold(self) -> None:
        """End that part."""


current: ContextVar[Work | None] = ContextVar("work that is carried to its end", default=None)
