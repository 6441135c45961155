"""``login``, ``accounts`` and ``logout``: in this process, and as programs against a served emulator."""

import html
import io
import json
import os
import re
import shlex
import signal
import socket
import stat
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx
import pytest
import pytest_asyncio
from rich.console import Console

from strava_async.application import Strava
from strava_async.cli import main as run_command
from strava_async.cli.accounts import Logout, accounts, logout
from strava_async.cli.config import Options
from strava_async.cli.login import Settings, main
from strava_async.cli.terminal import Terminal
from strava_async.clock import SystemClock
from strava_async.errors import InputError
from strava_async.oauth.token_set import TokenSet
from strava_async.stores.encryption import generate_key
from strava_async.stores.sqlite import SqliteTokenStore
from strava_async.testing import Emulator, Fault, serve
from tests.cli.programs import TOKEN, Shell
from tests.plain_http import NO_TRUST

ROOT = Path(__file__).parent.parent.parent
URL = "http://emulator.test"
VARIABLES = {"STRAVA_API_URL": f"{URL}/api/v3", "STRAVA_OAUTH_URL": f"{URL}/oauth"}
Reader = Callable[[], str]


class Desk:
    """Somebody at a terminal, with a browser, and a Strava.

    Attributes:
        shown: what the last command wrote, first to stdout, then to stderr.
        pages: what the browser showed after the redirects.
    """

    def __init__(self, directory: Path) -> None:
        self.emulator = Emulator(years=0.1, athletes=2)
        self.directory = directory
        self.config = directory / "config.toml"
        self.shown = ("", "")
        self.pages: list[httpx.Response] = []
        self.answers: dict[bool, str] | None = None
        self._out = io.StringIO()

    def options(self, **changes: Any) -> Options:
        given: dict[str, Any] = {
            "client_id": str(self.emulator.client_id),
            "client_secret": self.emulator.client_secret,
            "store": self.directory / "data" / "tokens.sqlite",
            "emulator": URL,
        }
        return Options(**{**given, **changes})

    def make(self, *arguments: Any, **options: Any) -> Strava:
        http_client = httpx.AsyncClient(transport=httpx.ASGITransport(app=self.emulator.app))
        return Strava(*arguments, **options, http_client=http_client, random=lambda: 0.0)

    def terminal(self, read_line: Reader = lambda: "") -> tuple[Terminal, io.StringIO, io.StringIO]:
        self._out, err = io.StringIO(), io.StringIO()
        out_console, err_console = (Console(file=file, width=10_000) for file in (self._out, err))
        ask = None if self.answers is None else (lambda _, hidden: (self.answers or {})[hidden])
        return Terminal(out_console, err_console, read_line, ask), self._out, err

    def run(self, command: Callable[[Terminal], int], read_line: Reader = lambda: "") -> int:
        terminal, out, err = self.terminal(read_line)
        status = command(terminal)
        self.shown = out.getvalue(), err.getvalue()
        assert not TOKEN.search("".join(self.shown))
        return status

    def login(
        self, options: Options | None = None, *, open_url: Any = None, read: Reader = lambda: "", **more: Any
    ) -> int:
        more = {"scope": "read,activity:read", "timeout": 60.0, **more}
        settings = Settings(options or self.options(), **more)
        return self.run(lambda terminal: main(settings, terminal, make=self.make, open_url=open_url or self.open), read)

    def accounts(self, options: Options | None = None, **more: Any) -> int:
        return self.run(lambda terminal: accounts(options or self.options(client_secret=None), terminal, **more))

    def logout(self, options: Options | None = None, **more: Any) -> int:
        settings = Logout(options or self.options(), **more)
        return self.run(lambda terminal: logout(settings, terminal, make=self.make))

    async def open(self, url: str, **decision: Any) -> None:
        """Decide on the page, and go where it leads."""
        redirect = await self.emulator.approve(url, **decision)
        async with httpx.AsyncClient(verify=NO_TRUST, trust_env=False) as browser:
            self.pages.append(await browser.get(redirect))

    def decide(self, **decision: Any) -> str:
        """Decide on the page whose address was written, and return where it leads, as a line."""
        url = address(self._out.getvalue())
        return anyio.run(lambda: self.emulator.approve(url, **decision)) + "\n"

    def kept(self, application: str | None = None, **options: Any) -> dict[int, TokenSet | None]:
        name = f"{self.emulator.client_id}@{URL}" if application is None else application

        async def load() -> dict[int, TokenSet | None]:
            store = SqliteTokenStore(self.options().store, application=name, **options)
            return {athlete_id: await store.load(athlete_id) for athlete_id in await store.athlete_ids()}

        return anyio.run(load) if self.options().store.exists() else {}

    def connect(self, *athlete_ids: int) -> None:
        for athlete_id in athlete_ids:
            assert self.login(open_url=lambda url, who=athlete_id: self.open(url, athlete_id=who)) == 0


