"""No test sees the caller's environment, makes requests to other machines, or leaves a process behind."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import anyio
import coverage
import pytest

from tests import environment
from tests.environment import ROOT, clean_environment
from tests.guard.loopback_only import NOTES, ReachedOutError, is_loopback

AWAY = "192.0.2.1"  # RFC 5737: nobody's
THEIRS = {
    "PATH": os.environ["PATH"],
    "STRAVA_CLIENT_ID": "5",
    "STRAVA_CLIENT_SECRET": "a real one",
    "STRAVA_TOKEN_KEY": "x",
    "STRAVA_API_URL": "https://www.strava.com/api/v3",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "ALL_PROXY": "socks5://127.0.0.1:9",
    "NO_PROXY": "::1/128",
    "FORCE_COLOR": "1",
    "COLUMNS": "20",
    "WEB_CONCURRENCY": "2",
    "SSL_CERT_FILE": "/nowhere",
    "PYTHONWARNINGS": "error",
    "PYTHONDEVMODE": "1",
    "BROWSER": "false",
    "LC_ALL": "tr_TR.ISO-8859-9",
    "HOME": "/root",
}


@pytest.mark.parametrize(
    "host", [None, "", "localhost", "LOCALHOST", b"localhost", "127.0.0.1", "127.9.8.7", "::1", "::ffff:127.0.0.1"]
)
def test_this_machine_may_be_reached(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["www.strava.com", "localhost.example", AWAY, "127.example.com", "10.0.0.1", "::2", 7])
def test_another_may_not(host):
    assert not is_loopback(host)


def test_looking_up_a_name_fails_and_is_noted():
    with pytest.raises(ReachedOutError, match=r"getaddrinfo to 'www\.strava\.example'"):
        socket.getaddrinfo("www.strava.example", 443)
    assert [line.split(":")[0] for line in environment.notes()] == ["socket.getaddrinfo to 'www.strava.example'"]
    assert environment.notes() == []


def test_connecting_and_sending_fail_and_are_noted():
    with socket.socket() as stream, pytest.raises(ReachedOutError):
        stream.connect((AWAY, 9))
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        with pytest.raises(ReachedOutError):
            datagrams.sendto(b"x", (AWAY, 9))
        with pytest.raises(ReachedOutError):
            datagrams.sendmsg([b"x"], [], 0, (AWAY, 9))
    assert [line.split()[0] for line in environment.notes()] == ["socket.connect", "socket.sendto", "socket.sendmsg"]


@pytest.mark.anyio
async def test_a_task_that_connects_is_seen_though_a_name_is_no_address():
    with pytest.raises(ReachedOutError):
        await anyio.connect_tcp("www.strava.example", 443)
    with pytest.raises(ExceptionGroup) as raised:
        await anyio.connect_tcp(AWAY, 443)
    assert raised.group_contains(ReachedOutError)
    assert len(environment.notes()) == 2


@pytest.mark.parametrize("given", [None, clean_environment(), clean_environment(PYTHONPATH=str(ROOT))])
def test_a_program_of_a_test_is_watched_too(given, tmp_path):
    script = (
        f"import socket\ntry: socket.create_connection(({AWAY!r}, 9))\nexcept Exception as e: print(type(e).__name__)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], env=given, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "ReachedOutError\n"
    assert len(environment.notes()) == 1


@pytest.mark.parametrize("given", [{}, {"PATH": os.environ["PATH"]}, {**os.environ, "PYTHONPATH": str(ROOT)}])
def test_a_program_that_would_not_be_watched_is_not_started(given):
    with pytest.raises(ReachedOutError, match="clean_environment"):
        subprocess.run([sys.executable, "-c", ""], env=given)
    assert len(environment.notes()) == 1


def test_a_test_finds_nothing_of_theirs(tmp_path):
    made = environment.made_environment(THEIRS, tmp_path)
    assert made["PATH"] == THEIRS["PATH"]
    assert made.keys() == {"PATH", "HOME", "LC_ALL", "PYTHONFAULTHANDLER", "PYTHONPATH", NOTES}
    assert {name for name in made if made[name] == THEIRS.get(name)} == {"PATH"}


def test_this_process_is_in_such_an_environment():
    assert not os.environ.keys() & (THEIRS.keys() - {"PATH", "HOME", "LC_ALL"})
    assert Path.home().is_dir()
    assert not any(Path.home().iterdir())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# Each of these tests passes by itself.
FAILING = {
    "a host that is reached for": f"""
        import contextlib, socket
        def test():
            with contextlib.suppress(Exception):
                socket.create_connection(({AWAY!r}, 9))
        """,
    "a host that a program reaches for": f"""
        import subprocess, sys
        def test():
            subprocess.run([sys.executable, "-c", "import socket; socket.create_connection(({AWAY!r}, 9))"])
        """,
    "a process that is left behind": """
        import subprocess
        def test():
            subprocess.run(["sh", "-c", "sleep 600 >/dev/null 2>&1 &"])
        """,
}
PASSING = {
    "an environment that a test has changed is new for the next": """
        import os
        def test():
            os.environ["STRAVA_CLIENT_ID"] = "5"
            del os.environ["PATH"]
        def test_next():
            assert "STRAVA_CLIENT_ID" not in os.environ and "PATH" in os.environ
        """,
    "what whoever runs the tests has set is not seen, at import neither": """
        import os
        AT_IMPORT = dict(os.environ)
        def test():
            for environment in (AT_IMPORT, os.environ):
                assert not {name for name in environment if name.startswith("STRAVA_") or name.endswith("_PROXY")}
        """,
    "a program can be interrupted though SIGINT was ignored": """
        import signal, subprocess, sys
        def test():
            script = "import time; print(flush=True); time.sleep(60)"
            with subprocess.Popen([sys.executable, "-c", script], stdout=-1, stderr=-1) as process:
                process.stdout.readline()
                process.send_signal(signal.SIGINT)
                assert process.wait(30) == -signal.SIGINT
        """,
}


def run_tests(sources, folder, variables):
    """Run a module of tests for each of the sources, under ``tests/conftest.py``, as somebody who ignores SIGINT.

    One program for all: most of what it takes is its start.

    Returns:
        the outcomes of each source's tests, such as ``["PASSED", "ERROR"]``, and all that was written.
    """
    for number, source in enumerate(sources):
        test = "\n".join(line.removeprefix(8 * " ") for line in source.splitlines())
        (folder / f"test_{number}.py").write_text(test)
    pytest_of_theirs = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-p", "tests.conftest"]
    pytest_of_theirs += ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder), str(folder)]
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = [sys.executable, "-c", ignoring, *pytest_of_theirs]
    done = subprocess.run(
        command, cwd=ROOT, env=clean_environment(**variables), capture_output=True, text=True, timeout=60
    )
    told = re.findall(r"^\S*test_([0-9]+)\.py::\w+ ([A-Z]+)", done.stdout, re.MULTILINE)
    return [[outcome for of, outcome in told if of == str(number)] for number in range(len(sources))], done.stdout


@pytest.fixture(scope="module")
def failing(tmp_path_factory):
    outcomes, written = run_tests(FAILING.values(), tmp_path_factory.mktemp("failing"), {})
    return dict(zip(FAILING, outcomes, strict=True)), written


@pytest.fixture(scope="module")
def passing(tmp_path_factory):
    theirs = {name: value for name, value in THEIRS.items() if name not in ("PYTHONWARNINGS", "PYTHONDEVMODE")}
    outcomes, written = run_tests(PASSING.values(), tmp_path_factory.mktemp("passing"), theirs)
    return dict(zip(PASSING, outcomes, strict=True)), written


@pytest.mark.parametrize("why", FAILING)
def test_a_test_fails_for(why, failing):
    outcomes, written = failing
    assert outcomes[why] == ["PASSED", "ERROR"], written


@pytest.mark.parametrize("what", PASSING)
def test_of_the_environment(what, passing):
    outcomes, written = passing
    assert outcomes[what] == ["PASSED"] * PASSING[what].count("def test"), written


def test_coverage_counts_what_programs_of_the_tests_do(tmp_path):
    script = tmp_path / "start.py"
    script.write_text("import subprocess, sys\nsubprocess.run([sys.executable, '-m', 'strava_async', '--version'])\n")
    own = {name: value for name, value in clean_environment().items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-m", "coverage", "run", f"--rcfile={ROOT / 'pyproject.toml'}", str(script)]
    subprocess.run(command, env={**own, "COVERAGE_FILE": str(tmp_path / "counted")}, cwd=ROOT, check=True)
    counted = coverage.Coverage(data_file=tmp_path / "counted", config_file=False)
    counted.combine([str(tmp_path)])
    assert counted.get_data().lines(str(ROOT / "strava_async" / "cli" / "__init__.py"))
