"""The head of a request that a sender writes itself."""

import pytest

from strava_async._http.request_head import address_and_target


@pytest.mark.parametrize(
    ("url", "address", "target"),
    [
        ("https://x.test/api/v3/a?b=1,2&c=%C3%BC", "https://x.test", "/api/v3/a?b=1,2&c=%C3%BC"),
        ("http://[::1]:8000/a", "http://[::1]:8000", "/a"),
        ("https://x.test", "https://x.test", "/"),
        ("https://münchen.test/ü?ö=1", "https://münchen.test", "/%C3%BC?%C3%B6=1"),
        ("https://x.test/a b\r\nX: y", "https://x.test", "/a%20b%0D%0AX:%20y"),
        ("https://x.test/a#b", "https://x.test", "/a"),
    ],
)
def test_a_url_has_an_address_and_a_target(url: str, address: str, target: str) -> None:
    assert address_and_target(url) == (address, target)


@pytest.mark.parametrize("url", ["ftp://x.test/", "x.test", "", "https://x.test/" + "a" * 70_000])
def test_what_no_request_can_be_made_for_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="not a URL"):
        address_and_target(url)
