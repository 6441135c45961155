"""Where the client id and secret of a command come from."""

import os
import stat
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from strava_async.cli.config import CONFIG, Options, application_name, find_client_id, find_credentials, token_store
from strava_async.cli.config_file import read_config, write_config
from strava_async.cli.places import default_directory
from strava_async.cli.terminal import UsageError
from strava_async.stores.encryption import generate_key

SECRET = "5ecre7" * 6
EMULATOR = "http://emulator.test:8000"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def write(path: Path, text: str | bytes, mode: int = 0o600) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


def refusal(*arguments: Any) -> str:
    with pytest.raises(UsageError) as caught:
        find_credentials(*arguments)
    chain = [caught.value, caught.value.__cause__, caught.value.__context__]
    assert not any(SECRET in f"{error!r}{vars(error) if error else ''}" for error in chain)
    return str(caught.value)


def test_options_come_before_the_file(config: Path) -> None:
    write(config, f'client_id = 5\nclient_secret = "{SECRET}"\n')
    assert find_credentials(Options(config=config), None) == (5, SECRET)
    assert find_credentials(Options("5", "other", config=config), None) == (5, "other")
    assert find_credentials(Options(None, "other", config=config), None) == (5, "other")


def test_the_secret_of_a_file_is_not_used_with_another_id(config: Path) -> None:
    write(config, f'client_id = 5\nclient_secret = "{SECRET}"\n')
    assert "no client secret" in refusal(Options("6", config=config), None)
    assert find_credentials(Options("5", config=config), None) == (5, SECRET)
    write(config, f'client_secret = "{SECRET}"\n')
    assert find_credentials(Options("6", config=config), None) == (6, SECRET)


def test_a_file_is_not_read_where_nothing_is_missing(config: Path) -> None:
    write(config, "nonsense", 0o666)
    assert find_credentials(Options("5", SECRET, config=config), None) == (5, SECRET)
    assert find_client_id(Options("5", config=config), None) == 5


def test_the_default_file_is_not_for_emulators(config: Path) -> None:
    assert Options().config_path == CONFIG
    assert Options(emulator="http://127.0.0.1:8000").config_path is None
    assert Options(emulator="http://127.0.0.1:8000", config=config).config_path == config


def test_what_is_missing_is_reported_with_the_three_ways(config: Path) -> None:
    message = refusal(Options(config=config), None)
    assert all(way in message for way in ("--client-id", "STRAVA_CLIENT_ID", f"client_id into {config}"))
    message = refusal(Options("5", config=config), None)
    assert all(way in message for way in ("--client-secret", "STRAVA_CLIENT_SECRET", f"client_secret into {config}"))


def test_what_is_missing_is_asked_at_a_terminal_and_the_secret_is_hidden(config: Path) -> None:
    asked: list[tuple[str, bool]] = []

    def ask(question: str, hidden: bool) -> str:
        asked.append((question, hidden))
        return f" {SECRET} " if hidden else " 5 "

    assert find_credentials(Options(config=config), ask) == (5, SECRET)
    assert [hidden for _, hidden in asked] == [False, True]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"client_secret = {SECRET}", "not valid TOML (at line 1, column"),
        (f'client_secret = "{SECRET}'.encode() + b'\xff"', "not valid TOML"),
        (f'client_secret = "{SECRET}"\nclient_ids = 5', "unknown key 'client_ids'"),
        (f'client_id = "{SECRET}"', "client_id in"),
        (f'client_id = true\nclient_secret = "{SECRET}"', "client_id in"),
        (f'client_id = 5.0\nclient_secret = "{SECRET}"', "client_id in"),
        (f'client_id = 5\nclient_secret = ["{SECRET}"]', "client_secret in"),
        (f'client_id = 5\nclient_secret = "{SECRET} x"', "client_secret in"),
        (f'client_id = 0\nclient_secret = "{SECRET}"', "client_id in"),
    ],
)
def test_a_wrong_file_is_reported_in_a_sentence(config: Path, text: str | bytes, said: str) -> None:
    message = refusal(Options(config=write(config, text)), None)
    assert said in message
    assert str(config) in message
    assert "\n" not in message


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(Options(config=tmp_path), None)


def test_a_secret_in_the_place_of_the_id_is_not_shown() -> None:
    assert "the client id is not a number" in refusal(Options(SECRET, SECRET), None)


def test_no_repr_shows_a_secret(config: Path) -> None:
    write(config, f'client_secret = "{SECRET}"')
    assert SECRET not in f"{Options('5', SECRET, token_key=SECRET, environment={'A': SECRET})!r}{read_config(config)!r}"


