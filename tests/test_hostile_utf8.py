"""A hostile client's text: every class of bytes that is no UTF-8, wherever it is cut.

RFC 3629 section 4 says what UTF-8 is; RFC 6455 section 8.1 what becomes of anything else: 1007.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from server_process import ServerProcess
from support import BINARY, CLOSE, CONTINUATION, MIB, PONG, TEXT, Client, frame, text

# What shows by itself that it is no UTF-8.
BAD: dict[str, bytes] = {
    "a lone tail, the first": b"\x80",
    "a lone tail, the last": b"\xbf",
    "tails": b"\x80\xbf\x80\xbf",
    "a tail too many behind 2 bytes": b"\xc3\xa4\x80",
    "a tail too many behind 3 bytes": b"\xe2\x82\xac\x80",
    "a tail too many behind 4 bytes": b"\xf0\x9f\x98\x80\x80",
    "0xC0": b"\xc0",
    "0xC1": b"\xc1",
    "0xF5": b"\xf5",
    "0xF7": b"\xf7",
    "0xF8, five bytes": b"\xf8\x88\x80\x80\x80",
    "0xFC, six bytes": b"\xfc\x84\x80\x80\x80\x80",
    "0xFE": b"\xfe",
    "0xFF": b"\xff",
    "a NUL in two bytes": b"\xc0\x80",
    "a slash in two bytes": b"\xc0\xaf",
    "a DEL in two bytes": b"\xc1\xbf",
    "a slash in three bytes": b"\xe0\x80\xaf",
    "the last overlong of three bytes": b"\xe0\x9f\xbf",
    "a slash in four bytes": b"\xf0\x80\x80\xaf",
    "the last overlong of four bytes": b"\xf0\x8f\xbf\xbf",
    "the first high surrogate": b"\xed\xa0\x80",
    "the last high surrogate": b"\xed\xaf\xbf",
    "the first low surrogate": b"\xed\xb0\x80",
    "the last low surrogate": b"\xed\xbf\xbf",
    "a pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
    "the first beyond Unicode": b"\xf4\x90\x80\x80",
    "the last of four bytes": b"\xf7\xbf\xbf\xbf",
    "2 bytes broken by ASCII": b"\xc3a",
    "2 bytes broken by a lead": b"\xc3\xc3",
    "3 bytes broken at the second": b"\xe2a",
    "3 bytes broken at the third": b"\xe2\x82a",
    "3 bytes broken by a lead": b"\xe2\x82\xe2",
    "4 bytes broken at the second": b"\xf0a",
    "4 bytes broken at the third": b"\xf0\x9fa",
    "4 bytes broken at the fourth": b"\xf0\x9f\x98a",
    "4 bytes broken by a lead": b"\xf0\x9f\x98\xf0",
    "4 bytes broken by a NUL": b"\xf0\x9f\x98\x00",
    "UTF-16": "\ufeffh".encode("utf-16-be"),
    "Latin-1": "Grüße".encode("latin-1"),
}

# What is good until it ends.
CUT: dict[str, bytes] = {
    "1 of 2": b"\xc2",
    "1 of 2, the last lead": b"\xdf",
    "1 of 3": b"\xe0",
    "2 of 3": b"\xe0\xa0",
    "1 of 3, before the surrogates": b"\xed",
    "2 of 3, before the surrogates": b"\xed\x9f",
    "2 of 3, the last": b"\xef\xbf",
    "1 of 4": b"\xf0",
    "2 of 4": b"\xf0\x90",
    "3 of 4": b"\xf0\x90\x80",
    "1 of 4, the last": b"\xf4",
    "2 of 4, the last": b"\xf4\x8f",
    "3 of 4, the last": b"\xf4\x8f\xbf",
}

GOOD: dict[str, str] = {
    "the borders of 1 byte": "\0\x7f",
    "the borders of 2 bytes": "\u0080\u07ff",
    "the borders of 3 bytes": "\u0800\ud7ff\ue000\uffff",
    "the borders of 4 bytes": "\U00010000\U0010ffff",
    "characters that are none": "\ufffe\ufdd0\U0001fffe\U0010fffe",
    "a byte order mark": "\ufeff",
    "private use": "\ue000\U000f0000",
    "combining marks": "a" + "\u0301" * 50,
    "right to left": "\u202e\u200f\u2066",
    "line separators": "\u0085\u2028\u2029",
}

# What stands before: so that the bad bytes lie at every place of a vector of 16 or 32 bytes.
PREFIXES = [1, 15, 16, 31, 63, 127, 1000]


def fragments(data: bytes, cuts: list[int]) -> bytes:
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    last = len(pieces) - 1
    return b"".join(
        frame(CONTINUATION if i else TEXT, piece, fin=i == last) for i, piece in enumerate(pieces)
    )


def ways(payload: bytes) -> Iterator[list[bytes]]:
    """The segments of a text message: whole, in fragments cut at every byte, dribbled."""
    n = len(payload)
    data = frame(TEXT, payload)
    start = len(data) - n
    yield [data]
    for cut in range(n + 1):
        yield [fragments(payload, [cut])]
    yield [fragments(payload, list(range(n)))]
    for cut in range(start, len(data)):
        yield [data[:cut], data[cut:]]
    yield [data[i : i + 1] for i in range(len(data))]
    yield [frame(TEXT, payload, fin=False) + frame(PONG), frame(CONTINUATION)]


def expect_1007(client: Client, reason: str) -> None:
    assert client.expect_close() == (1007, reason)
    client.expect_end()


@pytest.mark.parametrize("name", BAD)
def test_text_that_is_bad(target: ServerProcess, name: str) -> None:
    for pieces in ways(BAD[name]):
        with target.open() as client:
            for piece in pieces:
                client.send_raw(piece)
            expect_1007(client, "the text is not UTF-8")


@pytest.mark.parametrize("name", CUT)
def test_text_that_is_cut_off(target: ServerProcess, name: str) -> None:
    for pieces in ways(CUT[name]):
        with target.open() as client:
            for piece in pieces:
                client.send_raw(piece)
            expect_1007(client, "the text ends inside a character")
    with target.open() as client:
        client.send_raw(frame(TEXT, CUT[name], fin=False), frame(CONTINUATION, "a", fin=False))
        expect_1007(client, "the text is not UTF-8")


@pytest.mark.parametrize("name", GOOD)
def test_text_that_is_good(target: ServerProcess, name: str) -> None:
    with target.open() as client:
        for pieces in ways(GOOD[name].encode()):
            for piece in pieces:
                client.send_raw(piece)
            assert client.receive() == GOOD[name]
        for size in PREFIXES:
            client.echo("x" * size + GOOD[name])
        assert client.close(1000, GOOD[name][:40]) == (1000, "")


@pytest.mark.parametrize("size", PREFIXES)
def test_where_the_bad_bytes_stand(target: ServerProcess, size: int) -> None:
    """At every place of a vector, among text that is good, with and without ASCII."""
    for before in (b"x" * size, "é".encode() * (size // 2) + b"x" * (size % 2)):
        for bad in BAD.values():
            with target.open() as client:
                client.send_raw(frame(TEXT, before + bad + b"z" * 50))
                expect_1007(client, "the text is not UTF-8")
        for cut in CUT.values():
            with target.open() as client:
                client.send_raw(frame(TEXT, before + cut))
                expect_1007(client, "the text ends inside a character")


@pytest.mark.parametrize("size", [16_383, 16_384, 16_385, 100_000])
def test_bad_bytes_in_a_large_message(target: ServerProcess, size: int) -> None:
    """Which is read straight into its object."""
    for bad in (*BAD.values(), *CUT.values()):
        data = frame(TEXT, b"x" * size + bad)
        with target.open() as client:
            client.send_raw(data[:20_000])
            client.send_raw(data[20_000:])
            assert client.expect_close()[0] == 1007
            client.expect_end()


def test_bad_bytes_at_the_end_of_the_largest_message(target: ServerProcess) -> None:
    for bad in (b"\xff", b"\xed\xa0\x80", b"\xf0\x9f\x98"):
        with target.open() as client:
            client.send_raw(frame(TEXT, b"x" * (MIB - len(bad)) + bad))
            assert client.expect_close()[0] == 1007
            client.expect_end()


@pytest.mark.parametrize("name", BAD)
def test_bad_bytes_are_seen_at_once(target: ServerProcess, name: str) -> None:
    """Not only at the end of the message, which never comes."""
    data = b"begun " + BAD[name]
    whole = frame(TEXT, data + b"x" * 1000)
    for begun in (frame(TEXT, data, fin=False), whole[:-1000]):
        with target.open() as client:
            client.send_raw(begun)
            expect_1007(client, "the text is not UTF-8")


def test_any_bytes_are_binary(target: ServerProcess) -> None:
    with target.open() as client:
        for data in (*BAD.values(), *CUT.values()):
            client.echo(data)


def test_binary_in_fragments_is_not_looked_at(target: ServerProcess) -> None:
    with target.open() as client:
        client.send_raw(frame(BINARY, b"\xff", fin=False), frame(CONTINUATION, b"\xfe"))
        assert client.receive() == b"\xff\xfe"
        client.echo("and text behind it is")
        client.send_raw(text("x"), frame(TEXT, b"\xff"))
        assert client.receive() == "x"
        expect_1007(client, "the text is not UTF-8")


@pytest.mark.parametrize("name", BAD | CUT)
def test_a_close_reason_that_is_bad(target: ServerProcess, name: str) -> None:
    for before in (b"", b"x" * 50, "é".encode() * 50):
        data = frame(CLOSE, b"\x03\xe8" + before + (BAD | CUT)[name])
        for cut in (len(data), len(data) - 1, 7):
            with target.open() as client:
                client.send_raw(data[:cut])
                client.send_raw(data[cut:])
                expect_1007(client, "the close reason is not UTF-8")
