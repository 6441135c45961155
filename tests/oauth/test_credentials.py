"""One check for every credential, wherever it comes in: what is wrong is named, and never shown."""

import hashlib
import hmac
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import anyio
import pytest
from rich.console import Console

from examples.fastapi_app.settings import Settings, SettingsError
from strava_async import ApiV3, InputError, RetryPolicy, Strava, TokenSet
from strava_async.cli.config import Options, find_credentials, read_config, token_store
from strava_async.cli.terminal import Terminal, UsageError
from strava_async.cli.webhook import subscribe
from strava_async.fastapi import webhook_router
from strava_async.oauth.credentials import check_client_id, check_secret, check_text
from strava_async.oauth.grants import authorization_url
from strava_async.stores import SqliteTokenStore
from strava_async.subscriptions import Webhooks
from strava_async.testing import FakeClock
from strava_async.webhooks import challenge_of, check_signature

SECRET = "5ecre7" * 6
URL = "http://127.0.0.1:9"


async def on_event(event: object) -> None: ...


def nowhere() -> ApiV3:
    """Return what reaches nobody, should it try: nothing here is to be sent."""
    return ApiV3(api_url=URL, oauth_url=URL, retry=RetryPolicy(max_attempts=1))


def ids(value: object) -> str:
    return ascii(value)[:9] if value != 10**5000 else "huge"


def awaited(method: Callable[..., Any], *args: Any) -> None:
    anyio.run(method, *args)


# What each place calls the value, and how it gets there.
IDS: dict[str, Callable[[Any], object]] = {
    "Strava": lambda value: Strava(value, SECRET),
    "ApiV3": lambda value: ApiV3("t", client_id=value),
    "authorization_url": lambda value: authorization_url("https://x/oauth", client_id=value, redirect_uri="http://x/"),
    "exchange": lambda value: awaited(nowhere().exchange_code_for_token, value, SECRET, "code"),
    "refresh": lambda value: awaited(nowhere().refresh_access_token, value, SECRET, "token"),
    "revoke": lambda value: awaited(nowhere().revoke, value, SECRET, "token"),
    "subscriptions": lambda value: Webhooks(nowhere(), value, SECRET),
    "command": lambda value: find_credentials(Options(value, SECRET, config=Path("none")), None),
}
SECRETS: dict[str, tuple[str, Callable[[Any], object]]] = {
    "Strava": ("client secret", lambda value: Strava(1, value)),
    "ApiV3": ("client secret", lambda value: ApiV3("t", client_secret=value)),
    "access token": ("access token", lambda value: ApiV3(value)),
    "refresh token": ("refresh token", lambda value: ApiV3(refresh_token=value)),
    "token set": ("refresh token", lambda value: TokenSet("", value)),
    "exchange, secret": ("client secret", lambda value: awaited(nowhere().exchange_code_for_token, 1, value, "code")),
    "exchange, code": ("code", lambda value: awaited(nowhere().exchange_code_for_token, 1, SECRET, value)),
    "connect": ("code", lambda value: awaited(Strava(1, SECRET, api_url=URL, oauth_url=URL).connect, value)),
    "refresh, secret": ("client secret", lambda value: awaited(nowhere().refresh_access_token, 1, value, "token")),
    "refresh, token": ("refresh token", lambda value: awaited(nowhere().refresh_access_token, 1, SECRET, value)),
    "revoke, secret": ("client secret", lambda value: awaited(nowhere().revoke, 1, value, "token")),
    "revoke, token": ("token to revoke", lambda value: awaited(nowhere().revoke, 1, SECRET, value)),
    "subscriptions": ("client secret", lambda value: Webhooks(nowhere(), 1, value)),
    "command": ("client secret", lambda value: find_credentials(Options("1", value, config=Path("none")), None)),
}
TEXTS: dict[str, tuple[str, Callable[[Any], object]]] = {
    "subscribe": ("verify_token", lambda value: awaited(Webhooks(nowhere(), 1, "s").subscribe, "https://x/", value)),
    "handshake": ("verify_token", lambda value: challenge_of({}, value)),
    "router": (
        "verify_token",
        lambda value: webhook_router(Strava(1, SECRET), verify_token=value, on_event=on_event),
    ),
    "router, signature": (
        "signing_secret",
        lambda value: webhook_router(Strava(1, "s"), verify_token="v", signing_secret=value, on_event=on_event),
    ),
    "signature": ("signing_secret", lambda value: check_signature("t=1,v1=00", b"", value, now=1)),
}
NO_IDS = ["1\n", " 1", "1\r\n", "", "0", "-1", "1.0", "\uff11", "x", SECRET, "1" * 19, True, 1.0, 0, -1, 10**5000]
SPOILED = [spoiled.format(SECRET) for spoiled in ("{}\n", " {}", "{}\r\n", "{}\t", "\ufeff{}", "{0}\0{0}")]