def offline(*arguments: Any, **options: Any) -> Strava:
    """Make a Strava that finds out by itself, without a proxy, and that may not wait to try again."""
    return Strava(
        *arguments, **options, http_client=httpx.AsyncClient(verify=NO_TRUST, trust_env=False), clock=Unmoved()
    )


class Unmoved(SystemClock):
    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"{seconds} s were to be waited")


async def never(url: str) -> None:
    raise AssertionError(url)


def address(shown: str) -> str:
    found = re.search(r"^  (http\S+)$", shown, re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_login_shows_who_is_connected_and_until_when(desk: Desk) -> None:
    assert desk.login() == 0
    athlete_id = desk.emulator.athlete_ids[0]
    (token,) = desk.kept().values()
    assert token is not None
    assert token.expires_at is not None
    out, err = desk.shown
    assert urlsplit(address(out)).path == "/oauth/authorize"
    who = desk.emulator.grant()["athlete"]
    assert re.search(
        rf"^Connected\n  athlete +{who['firstname']} {who['lastname']} \({athlete_id}\)$", out, re.MULTILINE
    )
    assert re.search(r"^  granted +activity:read, read$", out, re.MULTILINE)
    until = time.strftime("%Y-%m-%d %H:%M", time.localtime(token.expires_at))
    assert re.search(rf"^  access token +valid until {until}; renewed automatically$", out, re.MULTILINE)
    assert re.search(rf"^  kept in +{desk.options().store}$", out, re.MULTILINE)
    assert err == ""
    assert [page.status_code for page in desk.pages] == [200]
    assert desk.emulator.count("GET", "/athlete") == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_the_directory_of_the_tokens_is_its_users_alone(desk: Desk) -> None:
    desk.login()
    assert stat.S_IMODE(desk.options().store.parent.stat().st_mode) == 0o700


def test_a_refusal_ends_the_login(desk: Desk) -> None:
    assert desk.login(open_url=lambda url: desk.open(url, deny=True)) == 1
    assert desk.shown[1] == "strava-async login: the athlete did not authorize the application: access_denied\n"
    assert desk.kept() == {}


def test_an_unticked_scope_is_reported_and_the_rest_is_kept(desk: Desk) -> None:
    assert desk.login(open_url=lambda url: desk.open(url, scope=["read"])) == 1
    out, err = desk.shown
    assert re.search(r"^Connected without activity:read$", out, re.MULTILINE)
    assert re.search(r"^  granted +read$", out, re.MULTILINE)
    assert "log in again" in out
    assert err == ""
    assert list(desk.kept()) == [desk.emulator.athlete_ids[0]]


def test_all_or_nothing_keeps_nothing(desk: Desk) -> None:
    assert desk.login(open_url=lambda url: desk.open(url, scope=["read"]), all_or_nothing=True) == 1
    assert "nothing is kept, because activity:read was not granted" in desk.shown[1]
    assert "Connected" not in desk.shown[0]
    assert desk.kept() == {}
    assert desk.emulator.count("POST", "/oauth/revoke") == 1


def test_without_a_browser_the_login_goes_on(desk: Desk) -> None:
    async def fail(url: str) -> None:
        # The redirect comes from elsewhere, later.
        threading.Thread(target=lambda: anyio.run(desk.open, url), daemon=True).start()
        raise InputError("no browser")

    assert desk.login(open_url=fail) == 0
    assert "No browser can be opened here" in desk.shown[1]


@pytest.mark.parametrize("browser", [True, False])
def test_a_closed_port_is_reported_by_its_address_before_anybody_is_sent_there(desk: Desk, browser: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    settings = Settings(desk.options(emulator=url), "read", browser=browser)
    status = desk.run(lambda terminal: main(settings, terminal, make=offline, open_url=never))
    assert (status, desk.shown[0]) == (1, "")
    assert desk.shown[1].startswith(f"strava-async login: {url} cannot be reached: ")
    assert not desk.options().store.parent.exists()


def test_a_logout_names_the_address_that_cannot_be_reached(desk: Desk) -> None:
    desk.connect(desk.emulator.athlete_ids[0])
    desk.emulator.faults.add(Fault.refused(), path="/oauth/revoke", times=1)
    assert desk.logout() == 1
    assert f"the tokens are kept: {URL} cannot be reached: " in desk.shown[1]
    assert desk.logout() == 0


def test_an_answer_that_does_not_come_back_is_reported_with_the_address(desk: Desk) -> None:
    desk.emulator.faults.add(Fault.lost(), path="/oauth/token", times=1)
    assert desk.login() == 1
    assert desk.shown[1].startswith(f"strava-async login: {URL}: no reply to POST /oauth/token")


def test_a_strava_that_answers_anything_is_there(desk: Desk) -> None:
    desk.emulator.faults.add(Fault.status(503), path="/push_subscriptions", times=1)
    assert desk.login() == 0


def test_an_athlete_who_does_not_come_back_is_reported(desk: Desk) -> None:
    async def look_away(url: str) -> None: ...

    assert desk.login(open_url=look_away, timeout=0.01) == 1
    assert re.fullmatch(r"strava-async login: no redirect came .*\n", desk.shown[1])


def test_a_busy_port_is_reported(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert desk.login(port=port) == 1
    assert re.fullmatch(rf"strava-async login: port {port} is taken .*\n", desk.shown[1])


def test_a_wrong_secret_is_reported_and_not_remembered(desk: Desk) -> None:
    options = desk.options(client_secret="0" * 40, config=desk.config)
    assert desk.login(options, remember=True) == 1
    assert desk.shown[1] == "strava-async login: Strava does not accept the client id or the client secret\n"
    assert not desk.config.exists()
    assert desk.kept() == {}


def test_missing_credentials_are_reported_before_anything_is_done(desk: Desk) -> None:
    assert desk.login(desk.options(client_secret=None)) == 2
    assert re.fullmatch(r"strava-async login: no client secret: .*STRAVA_CLIENT_SECRET.*\n", desk.shown[1])
    assert desk.shown[0] == ""
    assert not desk.options().store.parent.exists()


def test_an_unknown_scope_is_wrong_use(desk: Desk) -> None:
    assert desk.login(scope="everything") == 2
    assert "--scope: unknown scope 'everything'" in desk.shown[1]


def test_what_was_typed_is_remembered_after_the_login(desk: Desk) -> None:
    options = desk.options(client_id=None, client_secret=None, config=desk.config)
    desk.answers = {False: str(desk.emulator.client_id), True: desk.emulator.client_secret}
    assert desk.login(options, remember=True) == 0
    assert str(desk.config) in desk.shown[0]
    desk.answers = None
    assert desk.login(options) == 0
    assert stat.S_IMODE(desk.config.stat().st_mode) == 0o600 or os.name == "nt"


def test_an_emulators_credentials_do_not_get_into_the_default_file(desk: Desk) -> None:
    assert desk.login(remember=True) == 2
    assert "--config" in desk.shown[1]
    assert desk.login(desk.options(emulator=None, environment=VARIABLES), remember=True) == 2
    assert "--config" in desk.shown[1]


def test_a_file_of_another_program_is_not_overwritten(desk: Desk) -> None:
    desk.config.write_text("[tool]\n")
    desk.config.chmod(0o600)
    assert desk.login(desk.options(config=desk.config), remember=True) == 2
    assert desk.config.read_text() == "[tool]\n"
    assert desk.pages == []


def test_ctrl_c_is_no_error(desk: Desk) -> None:
    def interrupt() -> str:
        raise KeyboardInterrupt

    assert desk.login(browser=False, read=interrupt) == 130
    assert desk.shown[1] == ""
    desk.answers = {}
    assert desk.login(browser=False, read=interrupt) == 130
    assert desk.shown[1] == "\n"  # after the ^C that a terminal shows


def test_a_pasted_redirect_connects(desk: Desk) -> None:
    assert desk.login(browser=False, read=lambda: f"  {desk.decide()}") == 0
    assert list(desk.kept()) == [desk.emulator.athlete_ids[0]]
    assert parse_qs(urlsplit(address(desk.shown[0])).query)["redirect_uri"] == ["http://127.0.0.1/callback"]
    assert desk.pages == []


def test_a_pasted_refusal_ends_the_login(desk: Desk) -> None:
    assert desk.login(browser=False, read=lambda: desk.decide(deny=True)) == 1
    assert "did not authorize" in desk.shown[1]


def test_a_pasted_redirect_tells_what_was_left_out(desk: Desk) -> None:
    assert desk.login(browser=False, read=lambda: desk.decide(scope=["read"])) == 1
    assert "Connected without activity:read" in desk.shown[0]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("\n", "That is not the address"),
        ("http://[\n", "That is not the address"),
        ("0123456789abcdef0123456789abcdef01234567\n", "That is not the address"),
        (f"http://127.0.0.1/callback?code={'a' * 40}&scope=read\n", "That is not the address"),
        (f"http://127.0.0.1/callback?state=guessed&code={'a' * 40}\n", "belongs to another login"),
        (f"http://127.0.0.1/callback?state=\udcff&code={'a' * 40}\n", "belongs to another login"),
        ("http://127.0.0.1/callback?state=guessed&error=access_denied\n", "belongs to another login"),
    ],
)
def test_a_wrong_paste_is_reported_and_asked_again(desk: Desk, wrong: str, said: str) -> None:
    lines = iter([wrong, wrong])
    assert desk.login(browser=False, read=lambda: next(lines, None) or desk.decide()) == 0
    assert desk.shown[1].count(said) == 2
    assert desk.emulator.count("POST", "/oauth/token") == 1


def test_the_third_wrong_paste_ends_the_login(desk: Desk) -> None:
    lines = iter(["a\n", "b\n", "c\n"])
    assert desk.login(browser=False, read=lambda: next(lines)) == 1
    assert desk.shown[1].endswith("strava-async login: none of 3 addresses was valid: begin again\n")


def test_the_end_of_the_input_ends_the_login(desk: Desk) -> None:
    assert desk.login(browser=False, read=lambda: "") == 1
    assert desk.shown[1] == "strava-async login: the input ended before an address was pasted\n"


def test_a_name_that_cannot_be_had_does_not_end_the_login(desk: Desk) -> None:
    desk.emulator.faults.add(Fault.status(503), path="/athlete", times=None)
    assert desk.login() == 0
    assert re.search(rf"^  athlete +\({desk.emulator.athlete_ids[0]}\)$", desk.shown[0], re.MULTILINE)


def test_two_applications_share_a_file_and_no_athlete(desk: Desk) -> None:
    desk.connect(desk.emulator.athlete_ids[0])
    other = desk.emulator.register_application()
    options = desk.options(client_id=str(other.client_id), client_secret=other.client_secret)
    assert desk.login(options, open_url=lambda url: desk.open(url, athlete_id=desk.emulator.athlete_ids[1])) == 0
    assert list(desk.kept()) == [desk.emulator.athlete_ids[0]]
    assert desk.logout(options, everybody=True) == 0
    assert desk.kept(f"{other.client_id}@{URL}") == {}
    assert list(desk.kept()) == [desk.emulator.athlete_ids[0]]


def opened_as_shown(desk: Desk, **names: Any) -> dict[int, TokenSet | None]:
    """Do in Python what the login says, and return who is found."""
    shown = re.search(r"^  in Python +(SqliteTokenStore\(.*\))$", desk.shown[0], re.MULTILINE)
    assert shown is not None
    store = eval(shown[1], {"SqliteTokenStore": SqliteTokenStore, **names})

    async def load() -> dict[int, TokenSet | None]:
        return {athlete_id: await store.load(athlete_id) for athlete_id in await store.athlete_ids()}

    return anyio.run(load)


def test_what_a_login_kept_is_found_by_a_program_as_it_says(desk: Desk) -> None:
    first, second = desk.emulator.athlete_ids
    assert desk.login() == 0
    assert f'SqliteTokenStore("{desk.options().store}")\n' in desk.shown[0]
    assert opened_as_shown(desk) == desk.kept()
    other = desk.emulator.register_application()
    options = desk.options(client_id=str(other.client_id), client_secret=other.client_secret)
    assert desk.login(options, open_url=lambda url: desk.open(url, athlete_id=second)) == 0
    assert list(opened_as_shown(desk)) == [second]
    desk.options().store.unlink()
    key = generate_key()
    assert desk.login(desk.options(token_key=key)) == 0
    assert key not in desk.shown[0]
    environment = SimpleNamespace(environ={"STRAVA_TOKEN_KEY": key})
    assert list(opened_as_shown(desk, os=environment)) == [first]


def test_the_file_of_a_program_is_looked_after_with_the_commands(desk: Desk, tmp_path: Path) -> None:
    first, second = desk.emulator.athlete_ids
    program = SqliteTokenStore(tmp_path / "tokens.sqlite")
    anyio.run(program.save, first, TokenSet("a", "r", 1_000))
    options = Options("5", "secret", store=tmp_path / "tokens.sqlite")
    assert desk.accounts(options) == 0
    assert desk.shown[0].splitlines()[1].split()[0] == str(first)
    assert desk.accounts(Options("5", "secret", store=options.store, environment=VARIABLES)) == 0
    assert str(first) in desk.shown[0]
    # An emulator that the program knows nothing of is not given what it may have from Strava.
    assert desk.accounts(desk.options(store=options.store)) == 0
    assert "Nobody is connected" in desk.shown[0]
    assert desk.login(desk.options(store=options.store), open_url=lambda url: desk.open(url, athlete_id=second)) == 0
    assert list(opened_as_shown(desk)) == [second]
    assert anyio.run(program.athlete_ids) == [first]


def test_an_emulator_needs_neither_id_nor_secret(desk: Desk) -> None:
    options = desk.options(client_id=None, client_secret=None)
    assert desk.login(options) == 0
    assert list(desk.kept()) == [desk.emulator.athlete_ids[0]]
    assert desk.accounts(options) == 0
    assert str(desk.emulator.athlete_ids[0]) in desk.shown[0]
    assert desk.logout(options) == 0
    assert desk.kept() == {}


def test_strava_itself_needs_both(desk: Desk) -> None:
    assert desk.login(desk.options(client_id=None, client_secret=None, emulator=None)) == 2
    assert "no client id: give --client-id, set STRAVA_CLIENT_ID, or put client_id into" in desk.shown[1]


def test_a_key_encrypts_the_tokens(desk: Desk) -> None:
    options = desk.options(token_key=generate_key())
    desk.connect(desk.emulator.athlete_ids[0])
    assert TOKEN.search(desk.options().store.read_text("latin-1"))
    desk.options().store.unlink()
    assert desk.login(options) == 0
    stored = "".join(path.read_text("latin-1") for path in desk.options().store.parent.iterdir() if path.is_file())
    assert not TOKEN.search(stored)
    assert desk.accounts(options) == 0
    assert str(desk.emulator.athlete_ids[0]) in desk.shown[0]
    assert desk.accounts() == 1
    assert re.fullmatch(r"strava-async accounts: the tokens in .* are encrypted: pass the key\n", desk.shown[1])


def test_accounts_lists_who_is_connected(desk: Desk) -> None:
    first, second = desk.emulator.athlete_ids
    desk.connect(first, second)
    answered = len(desk.emulator.requests)
    assert desk.accounts() == 0
    assert len(desk.emulator.requests) == answered
    head, *rows = desk.shown[0].splitlines()
    assert head.split() == ["Athlete", "Access", "token", "Granted"]
    assert [row.split()[0] for row in rows] == sorted([str(first), str(second)])
    assert all("; renewed automatically" in row and row.rstrip().endswith("activity:read, read") for row in rows)
    assert desk.accounts(now=lambda: time.time() + 7 * 3_600) == 0
    assert desk.shown[0].count("expired; renewed automatically") == 2


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (TokenSet("a", None, 20_000_000), r"valid until 1970-08-2. ..:.3; log in again then"),
        (TokenSet("a", None, 1_000), "expired; log in again"),
        (TokenSet("a", "r", None), "valid until an unknown time; renewed automatically"),
        (TokenSet("a", "r", 10**17), "valid until the end of the calendar; renewed automatically"),
    ],
)
def test_accounts_shows_how_long_a_token_is_valid(desk: Desk, token: TokenSet, said: str) -> None:
    async def save() -> None:
        await SqliteTokenStore(desk.options().store, application=f"{desk.emulator.client_id}@{URL}").save(7, token)

    desk.options().store.parent.mkdir()
    anyio.run(save)
    assert desk.accounts(now=lambda: 1_000.0) == 0
    assert re.search(rf"^7 +{said} +unknown *$", desk.shown[0], re.MULTILINE)


