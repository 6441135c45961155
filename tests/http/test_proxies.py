"""Which proxy the environment names for a URL."""

import pytest

from strava_async._http.proxies import Proxies, Proxy
from strava_async.errors import InputError

URL = "https://www.strava.com/api/v3/athlete"


def found(url: str = URL, **named: str) -> str | None:
    proxy = Proxies(named, {f"{name}_proxy": value for name, value in named.items()}).proxy_for(url)
    return None if proxy is None else proxy.url


def test_a_scheme_has_a_proxy_of_its_own_and_all_have_one() -> None:
    named = {"https": "http://secure:1", "all": "http://any:2"}
    assert found(**named) == "http://secure:1"
    assert found("http://www.strava.com/", **named) == "http://any:2"
    assert found(http="http://plain:3") is None


def test_a_value_without_a_scheme_is_an_http_proxy() -> None:
    assert found(https="proxy.example:3128") == "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("pattern", "url"),
    [
        ("*", URL),
        ("strava.com", URL),
        (".strava.com", URL),
        ("*.strava.com", URL),
        ("STRAVA.com", URL),
        ("www.strava.com", URL),
        ("www.strava.com:443", URL),
        ("https://www.strava.com", URL),
        ("localhost, strava.com", URL),
        ("localhost strava.com", URL),
        ("127.0.0.0/8", "http://127.0.0.1:1/"),
        ("10.0.0.0/8", "http://10.2.3.4/"),
        ("10.2.3.4", "http://10.2.3.4/"),
        ("10.2.3.4/8", "http://10.2.3.4/"),  # not the network's own address, as people write it
        ("10.2.3.4:8080", "http://10.2.3.4:8080/"),
        ("::1/128", "http://[::1]:8080/"),
        ("::1", "http://[::1]/"),
        ("[::1]", "http://[::1]/"),
        ("[::1]:8080", "http://[::1]:8080/"),
        ("fd00::/8", "http://[fd12::1]/"),
        ("127.0.0.0/8", "http://[::ffff:127.0.0.1]/"),
        ("strava.com", "https://www.strava.com./"),
    ],
)
def test_what_no_proxy_names_is_reached_directly(pattern: str, url: str) -> None:
    assert found(url, all="http://proxy:1", no=pattern) is None


@pytest.mark.parametrize(
    ("pattern", "url"),
    [
        ("", URL),
        ("ava.com", URL),
        ("api.strava.com", URL),
        ("www.strava.com:80", URL),
        ("www.strava.com.evil.example", URL),
        ("127.0.0.0/8", "http://10.0.0.1/"),
        ("10.2.3.4:8080", "http://10.2.3.4/"),
        ("::1/128", "http://[::2]/"),
        ("10.0.0.0/99", "http://10.0.0.1/"),
        ("10.0.0.0/8", "http://10.example/"),
        ("[::1", "http://[::1]/"),
        (":80", "http://www.strava.com/"),
        (",, ,", URL),
        ("*:8080", URL),
    ],
)
def test_what_it_does_not_name_goes_over_the_proxy(pattern: str, url: str) -> None:
    assert found(url, all="http://proxy:1", no=pattern) == "http://proxy:1"


@pytest.mark.parametrize(
    "value",
    ["foo://x", "socks4://x:1", "http://", "http://user:sekret@", "http://user:sekret@[x", "http://user:sekret@x:y"],
)
def test_an_invalid_proxy_is_reported_without_its_password(value: str) -> None:
    proxies = Proxies({"https": value}, {"HTTPS_PROXY": value})
    with pytest.raises(InputError, match=r"^HTTPS_PROXY names no proxy") as caught:
        proxies.proxy_for(URL)
    assert "sekret" not in str(caught.value)


def test_a_proxy_that_is_not_needed_may_be_invalid() -> None:
    assert found(http="foo://x") is None
    assert found(https="foo://x", no="strava.com") is None


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"https_proxy": "foo://x", "HTTPS_PROXY": "foo://y"}, "https_proxy"),
        ({"HTTPS_PROXY": "foo://x"}, "HTTPS_PROXY"),
        ({"Https_Proxy": "foo://x"}, "Https_Proxy"),
        ({}, "the proxy settings of the system"),
    ],
)
def test_the_error_names_the_variable(environ: dict[str, str], name: str) -> None:
    with pytest.raises(InputError, match=f"^{name} names"):
        Proxies({"https": "foo://x"}, environ).proxy_for(URL)


def test_socks_is_known() -> None:
    assert Proxies({"all": "socks5h://u:p@proxy:1"}, {}).proxy_for(URL) == Proxy(
        "socks5h://u:p@proxy:1", "the proxy settings of the system"
    )
    assert Proxy("socks5://x", "").is_socks
    assert not Proxy("http://socks5", "").is_socks


def test_a_scheme_may_be_in_upper_case() -> None:
    proxy = Proxies({"all": "SOCKS5://u:P@proxy:1"}, {}).proxy_for(URL)
    assert proxy is not None
    assert (proxy.url, proxy.is_socks) == ("socks5://u:P@proxy:1", True)


def test_a_proxy_does_not_show_its_password() -> None:
    assert "sekret" not in repr(Proxies({"all": "http://u:sekret@proxy:1"}, {}).proxy_for(URL))


def test_a_port_that_is_none_matches_nothing() -> None:
    assert found(URL, all="http://proxy:1", no=f"www.strava.com:{'9' * 5000}") == "http://proxy:1"
