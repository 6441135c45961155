"""The command line."""

import contextlib
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import strava_async
from strava_async.cli import main
from strava_async.cli.emulate import Settings, directions
from strava_async.testing import Emulator
from tests.environment import clean_environment
from tests.plain_http import NO_TRUST

ROOT = Path(__file__).parent.parent.parent
COMMANDS = ("demo", "emulate", "login", "accounts", "logout", "webhook")


def test_the_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{strava_async.__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_is_printed(arguments, capsys):
    assert main(arguments) == 0
    assert "Usage: strava-async" in capsys.readouterr().out


def test_the_help_breaks_no_path_in_two():
    command = [sys.executable, "-m", "strava_async", "login", "--help"]
    env = clean_environment() | {"HOME": "/home/somebody", "XDG_CONFIG_HOME": "/home/somebody/.config", "COLUMNS": "80"}
    words = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env, check=True).stdout.split()
    folder = "/home/somebody/.config/strava-async"
    assert {f"{folder}/config.toml", f"{folder}/tokens.sqlite"} <= set(words)


@pytest.mark.parametrize("arguments", [["dance"], ["demo", "--days", "0"], ["demo", "--speed", "0"]])
def test_a_wrong_argument_is_refused(arguments, capsys):
    assert main(arguments) == 2
    assert "Usage: strava-async" in capsys.readouterr().err


