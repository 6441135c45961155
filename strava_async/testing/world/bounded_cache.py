"""A least recently used cache, limited by total weight, such as a number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class BoundedCache(Generic[T]):
    """Values that are expensive to make, by key. Safe for use from several threads.

    Args:
        limit: the maximum total weight; the value used last stays even if it alone weighs more.
        weigh: returns the weight of a value.
    """

    def __init__(self, limit: int, weigh: Callable[[T], int]) -> None:
        self._limit = limit
        self._weigh = weigh
        self._total = 0
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the value of a key, from ``make`` if it is not cached. Exceptions of ``make`` are not cached."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        # Outside of the lock: making takes long, and two threads that make the same do no harm.
        value = make()
        with self._lock:
            self._drop(key)
            self._values[key] = value
            self._total += self._weigh(value)
            while self._total > self._limit and len(self._values) > 1:
                self._drop(next(iter(self._values)))
        return value

    def __contains__(self, key: Hashable) -> bool:
        return key in self._values

    def remove(self, key: Hashable) -> None:
        """Remove one value, if it is cached."""
        with self._lock:
            self._drop(key)

    def clear(self) -> None:
        """Forget every value."""
        with self._lock:
            self._values.clear()
            self._total = 0

    def _drop(self, key: Hashable) -> None:
        if key in self._values:
            self._total -= self._weigh(self._values.pop(key))
