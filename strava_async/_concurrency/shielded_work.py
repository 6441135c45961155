"""Whether shielded work may be stopped now; see ``shield``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextvars import ContextVar


class Work(ABC):
    """One piece of work. Its tasks, timers and callbacks find it in ``current``, because they inherit its context.

    Attributes:
        parent: the shielded work that started it; None if there is none.
        held: it must not be stopped. False before it begins, and in parts in which nothing can be lost.
        committed: it is held from now on, in every part.
        ended: it has ended; tasks that still have it in their context are no part of it.
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
        """Whether stopping it loses nothing; what is part of work that is held is held as well."""
        return not self.held and (self.parent is None or self.parent.may_stop)

    @abstractmethod
    def let_go(self) -> None:
        """Begin a part in which nothing can be lost."""

    @abstractmethod
    def hold(self) -> None:
        """End that part."""


current: ContextVar[Work | None] = ContextVar("shielded work", default=None)
