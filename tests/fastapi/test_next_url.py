"""Where a login may lead: to a path of this site, whatever the link said."""

from urllib.parse import unquote, urljoin, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from strava_async.fastapi.redirects import safe_next

HERE = "https://service.test/strava/callback"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/rides",
        "/rides/1?sort=date&page=2#top",
        "/größe",
        "/my%20ride",
        "/a%2Fb",
        "/search?back=//other.test&url=https%3A%2F%2Fother.test",
        "/@user:name",
        "/" + "a" * 511,
    ],
)
def test_a_path_of_this_site_is_kept(path: str) -> None:
    assert safe_next(path) == path


@pytest.mark.parametrize(
    "elsewhere",
    [
        *("", "rides", "?a", "#a", "../x", "https://evil.test", "https:evil.test", "javascript:alert(1)", "mailto:a@b"),
        *("//evil.test", "///evil.test", "/\\evil.test", "\\\\evil.test", "/a\\b", "/?a=\\", "/a//b", "/.//evil.test"),
        *("/\t/evil.test", "/\n/evil.test", "/\r/evil.test", "\t//evil.test", " //evil.test", "/a b", "/\x00", "/\x7f"),
        *("/%09/evil.test", "/%0a/evil.test", "/%0d%0a/evil.test", "/a%00", "/%e2%80%a8"),
        *("/%2fevil.test", "/%2Fevil.test", "/%5cevil.test", "/%5Cevil.test", "/a/%2f", "/.%2f/x"),
        *("/\u2028", "/\u3000", "/\u200b", "/\ud800", "/" + "a" * 512, "/" + "ö" * 256),
    ],
)
def test_anything_else_is_the_default(elsewhere: str) -> None:
    assert safe_next(elsewhere) == "/"
    assert safe_next(elsewhere, "/home") == "/home"


@pytest.mark.parametrize("value", [None, 7, b"/rides", ["/rides"]])
def test_what_is_no_text_is_the_default(value: object) -> None:
    assert safe_next(value, "/home") == "/home"


pieces = st.sampled_from(
    [
        *("/", "\\", "//", ":", "@", ".", "..", "?", "#", "%", "%2f", "%5c", "%09", "\t", "\n", "\r", " ", "\x00"),
        *("\xa0", "https:", "evil.test", "[", "]", ";", "a", "ö", "\ufeff", "\ud800", "\uff0f", "\uff3c"),
    ]
)
addresses = st.one_of(st.text(), st.lists(pieces).map("".join), st.lists(pieces).map(lambda each: "/" + "".join(each)))


def origin_in_a_browser(address: str) -> str:
    """Return the scheme and host that a browser resolves an address to, by the rules of the standard that matter."""
    stripped = address.strip("".join(map(chr, range(0x21))))
    address = "".join(each for each in stripped if each not in "\t\n\r").replace("\\", "/")
    scheme, colon, _ = address.partition(":")
    if colon and scheme[:1].isalpha() and all(each.isalnum() or each in "+-." for each in scheme):
        return "elsewhere"
    if address.startswith("//"):
        return "elsewhere"
    return "https://service.test"


@given(addresses)
@example("/\t/evil.test")
@example("/\\evil.test")
@example("https:evil.test")
def test_no_address_leads_away(address: str) -> None:
    chosen = safe_next(address)
    parts = urlsplit(urljoin(HERE, chosen))
    assert (parts.scheme, parts.netloc) == ("https", "service.test")
    assert origin_in_a_browser(chosen) == "https://service.test"


@given(addresses)
@example("/%09/evil.test")
@example("/%0d%0a/evil.test")
@example("/%5cevil.test")
def test_nor_does_what_a_server_makes_of_it_by_decoding(address: str) -> None:
    assert origin_in_a_browser(unquote(safe_next(address))) == "https://service.test"
