"""stravalib's side of T8: what its client does with the bytes of an answer."""

from __future__ import annotations

import json
import logging
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.timing import median_ms


def measure(folder: str) -> dict[str, float]:
    """Return the milliseconds for each body in a folder."""
    logging.disable(logging.WARNING)
    model: Any = import_module("stravalib.model")
    page = Path(folder, "page.json").read_bytes()
    streams = Path(folder, "streams.json").read_bytes()

    def read_page() -> list[Any]:
        json.loads(page)  # its protocol looks for a fault in the decoded body, and decodes it again for the caller
        return [model.SummaryActivity.model_validate({**raw, "bound_client": None}) for raw in json.loads(page)]

    def read_streams() -> dict[str, Any]:
        json.loads(streams)
        return {kind: model.Stream.model_validate(stream) for kind, stream in json.loads(streams).items()}

    return {"page": median_ms(read_page), "streams": median_ms(read_streams)}
