"""Whatever becomes of an answer, it is read, written and shown; what was left alone keeps its value."""

import copy
import functools
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from strava_async.models import DetailedActivity, StravaModel
from strava_async.models._origin import speakable
from strava_async.models._reading import read_many, read_one
from tests.models.answers import answers

Path = tuple[str | int, ...]
Sent = tuple[type[StravaModel], dict[str, Any]]

NAMES = [
    "raw",
    "model_dump",
    "model_fields_set",
    "misfits",
    "linked",
    "_origin",
    "__class__",
    "__dict__",
    "copy",
    "str",
]
TEXTS = ["", "x", "5", "-1", "true", "2018-11-04T14:53:46Z", "9999-12-31T23:59:59.999999999-23:59", "\ud83d", "Run"]
NUMBERS = [0, -1, 1.5, 2**53 + 1, -(2**64), 10**400, 1e308, float("nan"), float("inf"), -0.0]

# Half a surrogate pair can be in a value; no attribute can be called so (see the last test).
keys = st.one_of(st.sampled_from(NAMES), st.text(st.characters(exclude_categories=["Cs"]), max_size=5))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(TEXTS),
    st.sampled_from(NUMBERS),
    st.integers(),
    st.text(st.characters(), max_size=5),
)
junk = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=5
)


@functools.cache
def samples() -> dict[str, list[Sent]]:
    """Return real answers by model, with lists cut short: what is wrong with a third item is wrong with the first."""
    found: dict[str, list[Sent]] = {}
    for answer in answers():
        sent = json.loads(answer.body)
        objects = (sent if answer.many else [sent])[:20]
        found.setdefault(answer.kind.__name__, []).extend((answer.kind, _short(item)) for item in objects)
    return found


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short(inner) for key, inner in value.items()}
    return [_short(inner) for inner in value[:2]] if isinstance(value, list) else value


@st.composite
def sent_objects(draw: st.DrawFn) -> Sent:
    """Draw the family first: there are many more answers of some than of others."""
    found = samples()
    return draw(st.sampled_from(found[draw(st.sampled_from(sorted(found)))]))


@st.composite
def mutants(draw: st.DrawFn) -> tuple[type[StravaModel], Any, Any, set[Path]]:
    """Return a model, an answer as it was and as it became, and the places that changed."""
    kind, was = draw(sent_objects())
    value = copy.deepcopy(was)
    touched: set[Path] = set()
    for _ in range(draw(st.integers(1, 5))):
        path = draw(places(value))
        touched.add(path)
        *above, last = path
        parent: Any = value
        for step in above:
            parent = parent[step]
        match draw(st.sampled_from(["replace", "replace", "wrap", "null", "drop", "add"])):
            case "replace":
                parent[last] = draw(junk)
            case "wrap":
                parent[last] = draw(st.sampled_from([[parent[last]], {"str": parent[last]}]))
            case "null":
                parent[last] = None
            case "add" if isinstance(parent, dict):
                name = draw(keys)
                touched.add((*above, name))
                parent[name] = draw(junk)
            case _ if isinstance(parent, dict):
                del parent[last]
            case _:
                parent[last] = draw(junk)
    return kind, was, value, touched


@st.composite
def places(draw: st.DrawFn, value: Any) -> Path:
    """Draw the path to something inside an object; those near the top are likelier."""
    path: Path = ()
    while True:
        steps: list[str | int] = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not steps:
            return path if path else draw(_added(value))
        step = draw(st.sampled_from(steps))
        path = (*path, step)
        value = value[step]
        if not isinstance(value, dict | list) or not value or draw(st.booleans()):
            return path


@st.composite
def _added(draw: st.DrawFn, empty: dict[str, Any]) -> Path:
    empty["id"] = draw(scalars)
    return ("id",)


def as_text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)  # NaN equals itself there


def without_nan(value: Any) -> Any:
    """Return what JSON can say: null where no number is."""
    return json.loads(json.dumps(value), parse_constant=lambda _: None)


def check(model: StravaModel, sent: Any) -> None:
    model.model_dump()
    assert as_text(model.raw) == as_text(sent)
    if isinstance(sent, dict):
        assert model.model_dump(mode="json", exclude_unset=True) == without_nan(speakable(sent))
        json.loads(model.model_dump_json())
        assert set(model.model_dump(mode="json")) >= set(type(model).model_fields)
    repr(model)
    copy.deepcopy(model)


def check_untouched(model: Any, original: Any, touched: set[Path]) -> None:
    """Compare what no mutation was at, above or below."""
    assert type(model) is type(original)
    for name in type(original).model_fields:
        below = {path[1:] for path in touched if path[0] == name}
        value, expected = getattr(model, name), getattr(original, name)
        if not below:
            assert value == expected, name
        elif () not in below and isinstance(expected, StravaModel):
            check_untouched(value, expected, below)


@given(mutants())
@settings(max_examples=400)
def test_an_answer_with_anything_changed_is_read_and_comes_back_out(
    mutant: tuple[type[StravaModel], Any, Any, set[Path]],
) -> None:
    kind, was, became, touched = mutant
    text = json.dumps(became).encode()
    model = read_one(kind, text)
    check(model, json.loads(text))
    check_untouched(model, read_one(kind, json.dumps(was).encode()), touched)


@given(st.lists(mutants(), min_size=1, max_size=4), st.data())
@settings(max_examples=60)
def test_what_became_of_one_item_spoils_no_other(
    found: list[tuple[type[StravaModel], Any, Any, set[Path]]], data: st.DataObject
) -> None:
    kind, was, *_ = found[0]
    items = data.draw(st.permutations([was, *(became for _, _, became, _ in found)]))
    text = json.dumps(items).encode()
    models = read_many(kind, text)
    for model, sent in zip(models, json.loads(text), strict=True):
        check(model, sent)
    assert read_one(kind, json.dumps(was).encode()) in models


@given(junk)
@settings(max_examples=150)
def test_any_json_at_all_is_read(value: Any) -> None:
    text = json.dumps(value).encode()
    check(read_one(DetailedActivity, text), json.loads(text))
    for model in read_many(DetailedActivity, text):
        model.model_dump(mode="json")


@given(sent_objects(), st.text(st.characters(categories=["Cs", "Lu"]), max_size=3), junk)
@settings(max_examples=60)
def test_names_that_nothing_can_have_spoil_nothing(sent: Sent, name: str, value: Any) -> None:
    kind, was = sent
    text = json.dumps(was | {name: {name: value}}).encode()
    model = read_one(kind, text)
    model.model_dump()
    assert as_text(model.raw) == as_text(json.loads(text))
    dumped = model.model_dump(mode="json", exclude_unset=True)
    assert all(dumped[key] == value for key, value in was.items() if key != name)
    json.loads(model.model_dump_json())