def test_accounts_in_json_are_lines_without_tokens(desk: Desk) -> None:
    desk.connect(*desk.emulator.athlete_ids)
    assert desk.accounts(as_json=True) == 0
    lines = [json.loads(line) for line in desk.shown[0].splitlines()]
    assert [line["athlete_id"] for line in lines] == sorted(desk.emulator.athlete_ids)
    assert all(line.keys() == {"athlete_id", "scope", "expires_at", "renewable"} for line in lines)
    assert lines[0]["scope"] == ["activity:read", "read"]


def test_accounts_of_nobody_is_a_sentence_and_makes_no_file(desk: Desk) -> None:
    assert desk.accounts() == 0
    said = re.findall(r": strava-async login --store (\S+) --emulator (\S+)\n$", desk.shown[0])
    assert said == [(str(desk.options().store), URL)]
    assert desk.accounts(as_json=True) == 0
    assert desk.shown == ("", "")
    assert list(desk.directory.iterdir()) == []


def test_logout_revokes_and_deletes_the_only_account(desk: Desk) -> None:
    desk.connect(desk.emulator.athlete_ids[0])
    assert desk.logout() == 0
    assert str(desk.emulator.athlete_ids[0]) in desk.shown[0]
    assert desk.kept() == {}
    assert desk.emulator.count("POST", "/oauth/revoke") == 1


