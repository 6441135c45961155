"""What crash reporters see of an error: the locals of all frames that it came through, and what is in them.

They differ in what they take of a local: its repr (Sentry, ``traceback``, rich), a text as it is (Elastic APM,
Rollbar), the items of what has items, the attributes that a line of the source names (loguru). All of it is looked at.
"""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import strava_async

LEVELS = 5
PACKAGE = str(Path(strava_async.__file__).parent)
TESTS = str(Path(__file__).parent)
# What a server sent, as it came; no line that raises names it where it may be tokens.
NO_SECRETS_OF_OURS = {"body"}


def errors_of(error: BaseException | None) -> list[BaseException]:
    """Return an error with all that led to it, suppressed or not."""
    found: list[BaseException] = []
    left = [error]
    while left:
        one = left.pop()
        if one is not None and not any(one is known for known in found):
            found.append(one)
            left += one.__cause__, one.__context__
            left += getattr(one, "exceptions", ())
    return found


def shown_by(error: BaseException) -> Iterator[tuple[str, str]]:
    """Return places, and the texts that a reporter would take from there."""
    for one in errors_of(error):
        name = type(one).__name__
        yield from ((f"{name} itself", text) for text in (repr(one), str(one), repr(one.args), repr(vars(one))))
        yield from ((f"notes of {name}", note) for note in getattr(one, "__notes__", ()))
        for text in _attributes(one, 2):
            yield f"attributes of {name}", text
        for frame in _frames(one.__traceback__):
            yield from shown_in(frame)


def shown_in(frame: FrameType) -> Iterator[tuple[str, str]]:
    """Return the same of one frame; nothing of those of the tests, which have all secrets."""
    if frame.f_code.co_filename.startswith(TESTS):
        return
    where = f"{Path(frame.f_code.co_filename).name}:{frame.f_code.co_name}"
    for name, value in frame.f_locals.items():
        for text in _texts(value, LEVELS):
            yield f"{where}:{name}", text


def without_frames_of_tests(error: BaseException) -> BaseException:
    """Take them from the tracebacks, for what looks at all of them."""
    for one in errors_of(error):
        kept = [entry for entry in _entries(one.__traceback__) if not _of_tests(entry)]
        trace = None
        for entry in reversed(kept):
            trace = TracebackType(trace, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
        one.__traceback__ = trace
    return error


def _of_tests(entry: TracebackType) -> bool:
    return entry.tb_frame.f_code.co_filename.startswith(TESTS)


def _entries(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _frames(trace: TracebackType | None) -> Iterator[FrameType]:
    return (entry.tb_frame for entry in _entries(trace))


def _repr(value: Any) -> str:
    try:
        return repr(value)
    except AttributeError:  # of one that is half made
        return ""


def _texts(value: Any, levels: int) -> Iterator[str]:
    yield _repr(value)
    if isinstance(value, str):
        yield str(value)
    elif isinstance(value, bytes | bytearray):
        yield value.decode("latin-1")
    elif levels:
        if isinstance(value, Mapping):
            for key, item in list(value.items()):
                yield from _texts(key, 0)
                yield from _texts(item, levels - 1)
        elif isinstance(value, list | tuple | set | frozenset):
            for item in list(value):
                yield from _texts(item, levels - 1)
        elif isinstance(value, functools.partial):
            yield from _texts((value.args, value.keywords), levels - 1)
        else:
            yield from _attributes(value, 1)


def _attributes(value: Any, levels: int) -> Iterator[str]:
    """Return the reprs of what an object of this package has, and the objects of this package in it."""
    if not type(value).__module__.startswith("strava_async"):
        return
    slots = {name for base in type(value).__mro__ for name in getattr(base, "__slots__", ())}
    for name in {*slots, *getattr(value, "__dict__", ())} - NO_SECRETS_OF_OURS:
        attribute = getattr(value, name, None)
        yield _repr(attribute)
        if levels:
            yield from _attributes(attribute, levels - 1)
