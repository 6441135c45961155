"""``strava-async webhook``: in this process against the emulator, and as a program."""

import io
import json
import re
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from rich.console import Console

from strava_async.application import Strava
from strava_async.cli import main as run_command
from strava_async.cli.config import Options
from strava_async.cli.terminal import Terminal
from strava_async.cli.webhook import subscribe, unsubscribe, view
from strava_async.clock import SystemClock
from strava_async.request.endpoints import Method
from strava_async.testing import CallbackReply, Emulator, Fault, serve
from tests.environment import clean_environment
from tests.plain_http import NO_TRUST

URL = "http://emulator.test"
CALLBACK = "https://service.test/hook"
VERIFY_TOKEN = "v-sekret"
ARGUMENTS = [["subscribe", CALLBACK, "--verify-token", VERIFY_TOKEN], ["view"], ["unsubscribe"]]


class Desk:
    """Somebody at a terminal, an emulator, and a service at the callback that knows the verify token."""

    def __init__(self) -> None:
        self.emulator = Emulator(years=0.1, callbacks=self.serve)
        self.asked: list[str] = []
        self.answer: str | None = None
        self.out = self.err = ""

    async def serve(self, method: Method, url: str, content: bytes | None) -> CallbackReply:
        query = httpx.URL(url).params
        self.asked.append(query["hub.verify_token"])
        if query["hub.verify_token"] != VERIFY_TOKEN:
            return CallbackReply(403)
        return CallbackReply(200, json.dumps({"hub.challenge": query["hub.challenge"]}).encode())

    def options(self, **changes: Any) -> Options:
        given: dict[str, Any] = {
            "client_id": str(self.emulator.client_id),
            "client_secret": self.emulator.client_secret,
        }
        return Options(**{**given, "emulator": URL, **changes})

    def make(self, *arguments: Any, **options: Any) -> Strava:
        http_client = httpx.AsyncClient(transport=httpx.ASGITransport(app=self.emulator.app))
        return Strava(*arguments, **options, http_client=http_client, random=lambda: 0.0)

    def run(self, command: Callable[[Terminal], int]) -> int:
        out, err = io.StringIO(), io.StringIO()
        questions: list[tuple[str, bool]] = []

        def ask(question: str, hidden: bool) -> str:
            questions.append((question, hidden))
            return self.answer or ""

        asks = ask if self.answer is not None else None
        terminal = Terminal(Console(file=out, width=10_000), Console(file=err, width=10_000), lambda: "", asks)
        status = command(terminal)
        self.out, self.err = out.getvalue(), err.getvalue()
        assert self.emulator.client_secret not in self.out + self.err
        assert VERIFY_TOKEN not in self.out + self.err
        assert all(hidden for _, hidden in questions)
        return status

    def subscribe(self, verify_token: str | None = VERIFY_TOKEN, url: str = CALLBACK, **changes: Any) -> int:
        options = self.options(**changes)
        return self.run(lambda terminal: subscribe(options, url, verify_token, terminal, make=self.make))

    def view(self, *, as_json: bool = False) -> int:
        return self.run(lambda terminal: view(self.options(), terminal, as_json=as_json, make=self.make))

    def unsubscribe(self, subscription_id: int | None = None) -> int:
        return self.run(lambda terminal: unsubscribe(self.options(), subscription_id, terminal, make=self.make))


@pytest.fixture
def desk() -> Desk:
    return Desk()


def number(desk: Desk) -> int:
    made = desk.emulator.subscription()
    assert made is not None
    return made.id


def test_a_subscription_is_made_and_its_id_is_reported(desk: Desk) -> None:
    assert desk.subscribe() == 0
    assert desk.out == f"Subscribed. Events go to {CALLBACK}\n  subscription  {number(desk)}\n"
    assert desk.err == ""
    assert desk.asked == [VERIFY_TOKEN]


