"""From a JSON body to models, whatever it holds.

Bodies that fit, which is nearly all of them, are read by pydantic in one go. Only where a value is invalid is the body
read a second time, with the invalid values taken out, and put back as they came.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import getitem
from types import GenericAlias
from typing import Any, Literal, TypeVar, cast, get_args

from pydantic import TypeAdapter, ValidationError

from strava_async._types import is_list
from strava_async.errors import DecodeError
from strava_async.models._model import StravaModel
from strava_async.models._origin import Body, Step, utf8_safe

OnInvalid = Literal["keep", "raise"]
Model = TypeVar("Model", bound=StravaModel)
Path = tuple[Step, ...]

_logger = logging.getLogger("strava_async.models")
_NOT_AN_OBJECT = "model_type"
# The first pass finds all invalid values, the second finds none. More are needed only if removing some reveals others.
_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class InvalidValue:
    """A value that does not fit its field.

    Attributes:
        where: the model, and the fields down to the value.
        came: the kind of value that came; not the value, which may be personal.
    """

    where: str
    came: str

    def __str__(self) -> str:
        return f"{self.where} is {self.came}"


class OnceLog:
    """Remembers which texts were logged; beyond a maximum number, further texts are not logged.

    Args:
        at_most: the maximum number of texts.
    """

    def __init__(self, at_most: int = 1_000) -> None:
        self._at_most = at_most
        self._logged: set[str] = set()

    def is_new(self, text: str) -> bool:
        """Say whether this text is to be logged, and remember it."""
        if text in self._logged or len(self._logged) >= self._at_most:
            return False
        self._logged.add(text)
        return True


_logged = OnceLog()


def read_one(kind: type[Model], text: bytes, on_invalid: OnInvalid = "keep") -> Model:
    """Return the object that a body holds.

    Args:
        kind: the model.
        text: the body.
        on_invalid: what to do about invalid values: keep them and log each kind of them once, or raise.

    Raises:
        ValueError: the body is not JSON.
        DecodeError: there are any, and ``on_invalid`` is "raise".
    """
    body = Body(text)
    try:
        return kind.model_validate_json(text).with_source(body)
    except ValidationError:
        pass  # drop this error: it shows values, and no later error may have it as its context
    invalid: list[InvalidValue] = []
    came, copy = _twice(body, text)
    model = _fitted(kind, came, copy, invalid)
    report_invalid(invalid, on_invalid)
    return model.with_source(body)


def read_many(kind: type[Model], text: bytes, on_invalid: OnInvalid = "keep") -> list[Model]:
    """Return the objects of a body that holds a list; arguments and errors as for ``read_one``.

    An invalid item affects no other. Anything else than a list is read as its only item; null as an empty list.
    """
    body = Body(text)
    try:
        models: list[Model] = _lists_of(kind).validate_json(text)
    except ValidationError as error:
        bad = {entry["loc"][0] for entry in error.errors(include_url=False, include_input=False) if entry["loc"]}
    else:
        return [model.with_source(body, (index,)) for index, model in enumerate(models)]
    invalid: list[InvalidValue] = []
    came, copy = _twice(body, text)
    if is_list(came):
        models = [
            _fitted(kind, item, copy[index], invalid) if index in bad or not bad else kind.model_validate(copy[index])
            for index, item in enumerate(came)
        ]
        models = [model.with_source(body, (index,)) for index, model in enumerate(models)]
    elif came is None:
        models = []
    else:
        invalid.append(InvalidValue(f"the list of {kind.__name__}", kind_of(came)))
        models = [_fitted(kind, came, copy, invalid).with_source(body)]
    report_invalid(invalid, on_invalid)
    return models


def _twice(body: Body, text: bytes) -> tuple[Any, Any]:
    """Return the body decoded twice: to look up what came, and to be changed; both safe to encode as UTF-8."""
    came = body.value()
    if b"\\u" in text:  # the only way to write half a surrogate pair
        clean = utf8_safe(came)
        body.is_utf8_safe = clean == came
        return clean, utf8_safe(came)
    return came, json.loads(text)


@lru_cache(maxsize=64)
def _lists_of(kind: type[Any]) -> TypeAdapter[Any]:
    listed: Any = GenericAlias(list, (kind,))
    return TypeAdapter(listed)


def _fitted(kind: type[Model], came: Any, copy: Any, invalid: list[InvalidValue]) -> Model:
    """Return the model of a value. The copy is changed: invalid values are removed from it."""
    removed: list[Path] = []
    for _ in range(_ROUNDS):
        try:
            model = kind.model_validate(copy)
        except ValidationError as error:
            paths = {_within(copy, entry["loc"]): entry["type"] for entry in error.errors(include_url=False)}
            if () in paths:
                break
            for path, reason in paths.items():
                field = _up_to_a_field(kind, path)
                invalid.append(InvalidValue(_named(kind, field, path), kind_of(_at(came, path))))
                if reason == _NOT_AN_OBJECT:
                    _at(copy, path[:-1])[path[-1]] = {}
                else:
                    _at(copy, field[:-1]).pop(field[-1], None)
                    removed.append(field)
        else:
            for path in removed:
                _model_at(model, path[:-1]).keep_invalid_value(str(path[-1]), _at(came, path))
            return model
    invalid.append(InvalidValue(kind.__name__, kind_of(came)))
    return kind()


def _within(value: Any, location: Iterable[Step]) -> Path:
    """Return the part of an error's location that exists; below it pydantic names the members of unions."""
    path: Path = ()
    for step in location:
        try:
            _at(value, (*path, step))
        except (LookupError, TypeError):
            break
        path = (*path, step)
    return path


def _up_to_a_field(kind: type[StravaModel], path: Path) -> Path:
    """Return the part of a path that ends with a model's field; what is below it lies inside the field's value."""
    end, inside = 0, kind
    for index, step in enumerate(path):
        if isinstance(step, str):
            end = index + 1
            within = _model_in(inside.model_fields[step].annotation)
            if within is None:
                break
            inside = within
    return path[:end]


def _model_in(annotation: Any) -> type[StravaModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, StravaModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _at(value: Any, path: Path) -> Any:
    return reduce(getitem, path, value)


def _model_at(model: StravaModel, path: Path) -> StravaModel:
    found: Any = model
    for step in path:
        found = getitem(found, step) if isinstance(step, int) else getattr(found, step)
    return cast("StravaModel", found)


def _named(kind: type[StravaModel], field: Path, path: Path) -> str:
    """Return the name of an invalid value. The keys inside a field's value are Strava's data, and not shown."""
    steps = ("[]" if isinstance(step, int) else f".{step}" for step in field)
    return kind.__name__ + "".join(steps) + "[]" * (len(path) - len(field))


def kind_of(value: Any) -> str:
    """Return the kind of a JSON value, for a log line or an error."""
    if value is None:
        return "null"
    names = {bool: "a boolean", str: "a string", dict: "an object", list: "a list"}
    return names.get(value.__class__, "a number out of its range or form")


def report_invalid(values: Sequence[InvalidValue], on_invalid: OnInvalid) -> None:
    """Log each kind of invalid value that was not logged before, or raise.

    Raises:
        DecodeError: there are any, and ``on_invalid`` is "raise".
    """
    if values and on_invalid == "raise":
        listed = "; ".join(map(str, dict.fromkeys(values)))
        raise DecodeError(f"the answer does not fit its models: {listed}")
    for value in values:
        if _logged.is_new(str(value)):
            _logger.warning("invalid value kept as it came: %s (logged once)", value)