@pytest.mark.parametrize("secret", [SECRET, 'a"b\\c', "'#[]=", "\\u0041"])
def test_what_is_written_is_read_again(config: Path, secret: str) -> None:
    write_config(config, 5, secret)
    assert tomllib.loads(config.read_text()) == {"client_id": 5, "client_secret": secret}
    assert find_credentials(Options(config=config), None) == (5, secret)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_what_is_written_is_its_users_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.toml"
    before = os.umask(0)
    try:
        write_config(path, 5, SECRET)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    write_config(write(path, "old", 0o644), 6, SECRET)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_writing_replaces_the_file_and_leaves_nothing_else(tmp_path: Path, config: Path) -> None:
    write_config(config, 5, "old")
    with config.open() as reader:
        write_config(config, 6, SECRET)
        assert "old" in reader.read()  # a new file, not the old one overwritten
    assert os.listdir(tmp_path) == ["config.toml"]


def test_a_link_to_the_file_stays_a_link(tmp_path: Path, config: Path) -> None:
    link = tmp_path / "link.toml"
    link.symlink_to(config)
    write_config(link, 5, SECRET)
    assert link.is_symlink()
    assert find_credentials(Options(config=config), None) == (5, SECRET)


def test_what_cannot_be_written_is_reported_and_leaves_nothing(tmp_path: Path, config: Path) -> None:
    config.mkdir()
    with pytest.raises(UsageError, match="cannot be written"):
        write_config(config, 5, SECRET)
    assert os.listdir(tmp_path) == ["config.toml"]
    file = write(tmp_path / "file", "")
    with pytest.raises(UsageError, match="cannot be made"):
        write_config(file / "config.toml", 5, SECRET)


def test_an_emulator_has_applications_of_its_own() -> None:
    assert application_name(Options(), 5) == "5"
    for url in ("http://127.0.0.1:8000", "http://127.0.0.1:8000/", "HTTP://127.0.0.1:8000"):
        assert application_name(Options(emulator=url), 5) == "5@http://127.0.0.1:8000"


def test_requests_go_to_strava_or_to_the_emulator() -> None:
    assert Options().oauth_url == "https://www.strava.com/oauth"
    assert Options(emulator="http://127.0.0.1:8000/").api_url == "http://127.0.0.1:8000/api/v3"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8000",
        "ftp://a",
        "http://",
        "http://[",
        "http://a:x",
        "http://a/api/v3",
        "http://u@a",
        "http://a?b",
    ],
)
def test_what_is_no_emulator_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="--emulator"):
        application_name(Options(emulator=url), 5)


def named(api_url: str | None = None, oauth_url: str | None = None, **more: Any) -> Options:
    variables = {"STRAVA_API_URL": api_url, "STRAVA_OAUTH_URL": oauth_url}
    return Options(environment={name: url for name, url in variables.items() if url is not None}, **more)


@pytest.mark.parametrize("api_url", [f"{EMULATOR}/api/v3", f" {EMULATOR}/api/v3/ ", "HTTP://Emulator.test:8000/api/v3"])
def test_an_emulator_that_the_environment_names_is_as_good_as_the_option(api_url: str) -> None:
    options, same = named(api_url, f"{EMULATOR}/oauth"), Options(emulator=EMULATOR)
    assert (options.api_url, options.oauth_url) == (same.api_url, same.oauth_url)
    assert application_name(options, 5) == application_name(same, 5) == f"5@{EMULATOR}"
    assert options.config_path is None  # its secret is for Strava


@pytest.mark.parametrize(
    ("api_url", "oauth_url"),
    [
        (None, None),
        ("", ""),
        ("https://www.strava.com/api/v3", "https://www.strava.com/oauth"),
        ("https://WWW.strava.com/api/v3/", None),
    ],
)
def test_an_environment_that_names_strava_means_strava(api_url: str | None, oauth_url: str | None) -> None:
    options = named(api_url, oauth_url)
    assert (options.api_url, options.oauth_url) == (Options().api_url, Options().oauth_url)
    assert application_name(options, 5) == "5"
    assert options.config_path == CONFIG