def test_logout_of_one_of_several_has_to_say_which(desk: Desk) -> None:
    first, second = desk.emulator.athlete_ids
    desk.connect(first, second)
    assert desk.logout() == 2
    assert str(first) in desk.shown[1]
    assert str(second) in desk.shown[1]
    assert desk.logout(athlete_id=first) == 0
    assert list(desk.kept()) == [second]


def test_logout_of_all(desk: Desk) -> None:
    desk.connect(*desk.emulator.athlete_ids)
    assert desk.logout(athlete_id=7, everybody=True) == 2
    assert desk.logout(everybody=True) == 0
    assert desk.kept() == {}
    assert desk.logout() == 0
    assert "Nobody is connected" in desk.shown[0]


def test_logout_of_a_stranger_fails(desk: Desk) -> None:
    desk.connect(desk.emulator.athlete_ids[0])
    assert desk.logout(athlete_id=7) == 1
    listed = f"strava-async accounts --store {desk.options().store} --emulator {URL}"
    assert f"athlete 7 is not connected: {listed} lists who is" in desk.shown[1]
    assert len(desk.kept()) == 1


def test_logout_while_strava_is_down_keeps_the_tokens_unless_forced(desk: Desk) -> None:
    first, second = desk.emulator.athlete_ids
    desk.connect(first, second)
    desk.emulator.faults.add(Fault.status(503), path="/oauth/revoke", times=None)
    assert desk.logout(everybody=True) == 1
    assert len(re.findall(r"is still connected, the tokens are kept: 503", desk.shown[1])) == 2
    assert len(desk.kept()) == 2
    assert desk.logout(athlete_id=first, force=True) == 0
    assert "not revoked at Strava: 503" in desk.shown[0]
    assert list(desk.kept()) == [second]


