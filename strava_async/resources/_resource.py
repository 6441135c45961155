"""The base of all resources: makes a call, and reads its answer into a model."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Protocol, TypeVar, overload

from strava_async.errors import InputError
from strava_async.models._model import StravaModel
from strava_async.models._reading import OnInvalid, read_many, read_one
from strava_async.models.athlete import MetaAthlete
from strava_async.paging.pages import PageWalk
from strava_async.paging.walk import Pages, Params, Walk
from strava_async.protocol import ApiV3
from strava_async.request.endpoints import Endpoint, Endpoints
from strava_async.resources._listing import Listing

Model = TypeVar("Model", bound=StravaModel)


class View(Protocol):
    """The ``Client`` as its resources see it: whose calls they are, and how their answers are read.

    Attributes:
        api: makes the calls.
        known_athlete_id: whose calls they are; None while that is not known.
    """

    known_athlete_id: int | None

    @property
    def on_invalid(self) -> OnInvalid:
        """What to do about invalid values."""
        ...

    @property
    def api(self) -> ApiV3:
        """What makes the calls."""
        ...


class Resource:
    """The endpoints of one of Strava's tags.

    Calls wait for quota, for a renewal of the token, and between retries, as those of ``ApiV3`` do, and cost one
    request of the read class unless they say otherwise. Any of them raises what ``ApiV3.get`` raises; the errors named
    with a method are those that it is likely to raise.
    """

    def __init__(self, view: View) -> None:
        self._view = view

    def __repr__(self) -> str:
        athlete_id = self._view.known_athlete_id
        return f"<{type(self).__name__} of {'an athlete' if athlete_id is None else f'athlete {athlete_id}'}>"

    async def _get(self, kind: type[Model], endpoint: Endpoint, **params: Any) -> Model:
        decode = partial(read_one, kind, on_invalid=self._view.on_invalid)
        model: Model = await self._view.api.request(endpoint.method, endpoint.path, params, decode=decode)
        return model

    async def _get_list(self, kind: type[Model], endpoint: Endpoint, **params: Any) -> list[Model]:
        decode = partial(read_many, kind, on_invalid=self._view.on_invalid)
        models: list[Model] = await self._view.api.request(endpoint.method, endpoint.path, params, decode=decode)
        return models

    async def _change(self, kind: type[Model], endpoint: Endpoint, params: Mapping[str, Any], **content: Any) -> Model:
        def decode(body: bytes) -> Model:
            # The change is made: an answer without a body must not look like a failure.
            return read_one(kind, body or b"{}", self._view.on_invalid)

        api = self._view.api
        model: Model = await api.request(endpoint.method, endpoint.path, params, decode=decode, **content)
        return model

    def _listing(
        self, kind: type[Model], endpoint: Endpoint, begin: Callable[[], Walk], **params: Any
    ) -> Listing[Model]:
        async def fetch(numbers: Params) -> list[Model]:
            return await self._get_list(kind, endpoint, **params, **numbers)

        return Listing(lambda: Pages(begin(), fetch, endpoint.path), described(kind, endpoint, **params))

    def _numbered(
        self, kind: type[Model], endpoint: Endpoint, per_page: int, limit: int | None, prefetch: int, **params: Any
    ) -> Listing[Model]:
        return self._listing(kind, endpoint, lambda: PageWalk(per_page, limit, prefetch, id_of), **params)

    async def _own_id(self) -> int:
        """Return the athlete's id. Where it is not known, the first call costs one request."""
        if self._view.known_athlete_id is None:
            athlete = await self._get(MetaAthlete, Endpoints.ATHLETE_GET)
            if not isinstance(athlete.id, int):
                raise InputError("Strava did not send the id of the token's athlete: pass athlete_id")
            self._view.known_athlete_id = athlete.id
        return self._view.known_athlete_id


def described(kind: type[StravaModel], endpoint: Endpoint, **params: Any) -> str:
    """Return the description of a list for its repr."""
    given = ", ".join(f"{name}={value}" for name, value in params.items() if value is not None)
    return f"{kind.__name__} from {endpoint.path}{given and f' ({given})'}"


def id_of(item: Any) -> Hashable | None:
    """Return what identifies an item of a list; None where it has no id, as with some athletes."""
    found = getattr(item, "id", None)
    return found if isinstance(found, int | str) else None


@overload
def wall_time(name: str, moment: datetime | str) -> str: ...
@overload
def wall_time(name: str, moment: datetime | str | None) -> str | None: ...
def wall_time(name: str, moment: datetime | str | None) -> str | None:
    """Return a local time as Strava writes it: with a ``Z`` at its end that is not to be read as UTC.

    Args:
        name: for the error.
        moment: naive, or aware, whose time zone is dropped; or its text in ISO 8601. None stays None.

    Raises:
        InputError: it is not a time.
    """
    return None if moment is None else _wall_text(name, moment)


def _wall_text(name: str, moment: object) -> str:
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            raise InputError(f"{name} is not a time in ISO 8601: {moment!r}") from None
    if not isinstance(moment, datetime):
        raise InputError(f"{name} must be a datetime, or its text in ISO 8601")
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
