"""T8: a page of activities as dictionaries and typed, and the streams of a long activity; against json and stravalib.

Neither side uses a network: measured is the way from the bytes of a body to the caller's objects.
"""

from __future__ import annotations

import json
import tempfile
from functools import partial

from benchmarks.environments import STRAVALIB, TYPED
from benchmarks.processes import run_python
from benchmarks.table import Row, alternate, median, ratio

_WRITE = "from benchmarks.bodies import write_long_bodies; write_long_bodies({folder!r})"
_MEASURE = "import json; from benchmarks.{module} import measure; print(json.dumps(measure({folder!r})))"


async def measure(*, rounds: int) -> list[Row]:
    """Return the rows.

    Args:
        rounds: of both sides in turn, each in a fresh process.
    """
    with tempfile.TemporaryDirectory() as folder:
        await run_python(TYPED.python, _WRITE.format(folder=folder))
        figures = await alternate(
            rounds,
            {
                "ours": partial(_in, TYPED.python, "typed_ours", folder),
                "theirs": partial(_in, STRAVALIB.python, "typed_theirs", folder),
            },
        )
    ours, theirs = figures["ours"], figures["theirs"]
    in_one_process = [{"page": figure["dictionaries"] / figure["json"]} for figure in ours]
    return [
        Row("T8", "a page of 200: dictionaries / json.loads", median(in_one_process, "page"), "x", at_most=1.10),
        Row("T8", "a page of 200: typed / stravalib", ratio(ours, theirs, "page"), "x", at_most=0.35),
        Row("T8", "3 h of streams: typed / stravalib", ratio(ours, theirs, "streams"), "x", at_most=0.50),
        Row("", "a page, typed", median(ours, "page"), "ms"),
        Row("", "the same by stravalib", median(theirs, "page"), "ms"),
        Row("", "3 h of streams, typed", median(ours, "streams"), "ms"),
        Row("", "the same by stravalib", median(theirs, "streams"), "ms"),
    ]


async def _in(python: str, module: str, folder: str) -> dict[str, float]:
    figures: dict[str, float] = json.loads(await run_python(python, _MEASURE.format(module=module, folder=folder)))
    return figures