def test_logout_with_a_wrong_secret_keeps_the_tokens(desk: Desk) -> None:
    desk.connect(desk.emulator.athlete_ids[0])
    assert desk.logout(desk.options(client_secret="0" * 40)) == 1
    assert "the tokens are kept" in desk.shown[1]
    assert len(desk.kept()) == 1


def console(encoding: str = "utf-8", **options: Any) -> tuple[Console, io.BytesIO]:
    written = io.BytesIO()
    return Console(file=io.TextIOWrapper(written, encoding=encoding, write_through=True), **options), written


def test_nothing_that_a_terminal_obeys_is_written() -> None:
    out, written = console("ascii")
    Terminal(out, out, lambda: "").say("Ann\x1b[31m\u202e \u00dcnal")
    assert written.getvalue() == b"Ann?[31m? ?nal\n"


def test_a_line_of_wide_characters_is_broken_by_its_columns() -> None:
    out, written = console(width=20)
    Terminal(out, out, lambda: "").say("  9 ×  競技データが 500; again")
    assert written.getvalue().decode().splitlines() == ["  9 ×  競技データが", "       500; again"]


def test_lines_break_between_words_and_addresses_do_not() -> None:
    out, written = console(width=20)
    Terminal(out, out, lambda: "").say(
        f"Open it in a browser, please:\n\n  http://127.0.0.1/{'a' * 40}-b\n\n  granted  a:read, b:read"
    )
    assert written.getvalue().decode().splitlines() == [
        "Open it in a",
        "browser, please:",
        "",
        f"  http://127.0.0.1/{'a' * 40}-b",
        "",
        "  granted  a:read,",
        "           b:read",
    ]