def test_the_demo_writes_lines_where_there_is_no_terminal(tmp_path, capsys):
    path = tmp_path / "demo.sqlite"
    assert main(["demo", "--file", str(path), "--days", "3"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert re.search(r"^  details +(\d)  \1 new$", shown, re.MULTILINE)


@pytest.mark.parametrize("missing", ["typer", "rich", "uvicorn"])
def test_without_the_extra_a_sentence_says_how_to_get_it(missing):
    script = f"import sys; sys.modules[{missing!r}] = None; from strava_async.cli import main; sys.exit(main(['demo']))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 2
    assert result.stderr == 'This command needs more packages: pip install "strava-async[cli]"\n'
    assert result.stdout == ""


def test_importing_the_command_imports_no_extra():
    script = "import sys, strava_async.cli; print({'typer', 'starlette', 'uvicorn'} & {*sys.modules})"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout == "set()\n"


@contextlib.contextmanager
def emulated(*options):
    """Run ``strava-async emulate`` and hand over what it prints."""
    command = [sys.executable, "-m", "strava_async", "emulate", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line == "  )\n":
                break
        try:
            yield process, "".join(lines)
        finally:
            process.send_signal(signal.SIGINT)


def shown_application(shown):
    return {
        "client_id": re.search(r"client id +(\d+)", shown)[1],
        "client_secret": re.search(r"client secret +(\w+)", shown)[1],
    }


def printed_command(name, shown):
    shown = shown.replace("\\\n", "")  # as a shell does
    return shlex.split(re.search(rf"^  strava-async ({name} .+)$", shown, re.MULTILINE)[1])


def test_emulate_serves_a_strava_and_says_how_to_use_it(tmp_path):
    with emulated("--port", "0", "--limits", "3,30,4,40", "--allow-host", "strava") as (process, shown):
        assert max(map(len, shown.splitlines())) <= 80  # whatever stands in a line can be copied
        consent = httpx.get(
            re.search(r"^  (http\S+/emulator/connect)$", shown, re.MULTILINE)[1], follow_redirects=True, verify=NO_TRUST
        )
        page = str(consent.url)
        assert consent.text.count('type="checkbox"') == 2  # though there is one athlete only: nobody is connected yet
        token, url = re.search(r'Bearer (\w+)" \\\n +"(\S+)"', shown).groups()
        listed = httpx.get(url, headers={"Authorization": f"Bearer {token}", "Host": "strava:80"}, verify=NO_TRUST)
        assert len(listed.json()) == 3
        assert (listed.headers["X-ReadRateLimit-Limit"], listed.headers["X-RateLimit-Limit"]) == ("3,30", "4,40")
        assert httpx.get(url, headers={"Host": "evil.test"}, verify=NO_TRUST).status_code == 403
        oauth = re.search(r"OAuth +(\S+)", shown)[1]
        form = shown_application(shown)
        refused = httpx.post(f"{oauth}/token", data={**form, "grant_type": "x"}, verify=NO_TRUST)
        assert refused.json()["errors"][0]["field"] == "grant_type"  # id and secret are right
        login = printed_command("login", shown)
        assert login == ["login", "--emulator", url.partition("/api/")[0]]
        command = [sys.executable, "-m", "strava_async", *login, "--no-browser", "--store", str(tmp_path / "tokens")]
        asked = subprocess.run(command, input="", capture_output=True, text=True, cwd=ROOT, timeout=30)
        link = re.search(r"^  (http\S+/oauth/authorize\S+)$", asked.stdout, re.MULTILINE)[1]
        assert httpx.get(link, verify=NO_TRUST).status_code == 200
        # What is asked for is what is granted, and the token of the first lines is of no use to this application.
        answer = {"request_id": re.search(r'request_id" value="([^"]+)', consent.text)[1], "action": "authorize"}
        athlete = re.search(r'athlete_id" value="([^"]+)', consent.text)[1]
        scope = ["read", "activity:read_all"]
        answer |= {"athlete_id": athlete, "scope": scope}
        went = httpx.post(page, data=answer, verify=NO_TRUST).headers["Location"]
        code = httpx.URL(went).params["code"]
        assert httpx.URL(went).params["scope"] == "read,activity:read_all"
        form |= {"grant_type": "authorization_code", "code": code}
        granted = httpx.post(f"{oauth}/token", data=form, verify=NO_TRUST).json()
        quota = httpx.get(url, headers={"Authorization": f"Bearer {granted['access_token']}"}, verify=NO_TRUST).headers
        assert (quota["X-ReadRateLimit-Limit"], quota["X-ReadRateLimit-Usage"]) == ("3,30", "1,1")
    assert process.wait(timeout=30) == 130
    assert process.stderr.closed


def test_the_commands_that_emulate_prints_say_the_application_where_a_seed_was_given():
    emulator = Emulator(seed=7, years=0.1)
    shown = directions(emulator, "http://127.0.0.1:65535", Settings(seed=7))
    assert max(map(len, shown.splitlines())) <= 80
    application = ["--client-id", str(emulator.client_id), "--client-secret", emulator.client_secret]
    where = ["--emulator", "http://127.0.0.1:65535"]
    assert printed_command("login", shown) == ["login", *where, *application]
    assert printed_command("webhook", shown)[3:] == [*where, "--verify-token", "TOKEN", *application]


@pytest.mark.parametrize(
    "arguments",
    [["--limits", text] for text in ("", "100", "100,1000,200", "1,2,3,4,5", "1,2,3,x", "1,2,3,-4", "9" * 5_000)]
    + [["--allow-host", name] for name in ("http://strava", "")],
)
def test_emulate_refuses_invalid_options(arguments, capsys):
    assert main(["emulate", *arguments]) == 2
    assert f"Invalid value for {arguments[0]}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "where"), [("0.0.0.0", "every interface"), ("", "every interface"), ("192.0.2.1", "192.0.2.1")]
)
def test_emulate_warns_where_others_reach_it(host, where, capsys):
    with socket.create_server(("0.0.0.0", 0)) as taken:  # so that it ends
        assert main(["emulate", "--host", host, "--port", str(taken.getsockname()[1])]) == 1
    warning, *_ = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"strava-async emulate: warning: it listens on {where}, ")
    assert "--allow-host" in warning


def test_a_port_that_is_taken_is_reported_in_a_sentence():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "strava_async", "emulate", "--port", str(port)]
        result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=30)
    assert result.returncode == 1
    assert result.stderr.startswith("strava-async emulate: Address already in use")
    assert result.stderr.count("\n") == 1