def refusal(use: Callable[[Any], object], value: object) -> str:
    with pytest.raises((InputError, UsageError)) as caught:
        use(value)
    chain = [caught.value, caught.value.__cause__, caught.value.__context__]
    assert not any(SECRET[:5] in f"{error!r}{vars(error) if error else ''}" for error in chain)
    return str(caught.value)


@pytest.mark.parametrize("use", IDS.values(), ids=IDS)
@pytest.mark.parametrize("value", NO_IDS, ids=ids)
def test_a_client_id_that_is_no_number_is_refused_everywhere(use: Callable[[Any], object], value: object) -> None:
    if value == "" and use is IDS["command"]:
        return  # an empty variable is one that is not set
    assert "client id" in refusal(use, value)


@pytest.mark.parametrize(("name", "use"), SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("value", [*SPOILED, f"{SECRET}é"], ids=ascii)
def test_a_secret_with_what_no_secret_has_is_refused_everywhere(
    name: str, use: Callable[[Any], object], value: str
) -> None:
    assert name in refusal(use, value)


@pytest.mark.parametrize(("name", "use"), TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("value", ["", *SPOILED], ids=ascii)
def test_a_text_that_both_sides_compare_has_no_white_space_around_it(
    name: str, use: Callable[[Any], object], value: str
) -> None:
    assert name in refusal(use, value)


@pytest.mark.parametrize("line_break", ["\n", "\r\n"], ids=ascii)
def test_the_line_break_of_a_file_is_called_by_its_name(line_break: str) -> None:
    with pytest.raises(InputError, match="the client secret has white space around it, such as the line break"):
        check_secret(SECRET + line_break)


def test_what_strava_and_its_users_have_passes() -> None:
    assert [check_client_id(value) for value in (1, "1", 123456, "123456")] == [1, 1, 123456, 123456]
    assert check_secret("a b+/&~").reveal() == "a b+/&~"  # RFC 6749 A.2
    assert check_text("of your choice, schlüssel", "x").reveal() == "of your choice, schlüssel"
    assert Strava("123", SECRET).client_id == "123"


def test_a_signing_secret_of_bytes_may_be_any() -> None:
    body, key = b"{}", b"\x00\n"
    made = hmac.new(key, b"1." + body, hashlib.sha256).hexdigest()
    check_signature(f"t=1,v1={made}", body, key, now=FakeClock(start=1.0).time())


@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_token_key_that_ends_in_a_line_break_is_not_the_key_without(as_bytes: bool, tmp_path: Path) -> None:
    key = f"{SqliteTokenStore.generate_key()}\n"
    with pytest.raises(InputError, match="white space around it") as caught:
        SqliteTokenStore(tmp_path / "t", key=key.encode() if as_bytes else key)
    assert key[:9] not in str(caught.value)
    assert caught.value.__context__ is None
    with pytest.raises(UsageError, match=r"STRAVA_TOKEN_KEY.*white space around it"):
        token_store(Options(store=tmp_path / "t", token_key=key), 1)


@pytest.mark.parametrize("name", ["client_id", "client_secret"])
def test_a_configuration_file_is_no_exception(name: str, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'{name} = "{"1" if name == "client_id" else SECRET}\\n"\n')
    path.chmod(0o600)
    assert f"{name} in {path} has white space around it" in refusal(read_config, path)


def test_a_verify_token_of_the_command_line_is_no_exception() -> None:
    problems = StringIO()
    terminal = Terminal(Console(file=StringIO()), Console(file=problems, width=200), lambda: "")
    assert subscribe(Options("1", SECRET), "https://x/", f"{SECRET}\n", terminal) == 2
    assert "the verify token has white space around it" in problems.getvalue()
    assert SECRET not in problems.getvalue()


@pytest.mark.parametrize(
    "name", ["STRAVA_CLIENT_ID", "STRAVA_CLIENT_SECRET", "STRAVA_VERIFY_TOKEN", "STRAVA_TOKEN_KEY", "DATA_DIR"]
)
def test_the_example_names_the_variable(name: str) -> None:
    environment = {"STRAVA_CLIENT_ID": "1", "STRAVA_CLIENT_SECRET": SECRET}
    with pytest.raises(SettingsError, match=f"{name} has white space around it") as caught:
        Settings.read({**environment, name: f"{SECRET}\n"})
    assert SECRET not in str(caught.value)