@pytest_asyncio.fixture
async def shell(tmp_path: Path) -> AsyncIterator[Shell]:
    emulator = Emulator(years=0.1)
    async with serve(emulator) as url:
        made = Shell(tmp_path, emulator, url)
        yield made
        await made.close()


@pytest.mark.asyncio
async def test_the_whole_walk_with_pasted_redirects(shell: Shell, tmp_path: Path) -> None:
    program = await shell.start("login", "--no-browser")
    page = address(await program.read_until("Paste"))
    await program.type(b"\xff\xfe\n")  # no text
    await program.type(f"{await shell.emulator.approve(page)}\n")
    status, err = await program.end()
    assert status == 0
    assert re.fullmatch(r"That is not the address: .*\n", err)
    assert "\x1b" not in program.out
    kept = tmp_path / "config" / "strava-async" / "tokens.sqlite"
    assert f"  kept in       {kept}\n" in program.out

    status, out, err = await shell.run("accounts", STRAVA_CLIENT_SECRET="")
    assert (status, err) == (0, "")
    assert str(shell.emulator.athlete_ids[0]) in out
    status, out, err = await shell.run("accounts", "--json")
    assert json.loads(out)["athlete_id"] == shell.emulator.athlete_ids[0]

    status, _, err = await shell.run("logout")
    assert (status, err) == (0, "")
    status, out, _ = await shell.run("accounts")
    assert out.startswith("Nobody is connected")