def test_a_verify_token_that_is_missing_is_asked_for_and_not_shown(desk: Desk) -> None:
    desk.answer = VERIFY_TOKEN
    assert desk.subscribe(None) == 0
    assert desk.asked == [VERIFY_TOKEN]


@pytest.mark.parametrize(("answer", "told"), [(None, "give --verify-token or set STRAVA_VERIFY_TOKEN"), ("", "empty")])
def test_without_a_verify_token_nothing_is_asked_of_strava(desk: Desk, answer: str | None, told: str) -> None:
    desk.answer = answer
    assert desk.subscribe(None) == 2
    assert desk.err.startswith("strava-async webhook subscribe: ")
    assert told in desk.err
    assert desk.emulator.count() == 0


def test_a_service_that_does_not_know_the_verify_token_is_explained(desk: Desk) -> None:
    assert desk.subscribe("another") == 1
    assert "GET to callback URL does not return 200" in desk.err
    assert "know this verify token" in desk.err
    assert "another" not in desk.err
    assert desk.emulator.subscription() is None


def test_a_second_subscription_is_refused_with_what_to_do(desk: Desk) -> None:
    desk.subscribe()
    assert desk.subscribe() == 1
    assert desk.err == (
        "strava-async webhook subscribe: there is a subscription already; "
        f"to end it: strava-async webhook unsubscribe --emulator {URL}\n"
    )


@pytest.mark.parametrize("url", ["service.test/hook", "ftp://service.test", "https://service.test/" + 250 * "x"])
def test_a_callback_that_cannot_be_one_is_refused_before_anything_is_sent(desk: Desk, url: str) -> None:
    assert desk.subscribe(url=url) == 2
    assert "the callback_url" in desk.err
    assert desk.emulator.count() == 0


def test_wrong_credentials_are_reported(desk: Desk) -> None:
    assert desk.subscribe(client_secret="f" * 40) == 1
    assert "does not accept the client id or the client secret" in desk.err


def test_an_error_of_strava_is_reported_in_a_line(desk: Desk) -> None:
    desk.emulator.faults.add(Fault.server_error(500), path="/push_subscriptions", times=None)
    assert desk.subscribe() == 1
    assert desk.err.startswith("strava-async webhook subscribe: ")
    assert desk.err.count("\n") == 1


class Unmoved(SystemClock):
    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"{seconds} s were to be waited")


