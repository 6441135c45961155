"""The file of an upload: where it comes from, what it is called, how it is packed, and how it goes out."""

import gzip
import logging
import os
import socket
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from io import BufferedReader, BytesIO, FileIO, StringIO
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from strava_async._concurrency.reading_threads import READING_THREADS
from strava_async.errors import InputError
from strava_async.request.call import api_call
from strava_async.resources._files import (
    FileToSend,
    OutgoingFile,
    Progress,
    check_progress,
    file_to_send,
)

pytestmark = pytest.mark.anyio

CONTENT = b"<gpx>" + bytes(range(256)) * 10


async def made(
    source: Any, *, data_type: str | None = None, filename: str | None = None, gzip: bool = False
) -> FileToSend:
    return await file_to_send(source, data_type=data_type, filename=filename, gzip=gzip)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    written = tmp_path / "Lunch Ride.GPX"
    written.write_bytes(CONTENT)
    return written


async def pieces(times: int = 1) -> AsyncIterator[bytes]:
    yield CONTENT[:5]
    yield b""
    yield CONTENT[5:]
    for _ in range(times - 1):
        yield CONTENT


class Fragile:
    """A file that breaks off, plain or as an async iterable."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def read(self) -> bytes:
        raise self.error

    async def pieces(self) -> AsyncIterator[bytes]:
        yield CONTENT
        raise self.error


class Promising(BytesIO):
    """A plain ``read()`` that gives something to await."""

    def read(self, size: int | None = -1, /) -> Any:
        async def content() -> bytes:
            return super(Promising, self).read(size)

        return content()


class BytesPath:
    """A path as some systems have it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> bytes:
        return os.fsencode(self.path)


@pytest.mark.parametrize("kind", [Path, str, anyio.Path, BytesPath])
async def test_a_path_of_any_kind_is_read_and_tells_name_and_type(path: Path, kind: Callable[[Any], Any]) -> None:
    assert await made(kind(path)) == FileToSend(CONTENT, "Lunch Ride.GPX", "gpx")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, BytesIO, lambda _: pieces(), Promising])
async def test_what_has_no_name_needs_a_type_and_gets_a_name(kind: Callable[[bytes], Any]) -> None:
    source = kind(CONTENT)
    with pytest.raises(InputError, match="data_type must be one of fit, "):
        await made(source)
    assert await made(source, data_type="GPX") == FileToSend(CONTENT, "upload.gpx", "gpx")


async def test_open_files_tell_their_names_and_are_left_open(path: Path) -> None:
    with path.open("rb") as plain:
        assert await made(plain) == FileToSend(CONTENT, "Lunch Ride.GPX", "gpx")
        assert not plain.closed
    async with await anyio.open_file(path, "rb") as opened:
        assert await made(opened) == FileToSend(CONTENT, "Lunch Ride.GPX", "gpx")
        assert not opened.wrapped.closed


async def test_a_file_is_read_from_where_it_stands(path: Path) -> None:
    with path.open("rb") as opened:
        opened.seek(5)
        assert (await made(opened)).content == CONTENT[5:]


async def test_a_file_whose_name_is_a_number_has_none() -> None:
    with tempfile.TemporaryFile() as opened:
        opened.write(CONTENT)
        opened.seek(0)
        assert isinstance(opened.name, int)
        assert (await made(opened, data_type="fit")).filename == "upload.fit"


@pytest.mark.parametrize(
    ("name", "data_type"),
    [
        ("a.fit", "fit"),
        ("a.FIT.GZ", "fit.gz"),
        ("a.tcx", "tcx"),
        ("a.tcx.gz", "tcx.gz"),
        ("a.b.Gpx", "gpx"),
        ("a.gpx.gz", "gpx.gz"),
        ("a.json", "json"),
    ],
)
async def test_the_name_tells_the_type(name: str, data_type: str) -> None:
    content = gzip.compress(CONTENT) if data_type.endswith(".gz") else CONTENT
    assert await made(content, filename=name) == FileToSend(content, name, data_type)


@pytest.mark.parametrize(
    ("packed", "name", "data_type", "sent"),
    [
        (True, "a.fit", None, ("a.fit.gz", "fit.gz")),
        (True, "a.fit", "fit", ("a.fit.gz", "fit.gz")),
        (True, "a.fit.gz", "fit", ("a.fit.gz", "fit.gz")),
        (True, None, "tcx", ("upload.tcx.gz", "tcx.gz")),
        (False, "a.gpx.GZ", None, ("a.gpx", "gpx")),
        (False, "a.gpx", "gpx.gz", ("a.gpx", "gpx")),
        (False, None, "fit.gz", ("upload.fit", "fit")),
        (True, "a.json", None, ("a.json", "json")),
    ],
)
async def test_what_it_holds_decides_whether_it_is_called_packed(
    packed: bool, name: str | None, data_type: str | None, sent: tuple[str, str]
) -> None:
    content = gzip.compress(CONTENT) if packed else CONTENT
    assert await made(content, filename=name, data_type=data_type) == FileToSend(content, *sent)