@pytest.mark.parametrize(
    ("api_url", "oauth_url"),
    [
        (f"{EMULATOR}/api/v3", None),
        (None, f"{EMULATOR}/oauth"),
        (f"{EMULATOR}/api/v3", "http://127.0.0.1:8001/oauth"),
        (f"{EMULATOR}/api/v3", f"{EMULATOR}/api/v3"),
        (EMULATOR, EMULATOR),
        (f"{EMULATOR}/below/api/v3", f"{EMULATOR}/below/oauth"),
        ("http://u:5ecret@emulator.test/api/v3", "http://u:5ecret@emulator.test/oauth"),
        ("http://[/api/v3", "http://[/oauth"),
        (f"{EMULATOR}/api/v3", "nonsense"),
    ],
)
def test_an_environment_that_names_two_stravas_is_refused(api_url: str | None, oauth_url: str | None) -> None:
    for read in (lambda options: options.api_url, lambda options: application_name(options, 5)):
        with pytest.raises(UsageError, match=r"set both, .* or give --emulator") as caught:
            read(named(api_url, oauth_url))
        assert "5ecret" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://api-v3.strava.com", " https://www.API-v3.strava.com/ "])
def test_stravas_new_host_is_strava_and_the_oauth_pages_stay(url: str) -> None:
    options = named(url)
    assert options.api_url == url.strip().rstrip("/").lower()
    assert options.oauth_url == Options().oauth_url
    assert application_name(options, 5) == "5"  # the same tokens, and the same configuration
    assert options.config_path == CONFIG
    for mixed in (
        named(url, f"{EMULATOR}/oauth"),
        named(url.replace("https", "http")),
        named("https://api-v4.strava.com"),
    ):
        with pytest.raises(UsageError, match="are not those of one Strava"):
            application_name(mixed, 5)
    assert named(url, emulator=EMULATOR).api_url == f"{EMULATOR}/api/v3"


def test_the_option_comes_before_the_environment() -> None:
    options = named("http://127.0.0.1:8001/api/v3", "nonsense", emulator=EMULATOR)
    assert application_name(options, 5) == f"5@{EMULATOR}"


def test_a_command_that_is_proposed_names_the_emulator_that_was_given() -> None:
    assert Options().command("accounts") == "strava-async accounts"
    assert (
        Options(emulator="http://[::1]:80").command("accounts") == "strava-async accounts --emulator 'http://[::1]:80'"
    )
    # The environment is there for the next command too.
    assert named(f"{EMULATOR}/api/v3", f"{EMULATOR}/oauth").command("accounts") == "strava-async accounts"


def test_a_wrong_key_is_reported_by_the_name_of_its_variable() -> None:
    with pytest.raises(UsageError, match=r"^STRAVA_TOKEN_KEY: ") as caught:
        token_store(Options(token_key=SECRET), 5)
    assert SECRET not in str(caught.value)


def test_a_process_without_a_home_is_told_to_name_its_files(config: Path) -> None:
    homeless = Options("5", SECRET, default_config=None, default_store=None)
    with pytest.raises(UsageError, match=r"no home directory.*set HOME, or give --store"):
        token_store(homeless, 5)
    assert find_credentials(homeless, None) == (5, SECRET)
    assert "into a file named by --config" in refusal(Options(default_config=None), None)
    named = Options("5", SECRET, config, config.with_name("tokens.sqlite"), default_config=None, default_store=None)
    assert named.store_path == config.with_name("tokens.sqlite")
    token_store(named, 5)


def test_a_home_that_is_nobodys_is_reported_with_the_option() -> None:
    nobodys = Path("~nobody-of-this-name/file")
    with pytest.raises(UsageError, match="--store ~nobody-of-this-name/file: there is no such home directory"):
        token_store(Options(store=nobodys), 5)
    with pytest.raises(UsageError, match="--config ~nobody-of-this-name/file"):
        find_client_id(Options(config=nobodys), None)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="other systems have other places")
@pytest.mark.parametrize(
    ("variable", "app_dir", "directory"),
    [
        ("/etc/mine", "/home/me/.config/strava-async", Path("/etc/mine/strava-async")),
        ("", "/home/me/.config/strava-async", Path("/home/me/.config/strava-async")),
        ("mine", "/home/me/.config/strava-async", Path("/home/me/.config/strava-async")),
        ("", "~/.config/strava-async", None),
    ],
)
def test_the_default_place_is_absolute_or_none(variable: str, app_dir: str, directory: Path | None) -> None:
    assert default_directory({"XDG_CONFIG_HOME": variable}, app_dir) == directory
    assert variable or default_directory({}, app_dir) == directory


def test_a_key_is_blamed_for_what_is_wrong_with_it_alone() -> None:
    key = generate_key()
    with pytest.raises(UsageError, match=r"^STRAVA_TOKEN_KEY: a key is 32 bytes"):
        token_store(Options(store=Path("file"), token_key="short"), 5)
    with pytest.raises(UsageError, match=r"^the path") as caught:
        token_store(Options(store=Path("a\0b"), token_key=key), 5)
    assert key not in str(caught.value)
    with pytest.raises(UsageError, match="no home directory"):
        token_store(Options(default_store=None, token_key=key), 5)