@pytest.mark.asyncio
async def test_the_redirect_comes_to_the_server_of_the_login(shell: Shell, tmp_path: Path) -> None:
    script, fifo = tmp_path / "browser", tmp_path / "fifo"
    os.mkfifo(fifo)
    script.write_text(f'#!/bin/sh\necho "$@" > {shlex.quote(str(fifo))}\n')
    script.chmod(0o700)
    program = await shell.start("login", "--scope", "read,activity:read_all", BROWSER=f"{shlex.quote(str(script))} %s")
    page = address(await program.read_until("Waiting"))
    (opened,) = (await anyio.Path(fifo).read_text()).split()  # what every user of the machine can read
    file = anyio.Path(opened.removeprefix("file://"))
    assert html.escape(page) in await file.read_text()
    async with httpx.AsyncClient(verify=NO_TRUST, trust_env=False) as browser:
        answer = await browser.get(await shell.emulator.approve(page))
    assert answer.status_code == 200
    assert await program.end() == (0, "")
    assert "  granted       activity:read_all, read\n" in program.out
    assert not await file.exists()


@pytest.mark.asyncio
@pytest.mark.parametrize(("options", "shown"), [([], "Waiting"), (["--no-browser"], "Paste")])
async def test_ctrl_c_ends_a_login_without_a_word(shell: Shell, options: list[str], shown: str) -> None:
    program = await shell.start("login", *options)
    await program.read_until(shown)
    program.process.send_signal(signal.SIGINT)
    assert await program.end() == (130, "")


