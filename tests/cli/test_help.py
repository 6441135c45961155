"""The help of every command, and what a shell offers to complete."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import typer

from strava_async.cli import main
from strava_async.cli.commands import app
from strava_async.cli.config import CONFIG
from strava_async.cli.help_texts import VARIABLES
from strava_async.harvest import SqliteHarvestStore
from strava_async.harvest.plan import KIND_NAMES
from strava_async.testing import Emulator
from tests.cli.harvest_desk import connect
from tests.environment import clean_environment

ROOT = Path(__file__).parent.parent.parent
URL = "http://127.0.0.1:9"


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command with its words, that of all of them too."""
    yield words, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*words, name))


EVERY = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_the_help_of_a_command_teaches_it(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--help"]) == 0
    shown = capsys.readouterr().out
    paths = str(CONFIG.parent) if CONFIG is not None else "~"
    assert max(len(line) for line in shown.splitlines() if paths not in line) <= 80
    for section in ("Example", "Exit status:"):
        assert re.search(rf"^  {section}", shown, re.MULTILINE)
    assert re.search(r"^    0   \w", shown, re.MULTILINE)
    read = {option.envvar for option in EVERY[words].params if getattr(option, "envvar", None)}
    told = set(re.findall(r"^    (STRAVA_\w+)", shown, re.MULTILINE))
    assert read <= told <= set(VARIABLES)


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_the_examples_of_a_command_are_right(words: tuple[str, ...]) -> None:
    epilog = EVERY[words].epilog
    examples = [line.strip() for line in epilog.splitlines() if line.strip().startswith("strava-async ")]
    assert examples
    for example in examples:
        arguments = shlex.split(example)[1:]
        if arguments == ["--install-completion"]:
            continue
        found, length = next((EVERY[tuple(arguments[:n])], n) for n in (2, 1) if tuple(arguments[:n]) in EVERY)
        assert not words or tuple(arguments[:length])[: len(words)] == words
        found.make_context("strava-async", arguments[length:])  # raises for what is no option, or no value


def test_the_list_of_commands_breaks_no_sentence_off(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert not [line for line in capsys.readouterr().out.splitlines() if line.endswith("...") and "ARGS" not in line]


# -- completion --------------------------------------------------------------------------------------------------------

# What bash does, by the protocol of click, for several lines in one process.
DRIVER = """
import contextlib, io, json, os, sys
from strava_async.cli import main
answers = []
for line in json.loads(sys.argv[1]):
    words = line.split(" ")
    os.environ |= {"_STRAVA_ASYNC_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main([]) == 0
    answers.append(out.getvalue().split())
print(json.dumps(answers))
"""


def completed(home: Path, *lines: str) -> list[list[str]]:
    """Return what a shell is told for each line, with the cursor at its end."""
    env = {**clean_environment(), "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config")}
    command = [sys.executable, "-c", DRIVER, json.dumps([f"strava-async {line}" for line in lines])]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env, check=True)
    assert run.stderr == ""
    answers: list[list[str]] = json.loads(run.stdout)
    return answers


def test_commands_options_kinds_and_formats_are_completed(tmp_path: Path) -> None:
    command, options, kinds, one_more, none_twice, formats = completed(
        tmp_path,
        "ha",
        "harvest --",
        "harvest --kinds ",
        "harvest --kinds details,st",
        "harvest --kinds laps,l",
        "export --to g",
    )
    assert command == ["harvest"]
    assert {"--max-requests", "--data", "--data-dir"} <= set(options)
    assert kinds == list(KIND_NAMES)
    assert one_more == ["details,streams", "details,stats"]
    assert none_twice == []
    assert formats == ["geojson", "gpx"]
    assert list(tmp_path.iterdir()) == []


def test_athletes_are_completed(tmp_path: Path) -> None:
    emulator = Emulator(years=0.01, athletes=2)
    tokens = tmp_path / "config" / "strava-async" / "tokens.sqlite"
    tokens.parent.mkdir(parents=True)
    anyio.run(connect, emulator, tokens, URL)
    ids = sorted(map(str, emulator.athlete_ids))
    data, foreign = tmp_path / "rides.sqlite", tmp_path / "thesis.sqlite"
    anyio.run(SqliteHarvestStore(data).add_athlete, 77)
    foreign.write_text("my thesis")
    assert completed(
        tmp_path,
        f"harvest --emulator {URL} --athlete ",
        f"logout --emulator {URL} {ids[0][:4]}",
        f"export --to csv --data {data} --athlete ",
        f"purge --data {data} --athlete ",
        f"purge --data {foreign} --athlete ",
        "harvest --athlete ",
    ) == [ids, [ids[0]], ["77"], ["77"], [], []]
    assert foreign.read_text() == "my thesis"


def test_the_script_for_a_shell_is_shown(tmp_path: Path) -> None:
    env = {**clean_environment(), "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = [sys.executable, "-m", "strava_async", "--show-completion", "zsh"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env, check=True)
    assert "#compdef strava-async" in run.stdout
    assert os.listdir(tmp_path) == []
