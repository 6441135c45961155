"""The input, output and exit status of the commands."""

from __future__ import annotations

import errno
import re
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from strava_async.errors import InputError, StravaError

DONE, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130

Ask = Callable[[str, bool], str]

_SECOND_COLUMN = "\0"
_UNBOUNDED = 10_000  # columns: a pipe or file has no width


class UsageError(InputError):
    """The user's input is invalid: an option, a variable of the environment, the configuration file."""


class OutputConsole(Console):
    """A console whose reader may leave, as ``head`` does: writing raises BrokenPipeError then, and the command ends.

    SystemExit, which rich would raise, comes out of a task group in an ExceptionGroup, and so as a traceback.
    """

    def on_broken_pipe(self) -> None:
        """Write nothing any more."""
        self.quiet = True
        raise BrokenPipeError(errno.EPIPE, "nobody reads the output")


@dataclass(frozen=True, slots=True)
class Terminal:
    """The terminal of a command.

    Attributes:
        out: for results.
        err: for errors.
        read_line: returns the next line of the input, with its line break; nothing at the end.
        ask: asks a question, with or without echo, and returns the answer; None where input is not interactive.
    """

    out: Console
    err: Console
    read_line: Callable[[], str]
    ask: Ask | None = None

    def say(self, text: str = "", style: str = "") -> None:
        """Write a text. On a terminal lines break between words, so that an address stays whole; elsewhere nowhere."""
        _write(self.out, text, style)

    def say_whole(self, text: str) -> None:
        """Write a line for a program, however long it is; printable ASCII."""
        self.out.print(Text(text), soft_wrap=True)

    def complain(self, text: str) -> None:
        """Write an error."""
        _write(self.err, text, "")

    def show(self, table: Table) -> None:
        """Write a table, as wide as the terminal allows."""
        self.out.print(table)


def this_terminal() -> Terminal:
    """Return the terminal of this process, or the pipes in its place."""
    out = _console(stderr=False)
    there = sys.stdin is not None and sys.stdin.isatty()
    return Terminal(out, _console(stderr=True), _read_line, _asker(out) if there else None)


def plain_ascii(text: str, longest: int) -> str:
    """Return a stranger's text for a cell of a table: printable ASCII of one line, cut off after so many characters."""
    seen = "".join(c if " " <= c <= "~" else "?" for c in text[: longest + 1])
    return seen if len(seen) <= longest else f"{seen[: longest - 3]}..."


def run(command: str, terminal: Terminal, work: Callable[[], int]) -> int:
    """Do the work and return the exit status: that of the work, 1 or 2 with a sentence, 130 after Ctrl-C."""
    try:
        return work()
    except KeyboardInterrupt:
        if terminal.ask is not None:
            terminal.complain("")  # after the ^C of the terminal
        return INTERRUPTED
    except StravaError as error:
        terminal.complain(f"strava-async {command}: {error}")
        return MISUSED if isinstance(error, UsageError) else FAILED


def _console(*, stderr: bool) -> Console:
    console = OutputConsole(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _UNBOUNDED
    return console


def _write(console: Console, text: str, style: str) -> None:
    # An athlete's name or Strava's message could hold control characters, or what the terminal cannot encode.
    harmless = "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
    encodable = harmless.encode(console.encoding, "replace").decode(console.encoding)
    fitted = "\n".join(_fitted(line, console.width) for line in encodable.split("\n"))
    console.print(Text(fitted, style), soft_wrap=True)


def _fitted(line: str, width: int) -> str:
    """Return the line broken between words; one with a word that is too long stays as it is.

    What follows the break of an entry (``  name   value``) stands below the value.
    """
    name = re.match(r"  \w.*? {2,}", line)
    indent = " " * (name.end() if name else 0)
    too_long = any(cell_len(indent + word) > width for word in line.split())
    # textwrap counts characters: to one that takes two columns belongs another that nobody sees.
    counted = "".join(c + _SECOND_COLUMN * (cell_len(c) - 1) for c in line)
    filled = textwrap.fill(counted, width, subsequent_indent=indent, break_on_hyphens=False)
    return line if too_long else filled.replace(_SECOND_COLUMN, "")


def _read_line() -> str:
    # The text layer would raise over bytes that are no text, with the line in the error.
    return "" if sys.stdin is None else sys.stdin.buffer.readline().decode(errors="replace")


def _asker(console: Console) -> Ask:
    def ask(question: str, hidden: bool) -> str:
        try:
            return console.input(question, markup=False, emoji=False, password=hidden)
        except EOFError:
            console.print()
        raise InputError("the input ended before the question was answered")

    return ask
