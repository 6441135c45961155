"""Multipart bodies: their bytes, their length, and what cannot be sent."""

import email
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strava_async.errors import InputError
from strava_async.request.multipart import CHUNK_BYTES, Multipart

BOUNDARY = "b" * 32


def encoded(files: Any, **fields: str) -> bytes:
    body = Multipart(fields, files, BOUNDARY)
    content = b"".join(body.chunks())
    assert body.content_length in (None, len(content))
    return content


def parts(files: Any, **fields: str) -> list[tuple[dict[str, str], bytes]]:
    """Return what a parser of MIME makes of it: header fields and content of each part."""
    head = f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n".encode()
    message: Any = email.message_from_bytes(head + encoded(files, **fields))
    return [(dict(part.items()), part.get_payload(decode=True)) for part in message.get_payload()]


def test_fields_and_files_are_parts() -> None:
    assert encoded({"file": ("a.fit", b"123")}, data_type="fit") == (
        b"--" + BOUNDARY.encode() + b'\r\nContent-Disposition: form-data; name="data_type"\r\n\r\nfit\r\n'
        b"--" + BOUNDARY.encode() + b'\r\nContent-Disposition: form-data; name="file"; filename="a.fit"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n123\r\n"
        b"--" + BOUNDARY.encode() + b"--\r\n"
    )


@pytest.mark.parametrize(
    ("entry", "disposition", "media_type", "content"),
    [
        (b"1", 'form-data; name="f"; filename="upload"', "application/octet-stream", b"1"),
        ("é", 'form-data; name="f"; filename="upload"', "application/octet-stream", "é".encode()),
        (io.BytesIO(b"2"), 'form-data; name="f"; filename="upload"', "application/octet-stream", b"2"),
        ((None, "text"), 'form-data; name="f"', None, b"text"),
        (("a", b"3", "text/x"), 'form-data; name="f"; filename="a"', "text/x", b"3"),
        (("a", b"", None, {"content-type": "text/y"}), 'form-data; name="f"; filename="a"', "text/y", b""),
    ],
)
def test_a_file_takes_the_forms_that_httpx_knows(
    entry: Any, disposition: str, media_type: str | None, content: bytes
) -> None:
    ((fields, sent),) = parts({"f": entry})
    lowered = {name.lower(): value for name, value in fields.items()}
    assert (lowered["content-disposition"], lowered.get("content-type"), sent) == (disposition, media_type, content)
    assert parts([("f", entry)]) == parts({"f": entry})


def test_a_file_object_has_its_own_name_without_directories(tmp_path: Path) -> None:
    path = tmp_path / "ride.gpx"
    path.write_bytes(b"<gpx/>")
    with path.open("rb") as file:
        ((fields, sent),) = parts({"file": file})
    assert fields["Content-Disposition"].endswith('filename="ride.gpx"')
    assert sent == b"<gpx/>"


def test_names_are_quoted_as_browsers_do() -> None:
    body = encoded({'a"\r\n': ('é"\r\nX: y\\', b"")})
    assert 'name="a%22%0D%0A"; filename="é%22%0D%0AX: y\\"'.encode() in body


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.binary(max_size=300))
def test_no_name_makes_a_header_field_of_its_own(name: str, content: bytes) -> None:
    head, _, rest = encoded({name: (name, content)}).partition(b"\r\n\r\n")
    assert head.count(b"\r\n") == 2
    assert rest.startswith(content + b"\r\n--")


class Stream(io.RawIOBase):
    """What can be read once, as a pipe."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._content.readinto(buffer)


def test_the_length_of_a_pipe_is_not_known() -> None:
    body = Multipart({}, {"file": Stream(b"x" * 200_000)}, BOUNDARY)
    assert body.content_length is None
    assert b"x" * 200_000 in b"".join(body.chunks())


def test_files_are_read_piece_by_piece_and_from_their_beginning() -> None:
    sizes: list[int | None] = []

    class File(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            sizes.append(size)
            return super().read(size)

    file = File(b"x" * 150_000)
    file.read()
    body = Multipart({}, {"file": file}, BOUNDARY)
    for _ in range(2):
        sizes.clear()
        assert sum(map(len, body.chunks())) == body.content_length
        # Once more at the end: what counts the bytes learns that all were taken.
        assert sizes == [CHUNK_BYTES, CHUNK_BYTES, 150_000 - 2 * CHUNK_BYTES, CHUNK_BYTES]


def test_of_a_file_that_grows_no_more_is_sent_than_it_had(tmp_path: Path) -> None:
    path = tmp_path / "grows"
    path.write_bytes(b"x" * 100)
    with path.open("rb") as file:
        body = Multipart({}, {"file": file}, BOUNDARY)
        path.write_bytes(b"y" * 1000)
        assert len(b"".join(body.chunks())) == body.content_length


def test_a_file_that_shrinks_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "shrinks"
    path.write_bytes(b"x" * 100)
    with path.open("rb") as file:
        body = Multipart({}, {"file": file}, BOUNDARY)
        path.write_bytes(b"y")
        with pytest.raises(InputError, match="ended 99 bytes before"):
            list(body.chunks())


def failing() -> Any:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError("the disk is gone")

    return Broken(b"x")


def textual() -> Any:
    class Text(io.BytesIO):
        def read(self, size: int | None = -1, /) -> Any:
            return "text"

    return Text(b"x")


def closed() -> Any:
    file = io.BytesIO(b"x")
    file.close()
    return file


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: 7, "bytes, text, or a file"),
        (lambda: io.StringIO("x"), "bytes, text, or a file"),
        (lambda: ("a",), "tuple of 2 to 4"),
        (lambda: ("a", b"", "t", {}, 5), "tuple of 2 to 4"),
        (lambda: ("a", b"", "t", {"X": "a\r\nY: b"}), "line break"),
        (lambda: ("a", b"", "t/x\r\nY: b"), "line break"),
        (lambda: ("a", b"", "t", "X: b"), "no mapping"),
        (closed, "is closed"),
        (lambda: ("\ud800", b""), "surrogate"),
        (lambda: "\ud800", "surrogate"),
        (failing, "the disk is gone"),
        (textual, "gives str"),
    ],
)
def test_what_is_no_file_is_bad_input(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        encoded({"file": make()})


@pytest.mark.parametrize(
    "files", ["abc", b"abc", 5, [("a",)], [b"ab"], {1: b"x"}, [(None, b"x")], io.BytesIO(b"line\n"), {b"f": b"x"}]
)
def test_what_is_given_without_a_name_is_bad_input(files: Any) -> None:
    with pytest.raises(InputError, match=r"^files are "):
        encoded(files)


class Endless(Stream):
    """Zeros, as many as are asked for, as from a device."""

    def __init__(self) -> None:
        super().__init__(b"")
        self.given = 0

    def readinto(self, buffer: Any) -> int:
        self.given += len(buffer)
        return len(buffer)


def test_a_file_without_an_end_is_refused() -> None:
    file = Endless()
    body = Multipart({}, {"file": file}, BOUNDARY, limit_bytes=10 * CHUNK_BYTES)
    with pytest.raises(InputError, match="'file' is larger than 0 MB"):
        for _ in body.chunks():
            pass
    assert file.given == 11 * CHUNK_BYTES


def test_a_file_that_is_too_large_is_reported_before_it_is_read() -> None:
    assert encoded({"file": b"x" * 9})
    with pytest.raises(InputError, match="larger than"):
        Multipart({}, {"file": io.BytesIO(b"x" * 10)}, BOUNDARY, limit_bytes=9)
