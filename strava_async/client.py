"""``Client``: one athlete's typed view of Strava."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

from strava_async.errors import InputError
from strava_async.protocol import ApiV3

if TYPE_CHECKING:
    from strava_async.models._reading import OnInvalid
    from strava_async.resources.activities import ActivitiesResource
    from strava_async.resources.athlete import AthleteResource
    from strava_async.resources.clubs import ClubsResource
    from strava_async.resources.gear import GearResource
    from strava_async.resources.routes import RoutesResource
    from strava_async.resources.segment_efforts import SegmentEffortsResource
    from strava_async.resources.segments import SegmentsResource
    from strava_async.resources.streams import StreamsResource
    from strava_async.resources.uploads import UploadsResource

_TAGS = (
    *("activities", "athlete", "clubs", "gear", "routes"),
    *("segment_efforts", "segments", "streams", "uploads"),
)


def load_tags() -> None:
    """Import what the tags of a ``Client`` need. It takes half a second: not to be done on the event loop.

    Does nothing where the extra ``models`` is not installed: the tags raise when they are used.
    """
    with suppress(InputError, ImportError):
        for name in _TAGS:
            import_module(f"strava_async.resources.{name}")


class Client:
    """One athlete of an application: Strava's endpoints by tag, with typed results.

    It opens nothing, so there is nothing to close; ``api`` is closed by its owner. Everything but ``api`` needs
    the extra ``models``. That is loaded when this class is imported from ``strava_async``, or by ``Strava.prepare``;
    else on first use.

    Args:
        api: makes the requests; results as Strava sends them.
        athlete_id: the athlete; None takes it from the token, or asks Strava where that is needed.
        on_invalid: what to do about values of a response that do not fit their model: ``keep`` them as they came, and
            log each kind once; or ``raise`` a DecodeError.

    Attributes:
        known_athlete_id: the athlete; None while that is not known.

    Raises:
        InputError: ``on_invalid`` is neither. From the tags: the extra ``models`` is not installed.
    """

    def __init__(self, api: ApiV3, athlete_id: int | None = None, *, on_invalid: OnInvalid = "keep") -> None:
        self._api = api
        self.known_athlete_id = api.tokens.token.athlete_id if athlete_id is None else athlete_id
        self.on_invalid = on_invalid

    @property
    def on_invalid(self) -> OnInvalid:
        """What to do about values that do not fit. May be changed at any time.

        Raises:
            InputError: on setting it to anything but ``keep`` and ``raise``.
        """
        return self._on_invalid

    @on_invalid.setter
    def on_invalid(self, value: OnInvalid) -> None:
        if value not in ("keep", "raise"):
            raise InputError("on_invalid is 'keep' or 'raise'")
        self._on_invalid: OnInvalid = value

    @property
    def athlete_id(self) -> int:
        """The athlete.

        Raises:
            InputError: it is not known yet; ``client.athlete.get()`` asks Strava.
        """
        if self.known_athlete_id is None:
            raise InputError("the token's athlete is not known yet: pass athlete_id, or await client.athlete.get()")
        return self.known_athlete_id

    @property
    def api(self) -> ApiV3:
        """What makes the requests: raw access, also to endpoints that have no method here."""
        return self._api

    # A tag is made each time: held here, client and tag would hold each other until the garbage collector comes.

    @property
    def activities(self) -> ActivitiesResource:
        """Activities, with their comments, kudos, laps and zones."""
        from strava_async.resources.activities import ActivitiesResource

        return ActivitiesResource(self)

    @property
    def athlete(self) -> AthleteResource:
        """The athlete: profile, statistics and zones."""
        from strava_async.resources.athlete import AthleteResource

        return AthleteResource(self)

    @property
    def clubs(self) -> ClubsResource:
        """The athlete's clubs."""
        from strava_async.resources.clubs import ClubsResource

        return ClubsResource(self)

    @property
    def gear(self) -> GearResource:
        """Bikes and shoes."""
        from strava_async.resources.gear import GearResource

        return GearResource(self)

    @property
    def routes(self) -> RoutesResource:
        """The routes that the athlete has planned."""
        from strava_async.resources.routes import RoutesResource

        return RoutesResource(self)

    @property
    def segment_efforts(self) -> SegmentEffortsResource:
        """The athlete's efforts on segments."""
        from strava_async.resources.segment_efforts import SegmentEffortsResource

        return SegmentEffortsResource(self)

    @property
    def segments(self) -> SegmentsResource:
        """Segments: by id, starred, and by map area."""
        from strava_async.resources.segments import SegmentsResource

        return SegmentsResource(self)

    @property
    def streams(self) -> StreamsResource:
        """What was recorded second by second."""
        from strava_async.resources.streams import StreamsResource

        return StreamsResource(self)

    @property
    def uploads(self) -> UploadsResource:
        """Uploads of activity files."""
        from strava_async.resources.uploads import UploadsResource

        return UploadsResource(self)

    def __repr__(self) -> str:
        whose = "an athlete" if self.known_athlete_id is None else f"athlete {self.known_athlete_id}"
        return f"<{type(self).__name__} of {whose}>"