@pytest.mark.asyncio
async def test_credentials_come_from_the_environment_or_the_command_line(shell: Shell) -> None:
    status, out, err = await shell.run("login", "--no-browser", STRAVA_CLIENT_SECRET="")
    assert (status, out) == (2, "")
    assert re.fullmatch(r"strava-async login: no client secret: .*\n", err)
    program = await shell.start("login", "--no-browser", "--client-id", "77")
    assert "client_id=77&" in await program.read_until("Paste")
    assert (await program.end())[0] == 1


@pytest.mark.parametrize("command", ["login", "accounts", "logout"])
def test_help_shows_no_secret_of_the_environment(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STRAVA_CLIENT_SECRET", "5ecre7")
    assert run_command([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "STRAVA_CLIENT_SECRET" in shown
    assert "5ecre7" not in shown


@pytest.mark.parametrize("command", [["login", "--no-browser"], ["accounts"], ["logout"]])
def test_an_environment_that_names_two_stravas_is_reported_in_a_sentence(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STRAVA_API_URL", f"{URL}/api/v3")
    monkeypatch.delenv("STRAVA_OAUTH_URL", raising=False)
    store = tmp_path / "data" / "tokens.sqlite"
    assert run_command([*command, "--client-id", "5", "--client-secret", "made-up", "--store", str(store)]) == 2
    told = rf"strava-async {command[0]}: STRAVA_API_URL and .* or give --emulator\n"
    assert re.fullmatch(told, capsys.readouterr().err)
    assert not store.parent.exists()


@pytest.mark.parametrize("browser", [True, False])
def test_a_store_that_cannot_be_written_is_reported_before_the_athlete_is_asked(desk: Desk, browser: bool) -> None:
    # The code would be exchanged, and the tokens lost with this process.
    path = desk.options().store
    path.parent.mkdir()
    path.touch(mode=0o600)
    assert desk.login(browser=browser) == 1
    assert desk.shown[0] == ""
    assert f"{path} is empty, so it was cut off" in desk.shown[1]
    assert desk.pages == []