@pytest.mark.parametrize("name", ["/home/me/a.fit", "../a.fit", "b/a.fit/"])
async def test_of_a_name_the_last_component_is_sent(name: str) -> None:
    assert (await made(CONTENT, filename=name)).filename == "a.fit"


async def test_what_is_said_outright_wins_over_the_name(path: Path) -> None:
    assert (await made(path, data_type="TCX")).data_type == "tcx"
    assert await made(path, filename="x.fit") == FileToSend(CONTENT, "x.fit", "fit")


@pytest.mark.parametrize("name", ["a.exe", "fit", "a.gz", "a.fit.zip", "a.fit "])
async def test_a_name_that_does_not_tell_the_type_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="does not follow from the name"):
        await made(CONTENT, filename=name)


async def test_strava_takes_no_packed_json() -> None:
    wrong: list[dict[str, Any]] = [
        {"filename": "a.json.gz"},
        {"filename": "a.json", "gzip": True},
        {"data_type": "json.gz"},
    ]
    for arguments in wrong:
        with pytest.raises(InputError, match=r"json\.gz"):
            await made(b"{}", **arguments)


async def test_a_type_that_strava_has_not_is_refused_with_the_way_round_it() -> None:
    with pytest.raises(InputError, match=r"not 'zwo'\. client\.api\.post"):
        await made(CONTENT, data_type="zwo")


@pytest.mark.parametrize("name", ["ride.gpx", "ride.gpx.gz"])
async def test_packing_declares_itself_and_holds_the_same(name: str) -> None:
    file = await made(CONTENT, filename=name, gzip=True)
    assert (file.filename, file.data_type) == ("ride.gpx.gz", "gpx.gz")
    assert gzip.decompress(file.content) == CONTENT


@pytest.mark.parametrize("name", ["ride.fit", "ride.fit.gz"])
async def test_what_is_packed_is_not_packed_twice(name: str) -> None:
    packed = gzip.compress(CONTENT)
    assert await made(packed, filename=name, gzip=True) == FileToSend(packed, "ride.fit.gz", "fit.gz")


async def test_a_packed_file_holds_no_time_so_that_it_is_the_same_each_time() -> None:
    assert (await made(CONTENT, filename="a.fit", gzip=True)).content[4:8] == bytes(4)


async def test_a_missing_file_or_a_directory_is_the_callers_mistake(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing was sent: No such file") as caught:
        await made(tmp_path / "none.fit")
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    (tmp_path / "dir.fit").mkdir()
    with pytest.raises(InputError, match="directory"):
        await made(tmp_path / "dir.fit")
    with pytest.raises(InputError, match="cannot be read"):
        await made("\0.fit")


async def test_a_file_that_has_become_empty_is_refused(path: Path) -> None:
    await anyio.Path(path).write_bytes(b"")
    for source in (path, b"", BytesIO()):
        with pytest.raises(InputError, match="empty"):
            await made(source, data_type="gpx")


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), OSError(), ValueError("t0ken"), RuntimeError("x")])
async def test_a_stream_that_breaks_off_is_reported_with_its_cause(error: Exception) -> None:
    for source in (Fragile(error), Fragile(error).pieces()):
        with pytest.raises(InputError, match="the file cannot be read, nothing was sent") as caught:
            await made(source, data_type="fit")
        assert caught.value.__cause__ is error
        assert "t0ken" not in str(caught.value)


async def test_text_is_no_file_to_upload(path: Path) -> None:
    async def texts() -> AsyncIterator[Any]:
        yield "<gpx>"

    with path.open(encoding="latin-1") as opened:
        for source in (opened, StringIO("<gpx>"), texts()):
            with pytest.raises(InputError, match="str instead of bytes: open it in binary mode"):
                await made(source, data_type="gpx")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such paths")
@pytest.mark.parametrize("kind", ["pipe", "device"])
async def test_a_path_that_is_no_regular_file_is_refused_before_it_is_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "ride.fit" if kind == "pipe" else Path("/dev/zero")
    if kind == "pipe":
        os.mkfifo(path)
    with anyio.fail_after(30), pytest.raises(InputError, match="open it yourself"):
        await made(path, data_type="fit")


async def test_a_file_beyond_all_measure_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "ride.fit"
    with path.open("wb") as written:
        written.truncate(1 << 42)  # without a byte on the disk; there is no memory to read it into
    with pytest.raises(InputError, match="larger than 512 MB"):
        await made(path)


