"""This library's side of T8, without a network: from the bytes of an answer to dictionaries, and to models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.timing import median_ms
from strava_async.models import SummaryActivity
from strava_async.models._read_streams import read_streams
from strava_async.models._reading import read_many
from strava_async.models.stream_set import StreamSet
from strava_async.request.call import api_call
from strava_async.request.reply import Reply
from strava_async.request.results import read

_JSON = "application/json; charset=utf-8"


def measure(folder: str) -> dict[str, float]:
    """Return the milliseconds for each body in a folder."""
    page = Path(folder, "page.json").read_bytes()
    streams = Path(folder, "streams.json").read_bytes()
    call = api_call("GET", "/athlete/activities", {}, api_url="https://strava.test/api/v3")
    reply = Reply(200, {}, page, _JSON)

    def touched(read: StreamSet) -> list[Any]:
        kinds = read.keys()
        return [read[kind].data for kind in kinds]

    return {
        "json": median_ms(lambda: json.loads(page)),
        "dictionaries": median_ms(lambda: read(call, reply)),
        "page": median_ms(lambda: read_many(SummaryActivity, page)),
        "streams": median_ms(lambda: touched(read_streams(streams))),
    }
