"""JSON has the same values, whichever decoders are installed, in dictionaries and in models."""

import json
from contextlib import suppress
from functools import partial
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strava_async.models import SummaryActivity
from strava_async.models._read_streams import read_streams
from strava_async.models._reading import read_many, read_one
from strava_async.request.json_values import decode_by, may_hold_long_integers

# Each is a JSON text, or next to one.
NUMBERS = [
    *(
        "0",
        "-0",
        "-0.0",
        "0e5",
        "-0e0",
        "1E5",
        "1e5",
        "1e-5",
        "100e-2",
        "1.0",
        "0.1",
        "01",
        "1.",
        ".5",
        "+1",
        "-",
        "--1",
    ),
    *("9007199254740993", "9007199254740993.0", "2.2250738585072011e-308", "5e-324", "1e-999", "1e999", "-1e999"),
    *("1.7976931348623157e308", "1.7976931348623159e308", "0.1000000000000000055511151231257827021181583404541015625"),
    *("9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616"),
    *("-9223372036854775808", "-9223372036854775809", "-9999999999999999999", "99999999999999999999", "1" * 400),
    *("1" * 5000, "-" + "9" * 300, "123456789012345678901.0", "123456789012345678901e0", "12345678901234567890123e-3"),
    *("NaN", "Infinity", "-Infinity", "-NaN", "nan", "inf", "1_0", "0x10", "１"),
]
TEXTS = [
    *('"\\ud800"', '"\\ud800\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"\\uD83D\\uDE00"', '"\\u00"', '"\\/"'),
    *('"\\a"', '"\t"', '"\x7f"', '"\u2028"', "'a'", '"', '"\\', '{"\\ud800": 1}', '"12345678901234567890"'),
]
OTHERS = [
    *(
        '{"a": 1, "b": 2, "a": 3}',
        "[1,]",
        '{"a": 1,}',
        "{1: 2}",
        "[1 2]",
        "//c\n1",
        "tru",
        "null",
        "",
        " ",
        " 1 ",
        "\x0b1",
    ),
    *(
        "\x0b1",
        "\xa01",
        "1\0",
        "--1",
        "\0",
        "[]{}",
        "[[[[[[]]]]]]",
        '{"a": {"b": [1e2, 18446744073709551616]}}',
        "\ufeff{}",
    ),
]
BYTES = [
    *(b'"\xff"', b'"\xed\xa0\x80"', b"\xef\xbb\xbf{}", b"\xff\xfe", b"\x80", b'"\xc0\x80"', b'"\xf4\x90\x80\x80"'),
    *('{"a": 1}'.encode(coding) for coding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le")),
]
DOCUMENTS = [text.encode() for text in NUMBERS + TEXTS + OTHERS] + BYTES


NO_JSON = "no JSON"


def outcome(decode: Any, body: bytes) -> str:
    """Return a value with its types, so that NaN is itself and -0.0 is not 0; or that there is none."""
    try:
        return repr(decode(body))
    except ValueError:
        return NO_JSON


def same_in_all(body: bytes) -> None:
    expected = outcome(json.loads, body)
    assert outcome(lambda text: decode_by(orjson.loads, text), body) == expected
    assert outcome(lambda text: decode_by(None, text), body) == expected


@pytest.mark.parametrize("body", DOCUMENTS, ids=range(len(DOCUMENTS)))
def test_a_document_has_one_value(body: bytes) -> None:
    same_in_all(body)
    with suppress(ValueError):
        assert repr(read_streams(b'{"odd": {"data": [' + body + b"]}}").raw) == repr(
            {"odd": {"data": [json.loads(body)]}}
        )


@pytest.mark.parametrize("body", DOCUMENTS, ids=range(len(DOCUMENTS)))
def test_a_document_has_its_value_in_models(body: bytes) -> None:
    text = b'{"newer": ' + body + b"}"
    if outcome(json.loads, text) == NO_JSON:
        assert outcome(partial(read_one, SummaryActivity), text) == NO_JSON
        return
    expected = json.loads(text)["newer"]
    [model] = read_many(SummaryActivity, b"[" + text + b"]")
    for activity in (model, read_one(SummaryActivity, text)):
        assert repr(activity.raw["newer"]) == repr(expected)
        if "\\ud8" not in ascii(expected):  # half a pair is shown as U+FFFD; ``raw`` has it
            assert repr(activity.model_extra) == repr({"newer": expected})


BIG = 2**64


@pytest.mark.parametrize("padding", [0, 10_000, (1 << 20) - 30, (1 << 20) - 20, (1 << 20) - 10, 1 << 20, 3 << 20])
@pytest.mark.parametrize("number", [BIG, -(2**63) - 1])
def test_an_integer_beyond_64_bits_is_one_wherever_it_stands(padding: int, number: int) -> None:
    body = b'{"padding": "' + b"." * padding + b'", "number": ' + str(number).encode() + b"}"
    value = decode_by(orjson.loads, body)["number"]
    assert (value, type(value)) == (number, int)


def test_where_no_number_is_long_the_fast_decoder_does_it() -> None:
    taken: list[bytes] = []

    def loads(body: bytes) -> Any:
        taken.append(body)
        return orjson.loads(body)

    body = b'[9999999999999999999, "2026-11-28T20:22:26Z", -999999999999999999, 0.1234567890123456789'
    body += b', "12345678901234567890", 12345678901234567890.5, 1e-00000000000000000000001, "a-98765432109876543210"]'
    for times in (1, 3 << 20):
        long = b"[" + b" " * times + b",".join([body] * 50) + b"]"
        assert decode_by(loads, long) == json.loads(long)
        assert taken.pop() == long
        assert not may_hold_long_integers(long)


def test_of_many_long_texts_not_each_is_looked_at() -> None:
    assert may_hold_long_integers(b'"12345678901234567890",' * 10_000)


values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(-(2**70), 2**70),
        st.floats(),
        st.text(),
        st.text(st.characters(categories=["Cs", "Nd"])),
    ),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=20,
)


@given(value=values, ascii_only=st.booleans(), indent=st.sampled_from([None, 0, 3]))
def test_any_value_is_the_same_in_all(value: Any, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    same_in_all(text.encode("utf-8", "surrogatepass"))


@given(
    body=st.one_of(
        st.binary(),
        st.lists(st.sampled_from([*'[]{},:"\\e.-+09', "1" * 19, "NaN", '"a"', "\\u"])).map("".join).map(str.encode),
    )
)
def test_whatever_comes_is_the_same_in_all(body: bytes) -> None:
    same_in_all(body)


@given(value=values)
def test_any_value_is_the_same_in_streams_and_models(value: Any) -> None:
    body = json.dumps({"newer": value}).encode()
    assert repr(read_streams(body).raw) == repr(json.loads(body))
    assert repr(read_one(SummaryActivity, body).raw) == repr(json.loads(body))