LIMIT = 3 << 20


async def refused(source: Any) -> None:
    with pytest.raises(InputError, match="larger than 3 MB: Strava accepts 25 MB"):
        await file_to_send(source, data_type="fit", filename=None, gzip=False, limit_bytes=LIMIT)


class Endless:
    """A file that gives as much as is asked for, or so much at a time, for ever; and counts."""

    def __init__(self, at_a_time: int | None = None) -> None:
        self.at_a_time = at_a_time
        self.given = 0

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            raise MemoryError("all of it")
        portion = bytes(self.at_a_time or size)
        self.given += len(portion)
        return portion


class AsyncEndless(Endless):
    """The same, to be awaited."""

    async def read(self, size: int = -1) -> bytes:
        return super().read(size)


@pytest.mark.parametrize("kind", [Endless, AsyncEndless])
async def test_of_a_file_without_end_one_byte_more_than_the_limit_is_read(kind: type[Endless]) -> None:
    source = kind()
    await refused(source)
    assert source.given == LIMIT + 1


async def test_a_file_that_gives_little_or_more_than_asked_is_refused_all_the_same() -> None:
    for at_a_time in (4_001, 2 << 20):
        source = Endless(at_a_time)
        await refused(source)
        assert LIMIT < source.given <= LIMIT + at_a_time


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such device")
async def test_a_device_without_end_is_refused() -> None:
    with FileIO("/dev/zero") as plain, BufferedReader(plain) as buffered:
        await refused(plain)
        await refused(buffered)
    async with await anyio.open_file("/dev/zero", "rb") as wrapped:
        await refused(wrapped)


async def test_an_iterable_without_end_is_refused_and_closed() -> None:
    closed: list[bool] = []

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(1 << 20)
        finally:
            closed.append(True)

    await refused(endless())
    assert closed == [True]


async def test_an_iterable_that_gives_nothing_for_ever_stops_nobody() -> None:
    async def empty() -> AsyncIterator[bytes]:
        while True:
            yield b""

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(made, empty(), data_type="fit"))
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()


async def test_what_is_as_large_as_it_may_be_is_taken() -> None:
    content = bytes(LIMIT)
    for source in (content, bytearray(content), BytesIO(content), Promising(content)):
        sent = await file_to_send(source, data_type="fit", filename=None, gzip=False, limit_bytes=LIMIT)
        assert sent.content == content
    for source in (content + b"x", BytesIO(content + b"x")):
        await refused(source)


@pytest.mark.skipif(sys.platform != "linux", reason="there is no such file system")
async def test_a_file_that_is_larger_than_it_says_is_read_to_its_end() -> None:
    assert os.stat("/proc/self/status").st_size == 0
    sent = await made("/proc/self/status", data_type="tcx")
    assert sent.content.startswith(b"Name:")
    assert sent.content.endswith(b"\n")


async def test_a_file_that_reads_nothing_at_the_moment_is_the_callers_mistake() -> None:
    receiving, sending = os.pipe()
    os.set_blocking(receiving, False)
    nothing = pytest.raises(InputError, match="returned None")
    with FileIO(receiving) as opened, FileIO(sending, "w"), nothing:
        await made(opened, data_type="fit")


async def test_a_pipe_is_read_until_it_is_closed() -> None:
    receiving, sending = os.pipe()
    with FileIO(receiving) as opened:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(anyio.to_thread.run_sync, written_and_closed, sending))
            assert (await made(opened, data_type="fit")).content == CONTENT * 2


def written_and_closed(sending: int) -> None:
    with FileIO(sending, "w") as file:
        file.write(CONTENT)
        file.write(CONTENT)


