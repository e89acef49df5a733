"""A hostile client's farewells: close frames that may not be, half-closed streams, resets."""

from __future__ import annotations

import contextlib
import socket

import pytest
from server_process import ServerProcess
from support import CLOSE, CONTINUATION, PING, TEXT, close_frame, frame, text

# RFC 6455 section 7.4: those that are never on the wire, not used, or nobody's yet.
BAD_CODES = [
    0, 1, 100, 255, 256, 999,
    1004, 1005, 1006, 1015, 1016, 1017, 1100, 1999, 2000, 2998, 2999,
    5000, 5001, 9999, 32_767, 32_768, 59_395, 65_534, 65_535,
]  # fmt: skip
GOOD_CODES = [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999]

CUT_SHORT = "the close frame is cut short"
INVALID = "the close code is invalid"
TOO_LONG = "a control frame is longer than 125 bytes"
NO_UTF8 = "the close reason is not UTF-8"

# What a close frame holds, and the code and the reason that come back.
PAYLOADS: dict[str, tuple[tuple[int | None, str], bytes]] = {
    "nothing": ((None, ""), b""),
    "one byte": ((1002, CUT_SHORT), b"\x03"),
    "one zero": ((1002, CUT_SHORT), b"\0"),
    "the code in the wrong order": ((1002, INVALID), b"\xe8\x03"),
    "the code in text": ((1002, INVALID), b"1000"),
    "the code in four bytes": ((1002, INVALID), b"\0\0\x03\xe8"),
    "a bad code and a bad reason": ((1002, INVALID), b"\x03\xed\xff"),
    "a good code and a bad reason": ((1007, NO_UTF8), b"\x03\xe8\xff"),
    "a reason cut inside a character": ((1007, NO_UTF8), b"\x03\xe8" + "é".encode()[:1]),
    "a reason of 123 bytes": ((1000, ""), b"\x03\xe8" + b"x" * 123),
    "a reason of 123 bytes that is cut": ((1007, NO_UTF8), b"\x03\xe8" + b"x" * 122 + b"\xc3"),
    "a reason of 124 bytes": ((1002, TOO_LONG), b"\x03\xe8" + b"x" * 124),
    "a reason of 1000 bytes": ((1002, TOO_LONG), b"\x03\xe8" + b"x" * 1000),
    "a reason of NULs": ((1000, ""), b"\x03\xe8" + bytes(123)),
    "a reason with CR and LF": ((1000, ""), b"\x03\xe8\r\nHTTP/1.1 200 OK\r\n\r\n"),
    "a reason with escapes": ((1000, ""), b"\x03\xe8\x1b[2J\x1b]0;x\x07"),
    "a reason with surrogates": ((1007, NO_UTF8), b"\x03\xe8\xed\xa0\x80"),
}


def check_close(target: ServerProcess, data: bytes, answer: tuple[int | None, str]) -> None:
    """Whole, and one byte a segment."""
    for pieces in ([data], [data[i : i + 1] for i in range(len(data))]):
        with target.open() as client:
            client.send_raw(text("before"))
            for piece in pieces:
                client.send_raw(piece)
            assert client.receive() == "before"
            assert client.expect_close() == answer
            client.expect_end()


@pytest.mark.parametrize("code", BAD_CODES)
def test_a_code_that_may_not_be(target: ServerProcess, code: int) -> None:
    check_close(target, close_frame(code), (1002, INVALID))
    check_close(target, close_frame(code, "with a reason"), (1002, INVALID))


@pytest.mark.parametrize("code", GOOD_CODES)
def test_a_code_that_may_be(target: ServerProcess, code: int) -> None:
    check_close(target, close_frame(code), (code, ""))
    check_close(target, close_frame(code, "Grüße"), (code, ""))


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_payload(target: ServerProcess, name: str) -> None:
    answer, payload = PAYLOADS[name]
    check_close(target, frame(CLOSE, payload), answer)


# -- what comes behind a close --

BEHIND: dict[str, bytes] = {
    "a message": text("behind"),
    "a ping": frame(PING, "behind"),
    "another close": close_frame(1001),
    "a bad close": close_frame(1005),
    "the rest of a message": frame(CONTINUATION, "behind"),
    "a frame that may not be": frame(3, "x", mask=None),
    "a large message": text("x" * 1_000_000),
    "a request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "garbage": b"\xff" * 200_000,
}


@pytest.mark.parametrize("name", BEHIND)
@pytest.mark.parametrize("later", [False, True], ids=["in one piece", "in another"])
def test_data_behind_a_close(target: ServerProcess, name: str, later: bool) -> None:
    """It is read and thrown away: no answer, no violation, no reset over the close frame."""
    with target.open() as client:
        if later:
            client.send_raw(close_frame(1000))
            assert client.expect_close() == (1000, "")
            client.send_raw(BEHIND[name])
        else:
            client.send_raw(close_frame(1000), BEHIND[name])
            assert client.expect_close() == (1000, "")
        client.expect_end()
        client.shutdown()