@pytest.mark.parametrize("command", [view, partial(unsubscribe, subscription_id=None)], ids=["view", "unsubscribe"])
def test_a_closed_port_is_reported_at_once_by_its_address(desk: Desk, command: Callable[..., int]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    homeless = desk.options(emulator=url, default_config=None, default_store=None)  # no file is needed for that

    def make(*arguments: Any, **options: Any) -> Strava:
        return Strava(
            *arguments, **options, http_client=httpx.AsyncClient(verify=NO_TRUST, trust_env=False), clock=Unmoved()
        )

    assert desk.run(lambda terminal: command(homeless, terminal=terminal, make=make)) == 1
    assert re.match(rf"strava-async webhook \w+: {url} cannot be reached: no reply to GET /push_subscr", desk.err)


def test_an_answer_that_is_late_is_reported_with_the_address(desk: Desk) -> None:
    desk.emulator.faults.add(Fault.lost(), path="/push_subscriptions", times=1)
    assert desk.view() == 1
    assert desk.err.startswith(f"strava-async webhook view: {URL}: no reply to GET /push_subscriptions")


def test_the_subscription_is_shown(desk: Desk) -> None:
    desk.subscribe()
    assert desk.view() == 0
    assert re.fullmatch(
        rf"  id +{number(desk)}\n  application id +{desk.emulator.client_id}\n"
        rf"  callback url +{CALLBACK}\n  created at +\d{{4}}-\S+\+00:00\n",
        desk.out,
    )


def test_the_subscription_is_shown_to_programs(desk: Desk) -> None:
    desk.subscribe()
    assert desk.view(as_json=True) == 0
    shown = json.loads(desk.out)
    assert shown.pop("created_at").endswith("+00:00")
    assert shown == {"id": number(desk), "application_id": desk.emulator.client_id, "callback_url": CALLBACK}


def test_no_subscription_is_reported_to_people_and_nothing_to_programs(desk: Desk) -> None:
    assert desk.view() == 0
    assert desk.out == (
        f"Application {desk.emulator.client_id}@{URL} has no webhook subscription. "
        f"To make one: strava-async webhook subscribe URL --emulator {URL}\n"
    )
    assert desk.view(as_json=True) == 0
    assert desk.out == ""


@pytest.mark.parametrize("named", [True, False])
def test_the_subscription_is_deleted(desk: Desk, named: bool) -> None:
    desk.subscribe()
    made = number(desk)
    assert desk.unsubscribe(made if named else None) == 0
    assert desk.out == f"Subscription {made} is deleted. Events in flight may still arrive.\n"
    assert desk.emulator.subscription() is None
    assert desk.unsubscribe() == 0
    assert desk.out == f"Application {desk.emulator.client_id}@{URL} has no webhook subscription.\n"


def test_a_subscription_that_is_not_there_cannot_be_deleted(desk: Desk) -> None:
    desk.subscribe()
    assert desk.unsubscribe(7) == 1
    assert desk.err == (
        "strava-async webhook unsubscribe: the application has no subscription 7: "
        f"strava-async webhook view --emulator {URL} shows the one it has\n"
    )
    assert desk.emulator.subscription() is not None


def test_neither_the_tokens_nor_their_key_are_touched(desk: Desk, tmp_path: Path) -> None:
    store = tmp_path / "data" / "tokens.sqlite"
    assert desk.subscribe(store=store) == 0
    assert not store.parent.exists()


@pytest.mark.asyncio
async def test_a_program_goes_to_the_emulator_that_the_environment_names(desk: Desk, tmp_path: Path) -> None:
    async with serve(desk.emulator) as url:
        environment = {
            **clean_environment(),
            "HOME": str(tmp_path),
            "STRAVA_CLIENT_ID": str(desk.emulator.client_id),
            "STRAVA_CLIENT_SECRET": desk.emulator.client_secret,
            "STRAVA_VERIFY_TOKEN": VERIFY_TOKEN,
            "STRAVA_API_URL": f"{url}/api/v3",
            "STRAVA_OAUTH_URL": f"{url}/oauth",
        }
        command = [sys.executable, "-m", "strava_async", "webhook", "subscribe", CALLBACK]
        await anyio.run_process(command, env=environment)
    assert desk.emulator.subscription() is not None


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_the_commands_look_into_the_environment(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STRAVA_API_URL", f"{URL}/api/v3")
    monkeypatch.delenv("STRAVA_OAUTH_URL", raising=False)
    assert run_command(["webhook", *arguments, "--client-id", "5", "--client-secret", "made-up"]) == 2
    assert "STRAVA_API_URL and STRAVA_OAUTH_URL are not those of one Strava" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_the_commands_need_the_credentials(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.toml"
    assert run_command(["webhook", *arguments, "--config", str(config)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"strava-async webhook {arguments[0]}: no client id: give --client-id")
    assert VERIFY_TOKEN not in error


@pytest.mark.parametrize("arguments", [[], ["subscribe"], ["unsubscribe", "x"], ["unsubscribe", "0"]])
def test_a_wrong_argument_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["webhook", *arguments]) == 2
    assert "Usage: strava-async webhook" in "".join(capsys.readouterr())


@pytest.mark.parametrize("command", ["subscribe", "view", "unsubscribe"])
def test_help_is_printed(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["webhook", command, "--help"]) == 0
    assert f"Usage: strava-async webhook {command}" in capsys.readouterr().out
