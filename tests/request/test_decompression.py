"""Content codings are undone in steps, and never beyond a limit."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strava_async.request.decompression import (
    MAX_CODINGS,
    MAX_MEMBERS,
    PORTION_BYTES,
    STEP_BYTES,
    DecompressionError,
    TooLargeError,
    decompressed,
    decompressing,
    finished,
)

LIMIT = 4 << 20
PLAIN = b'{"id": 1}' * 100


def gzipped(plain: bytes) -> bytes:
    return gzip.compress(plain, mtime=0)


def raw(plain: bytes) -> bytes:
    return zlib.compress(plain)[2:-4]


def opened(packed: bytes, coding: str = "gzip", limit: int = LIMIT) -> bytes:
    return decompressed(packed, coding, limit)


def steps_of(packed: bytes, coding: str) -> int:
    """Return how many steps it takes, whatever they come to."""
    steps, count = decompressing(packed, coding, LIMIT), 1
    try:
        while True:
            next(steps)
            count += 1
    except (StopIteration, DecompressionError):
        return count


@pytest.mark.parametrize(
    ("packed", "coding"),
    [
        (PLAIN, ""),
        (PLAIN, " identity , "),
        (gzipped(PLAIN), "gzip"),
        (gzipped(PLAIN), "X-GZip"),
        (zlib.compress(PLAIN), "deflate"),
        (zlib.compress(PLAIN, 0), "deflate"),
        (raw(PLAIN), "Deflate"),
        (gzipped(raw(PLAIN)), "deflate, gzip"),
        (gzipped(gzipped(PLAIN)), "gzip,identity,gzip"),
        (gzipped(gzipped(gzipped(gzipped(PLAIN)))), ",".join(["gzip"] * MAX_CODINGS)),
    ],
    ids=range(10),
)
def test_a_coding_is_undone(packed: bytes, coding: str) -> None:
    assert opened(packed, coding) == PLAIN


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "gzip, br", "secret"])
def test_nothing_stays_nothing(coding: str) -> None:
    assert opened(b"", coding) == b""


@pytest.mark.parametrize("between", [b"", b"\0", b"\0" * 1000])
def test_all_members_of_a_gzip_count(between: bytes) -> None:
    parts = [PLAIN, b"", b"x" * 200_000, b"end"]
    assert opened(between.join(map(gzipped, parts))) == b"".join(parts)


@pytest.mark.parametrize("behind", [b"\0", b"\0" * (2 * PORTION_BYTES), b"\n", b"garbage", b"\x1f", b"\0\n\x1f\x8b"])
def test_what_stands_behind_the_members_is_left_out(behind: bytes) -> None:
    assert opened(gzipped(PLAIN) + behind) == PLAIN


@pytest.mark.parametrize(
    ("packed", "coding", "why"),
    [
        (gzipped(PLAIN)[:-1], "gzip", "truncated"),
        (gzipped(PLAIN)[:5], "gzip", "truncated"),
        (gzipped(PLAIN) + gzipped(PLAIN)[:-6], "gzip", "truncated"),
        (gzipped(PLAIN) + b"\x1f\x8b", "gzip", "truncated"),
        (gzipped(PLAIN) + b"\x1f\x8bgarbage", "gzip", "not gzip, or is damaged"),
        (gzipped(PLAIN)[:-8] + bytes(8), "gzip", "not gzip, or is damaged"),
        (PLAIN, "gzip", "not gzip, or is damaged"),
        (zlib.compress(PLAIN)[:-1], "deflate", "truncated"),
        (PLAIN, "deflate", "not deflate, or is damaged"),
        (b"\0", "deflate", "truncated"),
        (PLAIN, "br", "compressed with br"),
        (PLAIN, "s3kret", "compressed with an unknown coding"),
        (gzipped(PLAIN), "zstd, gzip", "compressed with zstd"),
        (PLAIN, ",".join(["gzip"] * (MAX_CODINGS + 1)), "compressed 5 times over"),
        (gzipped(b"") * (MAX_MEMBERS + 1), "gzip", "more than 4096 members"),
    ],
    ids=range(15),
)
def test_what_cannot_be_decompressed_is_explained_without_showing_it(packed: bytes, coding: str, why: str) -> None:
    with pytest.raises(DecompressionError, match=why) as caught:
        opened(packed, coding)
    assert "s3kret" not in str(caught.value)


def test_a_body_may_be_as_large_as_the_limit_and_no_larger() -> None:
    for pack, coding in ((gzipped, "gzip"), (zlib.compress, "deflate"), (raw, "deflate")):
        assert len(opened(pack(bytes(LIMIT)), coding)) == LIMIT
        with pytest.raises(TooLargeError):
            opened(pack(bytes(LIMIT + 1)), coding)


def test_members_share_one_limit() -> None:
    with pytest.raises(TooLargeError):
        opened(gzipped(bytes(LIMIT // 2)) * 3)


def test_codings_share_one_limit() -> None:
    inner = zlib.compress(bytes(LIMIT // 2), 0)
    assert len(opened(gzipped(inner), "deflate, gzip", LIMIT + 4096)) == LIMIT // 2
    with pytest.raises(TooLargeError):
        opened(gzipped(inner), "deflate, gzip", LIMIT - 4096)


BOMB = gzipped(bytes(32 << 20))


@pytest.mark.parametrize(
    ("bomb", "coding"),
    [(BOMB, "gzip"), (gzipped(BOMB), "gzip, gzip"), (gzipped(bytes(1 << 20)) * 64, "gzip")],
    ids=range(3),
)
def test_a_bomb_takes_no_more_memory_than_the_limit_and_some_steps(bomb: bytes, coding: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError):
            opened(bomb, coding)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < LIMIT * 9 // 8 + 4 * STEP_BYTES


@pytest.mark.parametrize(
    "pack",
    [
        lambda: (gzipped(bytes(LIMIT)), "gzip", 1),
        lambda: (gzip.compress(bytes(range(256)) * (LIMIT // 256), 0, mtime=0), "gzip", 1),
        lambda: (b"\0\0\0\xff\xff" * 600_000, "deflate", 1),  # blocks that hold nothing
        lambda: (gzipped(b"") * 2_000, "gzip", 2_000),
        lambda: (gzipped(b"x") + bytes(3 << 20), "gzip", 1),
    ],
    ids=range(5),
)
def test_the_steps_are_as_many_as_what_goes_in_and_comes_out_is_long(
    pack: Callable[[], tuple[bytes, str, int]],
) -> None:
    packed, coding, members = pack()
    assert steps_of(packed, coding) <= len(packed) // PORTION_BYTES + LIMIT // STEP_BYTES + members + 4


@given(
    parts=st.lists(st.binary(max_size=2_000), min_size=1, max_size=4),
    codings=st.lists(st.sampled_from(["gzip", "x-gzip", "deflate", "identity"]), max_size=MAX_CODINGS - 1),
)
def test_what_was_packed_is_unpacked(parts: list[bytes], codings: list[str]) -> None:
    body = b"".join(map(gzipped, parts))
    for coding in codings:
        if coding != "identity":
            body = zlib.compress(body) if coding == "deflate" else gzipped(body)
    assert opened(body, ", ".join(["gzip", *codings])) == b"".join(parts)


@given(
    body=st.one_of(
        st.binary(),
        st.tuples(st.binary(), st.integers(0, 60), st.binary()).map(
            lambda part: gzipped(part[0])[: part[1]] + part[2] + gzipped(part[0])[part[1] :]
        ),
    ),
    coding=st.one_of(
        st.text(),
        st.lists(st.sampled_from(["gzip", "deflate", "identity", "x-gzip", "br", ""]), max_size=6).map(",".join),
    ),
)
def test_any_body_is_decompressed_or_reported(body: bytes, coding: str) -> None:
    steps = decompressing(body, coding, 10_000)
    with suppress(DecompressionError):
        assert len(finished(steps)) <= max(10_000, len(body))
