"""What all models are: every field optional, unknown fields kept, immutable, with the JSON they came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from strava_async._types import is_list, is_object
from strava_async.models._origin import Body, Step, utf8_safe

# Both are beside the fields in the instance's dictionary, where pydantic copies, pickles and compares around them.
_ORIGIN = "_origin"
_MISFITS = "_misfits"


class StravaModel(BaseModel):
    """An object that Strava sent. It is immutable.

    A field that Strava did not send is None, and not in ``model_fields_set``. Unknown fields are kept: they are
    attributes like the others, and in ``model_extra``. A value that does not fit its field is kept in it as it came.
    Where something else came in place of an object, there is an empty model, whose ``raw`` is what came.

    ``model_dump()`` gives typed values. ``model_dump(mode="json", exclude_unset=True)`` gives back what Strava sent.
    """

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    nested_fields: ClassVar[tuple[str, ...]] = ()
    _not_as_it_came: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls.nested_fields = tuple(name for name, info in cls.model_fields.items() if _holds_models(info.annotation))
        own = cls.__pydantic_decorators__.field_serializers.values()
        cls._not_as_it_came = frozenset(cls.nested_fields).union(*(serializer.info.fields for serializer in own))

    @property
    def raw(self) -> Any:
        """The JSON as it came. Of a model that you made yourself, what it would be."""
        origin = vars(self).get(_ORIGIN)
        if origin is None:
            return self.model_dump(mode="json", exclude_unset=True)
        body, path = origin
        return body.at(path)

    @property
    def misfits(self) -> Mapping[str, Any]:
        """The values that do not fit their fields, by the fields' names; the fields hold the same."""
        misfits: Mapping[str, Any] = vars(self).get(_MISFITS, {})
        return misfits

    def with_source(self, body: Body, path: tuple[Step, ...] = ()) -> Self:
        """Note the JSON that this was read from, here and in the models inside; return self."""
        values = vars(self)
        values[_ORIGIN] = (body, path)
        for name in self.nested_fields:
            value = values[name]
            if isinstance(value, StravaModel):
                value.with_source(body, (*path, name))
            elif is_list(value):
                for index, item in enumerate(value):
                    if isinstance(item, StravaModel):
                        item.with_source(body, (*path, name, index))
        return self

    def keep_invalid_value(self, name: str, value: Any) -> None:
        """Put an invalid value into its field."""
        values = vars(self)
        values[name] = value
        values.setdefault(_MISFITS, {})[name] = value
        self.model_fields_set.add(name)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy. With ``update`` it did not come from Strava: its ``raw`` and its dumps are its own."""
        copy = super().model_copy(update=update, deep=deep)
        if update:
            vars(copy).pop(_ORIGIN, None)
            misfits = {name: value for name, value in self.misfits.items() if name not in update}
            vars(copy).pop(_MISFITS, None)
            if misfits:
                vars(copy)[_MISFITS] = misfits
        return copy

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        origin = vars(self).get(_ORIGIN)
        if origin is not None:  # of a page, only the part of this model
            own = Body.of(self.raw, is_utf8_safe=origin[0].is_utf8_safe)
            state = {**state, "__dict__": {**state["__dict__"], _ORIGIN: (own, ())}}
        return state

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        # Of the sixty fields of an activity most are None.
        return ((name, value) for name, value in super().__repr_args__() if value is not None)

    def __hash__(self) -> int:
        found = vars(self).get("id")
        return hash((self.__class__, found if isinstance(found, int | str) else None))

    @model_serializer(mode="wrap")
    def _as_it_came(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> Any:
        misfits = self.misfits
        if misfits:  # pydantic would warn of each
            plain = self.model_copy()
            vars(plain).update(dict.fromkeys(misfits))
            dumped: dict[str, Any] = handler(plain)
            dumped |= {name: value for name, value in misfits.items() if _is_wanted(name, info)}
        else:
            dumped = handler(self)
        origin = vars(self).get(_ORIGIN)
        if info.mode != "json" or origin is None:
            return dumped
        raw = self.raw if origin[0].is_utf8_safe else utf8_safe(self.raw)
        if not is_object(raw):
            return raw
        as_it_came = raw.keys() - self._not_as_it_came
        if info.include is not None or info.exclude is not None:  # which may reach into a value
            as_it_came = {name for name in as_it_came if not isinstance(raw[name], dict | list)}
        return {name: raw[name] if name in as_it_came else value for name, value in dumped.items()}

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        # The serializer changes no shape; with it in the way, the schema would be that of anything.
        without: Any = {key: value for key, value in core_schema.items() if key != "serialization"}
        return handler(without)


def _is_wanted(name: str, info: SerializationInfo) -> bool:
    include: Any = info.include
    exclude: Any = info.exclude
    if include is not None and name not in include:
        return False
    return exclude is None or name not in exclude or (is_object(exclude) and exclude[name] not in (True, ...))


def _holds_models(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, StravaModel):
        return True
    return any(_holds_models(inner) for inner in get_args(annotation))