async def test_a_read_without_a_size_gives_all_and_is_asked_once() -> None:
    class Whole:
        def read(self) -> bytes:
            return CONTENT

    assert (await made(Whole(), data_type="fit")).content == CONTENT


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such paths")
async def test_a_socket_is_no_file(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s.fit"))
        with pytest.raises(InputError, match="not a regular file"):
            await made(tmp_path / "s.fit")


async def cancelled_reads(source: Any, count: int, begun: threading.Semaphore) -> None:
    """Have so many reads begin, and cancel them."""
    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(partial(made, source, data_type="fit"))
        while count:
            count -= begun.acquire(blocking=False)
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()


class Stuck:
    """A file whose bytes come late."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()

    def read(self) -> bytes:
        self.begun.release()
        self.go_on.wait(30)
        return b""


async def test_a_read_that_is_stuck_can_be_cancelled() -> None:
    stuck = Stuck()
    await cancelled_reads(stuck, 1, stuck.begun)
    assert not stuck.go_on.is_set()
    stuck.go_on.set()


async def test_reads_that_are_stuck_leave_threads_to_others() -> None:
    stuck = Stuck()
    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(partial(made, stuck, data_type="fit"))
        for _ in range(READING_THREADS):
            while not stuck.begun.acquire(blocking=False):
                await anyio.lowlevel.checkpoint()
        assert anyio.to_thread.current_default_thread_limiter().borrowed_tokens == 0
        tasks.cancel_scope.cancel()
    stuck.go_on.set()


@pytest.mark.parametrize("where", ["alone", "in pieces"])
async def test_memory_that_cannot_be_sent_is_the_callers_mistake(where: str) -> None:
    async def one(view: memoryview) -> AsyncIterator[Any]:
        yield view

    released = memoryview(CONTENT)
    released.release()
    for view in (memoryview(CONTENT)[::2], released):
        with pytest.raises(InputError, match="cannot be read"):
            await made(view if where == "alone" else one(view), data_type="fit")


async def test_what_is_no_text_names_nothing() -> None:
    wrong: Any = 5
    with pytest.raises(InputError, match="not 5"):
        await made(CONTENT, data_type=wrong)
    with pytest.raises(InputError, match="filename must be a str"):
        await made(CONTENT, data_type="fit", filename=wrong)


@pytest.mark.parametrize("source", [None, 5, [b"x"], object()])
async def test_other_things_are_no_files(source: Any) -> None:
    with pytest.raises(InputError, match="a file must be a path, bytes"):
        await made(source, data_type="gpx")


@pytest.mark.skipif(sys.platform != "linux", reason="only there may a name be any bytes")
async def test_a_name_that_is_no_unicode_is_sent_as_well_as_can_be(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"ride\xff.fit")
    odd.write_bytes(CONTENT)
    assert (await made(odd)).filename == "ride?.fit"


@pytest.mark.parametrize("where", ["path", "file", "content", "pieces"])
async def test_neither_disk_nor_packing_stops_the_loop(path: Path, where: str) -> None:
    # Each takes a thread: there is a turn for others before it is done.
    turns: list[str] = []

    async def other() -> None:
        turns.append("other")

    with path.open("rb") as opened:
        source = {"path": path, "file": opened, "content": CONTENT, "pieces": pieces(500)}[where]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(other)
            await made(source, data_type="gpx", gzip=where == "content")
            turns.append("made")
    assert turns == ["other", "made"]


def outgoing(told: list[tuple[int, int]] | None, content: bytes = CONTENT) -> OutgoingFile:
    return OutgoingFile(content, None if told is None else lambda sent, total: told.append((sent, total)))


def drained(file: OutgoingFile, size: int = 1000) -> bytes:
    """Read as httpx does: from the start, until there is no more."""
    file.seek(0)
    return b"".join(iter(lambda: file.read(size), b""))


async def test_progress_counts_up_to_the_end_and_from_the_start_again() -> None:
    told: list[tuple[int, int]] = []
    file = outgoing(told, b"x" * 2500)
    assert drained(file) == drained(file) == b"x" * 2500
    assert told == [(0, 2500), (1000, 2500), (2000, 2500), (2500, 2500)] * 2


async def test_progress_that_fails_is_logged_once_and_the_upload_continues(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    def progress(sent: int, total: int) -> None:
        calls.append(sent)
        if sent:
            raise BrokenPipeError("no terminal")

    with caplog.at_level(logging.WARNING, "strava_async.uploads"):
        assert drained(OutgoingFile(b"x" * 2500, progress)) == b"x" * 2500
    assert calls == [0, 1000]
    assert [record.getMessage() for record in caplog.records] == [
        "progress failed; the upload continues, and progress is not called again"
    ]


async def test_an_async_progress_is_refused() -> None:
    async def report(sent: int, total: int) -> None: ...

    class Reporter:
        async def __call__(self, sent: int, total: int) -> None: ...

    for progress in (report, partial(report), Reporter()):
        with pytest.raises(InputError, match="plain function"):
            check_progress(progress)
    plain: list[Progress | None] = [None, print, lambda sent, total: None, max]
    for fine in plain:
        check_progress(fine)


async def test_a_progress_that_cannot_be_called_is_refused() -> None:
    progress: Any = "print"
    with pytest.raises(InputError, match="a function"):
        check_progress(progress)


async def test_the_outgoing_file_can_be_sent_again_and_another_stream_cannot() -> None:
    for content, replayable in ((outgoing(None), True), (BytesIO(CONTENT), False)):
        files = {"file": ("a.fit", content, "x/y")}
        assert api_call("POST", "/uploads", {}, api_url="https://x/api", files=files).replayable is replayable
