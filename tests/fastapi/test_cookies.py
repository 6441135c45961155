"""How the Cookie field of a request is read."""

import pytest
from starlette.requests import HTTPConnection

from strava_async.fastapi.cookies import cookies_of

HOST_NAME = "__Host-strava_athlete"


def read(*fields: bytes) -> dict[str, str]:
    return cookies_of(HTTPConnection({"type": "http", "headers": [(b"cookie", field) for field in fields]}))


def test_cookies_come_by_name_in_the_order_of_the_request() -> None:
    assert list(read(b"b=2; a=1;c=; d=x=y").items()) == [("b", "2"), ("a", "1"), ("c", ""), ("d", "x=y")]


def test_without_the_field_there_are_none() -> None:
    assert read() == {}
    assert read(b"") == {}


def test_a_field_in_parts_is_one_field() -> None:
    assert read(b"a=1", b"b=2; c=3") == {"a": "1", "b": "2", "c": "3"}


def test_space_and_tab_are_trimmed() -> None:
    assert read(b" \t a\t=\t 1 \t; b = 2") == {"a": "1", "b": "2"}


@pytest.mark.parametrize("byte", [*range(0x20), *range(0x7F, 0x100)])
def test_no_other_byte_is_trimmed_off_a_name_or_a_value(byte: int) -> None:
    odd = bytes([byte])
    if odd == b"\t":
        return
    for name in (odd + b"name", b"name" + odd):
        assert read(name + b"=1") == {name.decode("latin-1"): "1"}
    assert read(b"name=" + odd + b"1" + odd) == {"name": f"{chr(byte)}1{chr(byte)}"}


@pytest.mark.parametrize("second", [b"mine=planted", b"\tmine =planted", b"mine=", b"mine=one"])
def test_a_name_that_stands_twice_has_no_value(second: bytes) -> None:
    assert read(b"a=1; mine=one; " + second) == {"a": "1"}
    assert read(second + b"; mine=one; a=1") == {"a": "1"}
    assert read(b"mine=one", second, b"a=1") == {"a": "1"}
    assert read(b"mine=one; " + second + b"; mine=three") == {}


def test_what_has_no_equals_sign_is_no_cookie() -> None:
    assert read(b"a; b=2;;; =3") == {"b": "2", "": "3"}


@pytest.mark.parametrize(
    ("sent", "value"),
    [(b'"a b"', "a b"), (b'"a\\054\\"b"', 'a,"b'), (b'""', ""), (b'"', '"'), (b'"a', '"a'), (b'a"b"', 'a"b"')],
)
def test_quotes_are_taken_off(sent: bytes, value: str) -> None:
    assert read(b"a=" + sent) == {"a": value}


def test_a_name_in_other_letters_is_another() -> None:
    assert read(b"__host-strava_athlete=1; __HOST-strava_athlete=2").get(HOST_NAME) is None


def test_much_is_read() -> None:
    assert len(read(b"; ".join(b"n%d=" % number for number in range(6_500)))) == 6_500
    assert read(b"a=" + b"\\" * 65_000 + b'"') != {}
    assert read(b'a="' + b"\\" * 65_000 + b'"') != {}
