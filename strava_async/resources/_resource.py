"""What all resources do: make a call, and read its answer into a model."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Literal, Protocol, TypeVar, overload

from strava_async.errors import InputError
from strava_async.models._model import StravaModel
from strava_async.models._reading import OnInvalid, read_many, read_one
from strava_async.models.athlete import MetaAthlete
from strava_async.paging.pages import PageWalk
from strava_async.paging.walk import Pages, Params, Walk
from strava_async.protocol import ApiV3
from strava_async.resources._listing import Listing

Model = TypeVar("Model", bound=StravaModel)


class View(Protocol):
    """Whose calls they are, and how their answers are read: the ``Client``.

    Attributes:
        api: makes the calls.
        known_athlete_id: whose they are; None until somebody has said.
    """

    known_athlete_id: int | None

    @property
    def on_invalid(self) -> OnInvalid:
        """What to do about values that do not fit."""
        ...

    @property
    def api(self) -> ApiV3:
        """What makes the calls."""
        ...


class Resource:
    """The endpoints of one of Strava's tags.

    Calls wait for quota, for a renewal of the token, and between retries, as those of ``ApiV3`` do, and cost one
    request of the read class unless they say otherwise. Any of them raises what ``ApiV3.get`` raises; what is named
    with a method is what is to be expected of it beyond that.
    """

    def __init__(self, view: View) -> None:
        self._view = view

    def __repr__(self) -> str:
        athlete_id = self._view.known_athlete_id
        return f"<{type(self).__name__} of {'an athlete' if athlete_id is None else f'athlete {athlete_id}'}>"

    async def _get(self, kind: type[Model], url: str, **params: Any) -> Model:
        decode = partial(read_one, kind, on_invalid=self._view.on_invalid)
        model: Model = await self._view.api.request("GET", url, params, decode=decode)
        return model

    async def _get_list(self, kind: type[Model], url: str, **params: Any) -> list[Model]:
        decode = partial(read_many, kind, on_invalid=self._view.on_invalid)
        models: list[Model] = await self._view.api.request("GET", url, params, decode=decode)
        return models

    async def _change(
        self,
        method: Literal["POST", "PUT"],
        kind: type[Model],
        url: str,
        params: Mapping[str, Any],
        **content: Any,
    ) -> Model:
        def decode(body: bytes) -> Model:
            # What was done is done: an answer without a body must not look like a failure.
            return read_one(kind, body or b"{}", self._view.on_invalid)

        model: Model = await self._view.api.request(method, url, params, decode=decode, **content)
        return model

    def _listing(self, kind: type[Model], url: str, begin: Callable[[], Walk], **params: Any) -> Listing[Model]:
        async def fetch(numbers: Params) -> list[Model]:
            return await self._get_list(kind, url, **params, **numbers)

        return Listing(lambda: Pages(begin(), fetch, url), described(kind, url, **params))

    def _numbered(
        self, kind: type[Model], url: str, per_page: int, limit: int | None, prefetch: int, **params: Any
    ) -> Listing[Model]:
        return self._listing(kind, url, lambda: PageWalk(per_page, limit, prefetch, id_of), **params)

    async def _own_id(self) -> int:
        """Return the athlete's id; asks Strava the first time if it is not known, for one request."""
        if self._view.known_athlete_id is None:
            athlete = await self._get(MetaAthlete, "/athlete")
            if not isinstance(athlete.id, int):
                raise InputError("Strava did not say whose token this is: pass athlete_id")
            self._view.known_athlete_id = athlete.id
        return self._view.known_athlete_id


def described(kind: type[StravaModel], url: str, **params: Any) -> str:
    """Return what a list is of, for its repr."""
    given = ", ".join(f"{name}={value}" for name, value in params.items() if value is not None)
    return f"{kind.__name__} from {url}{given and f' ({given})'}"


def id_of(item: Any) -> Hashable | None:
    """Return what tells an item of a list from the others; None where it has no id, as athletes at times."""
    found = getattr(item, "id", None)
    return found if isinstance(found, int | str) else None


@overload
def wall_time(name: str, moment: datetime | str) -> str: ...
@overload
def wall_time(name: str, moment: datetime | str | None) -> str | None: ...
def wall_time(name: str, moment: datetime | str | None) -> str | None:
    """Return a local time as Strava writes it: what the clock on the wall shows, with a ``Z`` that means nothing.

    Args:
        name: for the error.
        moment: naive, or aware, of which the zone is left away; or its text in ISO 8601. None stays None.

    Raises:
        InputError: it is no time.
    """
    return None if moment is None else _wall_text(name, moment)


def _wall_text(name: str, moment: object) -> str:
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            raise InputError(f"{name} is no time in ISO 8601: {moment!r}") from None
    if not isinstance(moment, datetime):
        raise InputError(f"{name} is a datetime, or its text in ISO 8601")
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
