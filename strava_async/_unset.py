"""What stands for an argument that was not given, where None means something."""

from __future__ import annotations

from typing import Final


class Unset:
    """The kind of ``UNSET``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset()