@pytest.mark.parametrize("name", BEHIND)
def test_data_behind_the_servers_close(target: ServerProcess, name: str) -> None:
    with target.open() as client:
        client.send_raw(text("close yourself"))
        assert client.expect_close() == (4000, "asked to")
        client.send_raw(BEHIND[name])
        client.shutdown()
        client.expect_end()


ANSWERS: dict[str, bytes] = {
    "the same": close_frame(4000),
    "another": close_frame(1001, "bye"),
    "an empty one": close_frame(None),
    "a bad code": close_frame(1005),
    "one byte": frame(CLOSE, "x"),
    "one that is too long": frame(CLOSE, bytes(126)),
    "one that is not masked": frame(CLOSE, mask=None),
    "something else that may not be": frame(3),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_to_the_servers_close(target: ServerProcess, name: str) -> None:
    """Right or wrong, it ends it: no second close frame follows the first."""
    with target.open() as client:
        client.send_raw(text("close yourself"))
        assert client.expect_close() == (4000, "asked to")
        client.send_raw(ANSWERS[name])
        client.expect_end()


def test_both_close_at_once(target: ServerProcess) -> None:
    for data in (close_frame(3000, "me too"), close_frame(None), text("x") + close_frame(1001)):
        with target.open() as client:
            client.send_raw(text("close yourself"), data)
            assert client.expect_close() == (4000, "asked to")
            client.expect_end()


def test_messages_behind_the_servers_close_are_not_answered(target: ServerProcess) -> None:
    with target.open() as client:
        client.send_raw(text("close yourself"), text("one"), frame(PING, "two"), text("three"))
        assert client.expect_close() == (4000, "asked to")
        client.send_raw(text("four"), close_frame(1000))
        client.expect_end()


# -- half-closed --

# What is sent before the client's side of the stream ends, and all that comes back.
HALVES: dict[str, tuple[bytes, bytes]] = {
    "nothing": (b"", b""),
    "a message": (b"\x81\x05hello", text("hello")),
    "a ping": (b"\x8a\x02hi", frame(PING, "hi")),
    "half a header": (b"", text("hello")[:1]),
    "a header": (b"", text("hello")[:6]),
    "half a payload": (b"", text("hello")[:-1]),
    "half a message": (b"", frame(TEXT, "hello", fin=False)),
    "half of a large message": (b"", text("x" * 500_000)[:250_000]),
    "half a ping": (b"", frame(PING, "hello")[:-1]),
    "half a close": (b"", close_frame(1000)[:-1]),
    "a message and half a one": (b"\x81\x05hello", text("hello") + text("hello")[:-1]),
    "a close": (b"\x88\x02\x03\xe8", close_frame(1000, "bye")),
    "an empty close": (b"\x88\x00", close_frame(None)),
    "a message and a close": (b"\x81\x05hello\x88\x02\x03\xe8", text("hello") + close_frame()),
    "a violation": (b"\x88\x18\x03\xeathe opcode is reserved", frame(3)),
}  # fmt: skip


@pytest.mark.parametrize("name", HALVES)
def test_the_clients_side_ends_behind(target: ServerProcess, name: str) -> None:
    answer, data = HALVES[name]
    with target.open() as client:
        client.send_raw(data)
        client.shutdown()
        assert client.read_all() == answer


def test_the_clients_side_ends_after_the_servers_close(target: ServerProcess) -> None:
    with target.open() as client:
        client.send_raw(text("close yourself"))
        client.shutdown()
        assert client.expect_close() == (4000, "asked to")
        client.expect_end()


def test_a_client_that_does_not_read_any_more(target: ServerProcess) -> None:
    """It has shut its receiving side, and goes on sending."""
    with target.open() as client:
        client.socket.shutdown(socket.SHUT_RD)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(100):
                client.send_raw(text("x" * 10_000))
        target.check_honest()


# -- resets --


@pytest.mark.parametrize("name", HALVES)
def test_a_reset_behind(target: ServerProcess, name: str) -> None:
    for _ in range(5):
        client = target.open()
        client.send_raw(HALVES[name][1])
        client.reset()


def test_a_reset_over_an_answer(target: ServerProcess) -> None:
    for size in (1, 5000, 1_000_000):
        client = target.open()
        client.send_raw(text("x" * size))
        client.read(1)  # it is on its way
        client.reset()


def test_a_reset_over_the_servers_close(target: ServerProcess) -> None:
    for _ in range(20):
        client = target.open()
        client.send_raw(text("close yourself"))
        client.reset()


def test_a_reset_in_the_closing_handshake(target: ServerProcess) -> None:
    client = target.open()
    client.send_raw(text("close yourself"))
    assert client.expect_close() == (4000, "asked to")
    client.reset()
    client = target.open()
    client.send_raw(close_frame(1000))
    assert client.expect_close() == (1000, "")
    client.reset()
