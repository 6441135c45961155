"""``Client``: one athlete's view of Strava."""

from __future__ import annotations

from strava_async.protocol import ApiV3


class Client:
    """One athlete of an application, as ``Strava`` hands it out. It opens nothing, so there is nothing to close.

    Attributes:
        api: makes the requests; results as Strava sends them.
        athlete_id: whose view it is.
    """

    def __init__(self, api: ApiV3, athlete_id: int) -> None:
        self.api = api
        self.athlete_id = athlete_id

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of athlete {self.athlete_id}>"
