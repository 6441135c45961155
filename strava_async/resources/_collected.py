"""``Collected``: a list of all items of a listing, that becomes a table."""

from __future__ import annotations

from typing import Any, TypeVar

from strava_async.models import _frames
from strava_async.models._tables import columns_of

T = TypeVar("T")


class Collected(list[T]):
    """A list, as any other. ``pandas.DataFrame`` would take each item for a row of pairs: these do not.

    A field is a column if one of the items has it. Objects inside have columns of their own, such as ``athlete.id``;
    places two, ``start_lat`` and ``start_lng``; lists stay what they are in JSON.
    """

    def to_pandas(self) -> Any:
        """Return a ``pandas.DataFrame``.

        Instants are in UTC, local times without a zone. Columns with gaps have the nullable kinds ``Int64``,
        ``Float64`` and ``boolean``; those without, ``int64``, ``float64`` and ``bool``; anything else, ``object``.

        Raises:
            InputError: pandas is not installed, or an item is no model.
        """
        return _frames.to_pandas(*columns_of(self))

    def to_arrow(self) -> Any:
        """Return a ``pyarrow.Table``: int64, double, bool or timestamp, with nulls for gaps.

        Any other column is one of strings: values that are not text are encoded as JSON.

        Raises:
            InputError: pyarrow is not installed, or an item is no model.
        """
        return _frames.to_arrow(*columns_of(self))
