"""A hostile client's frames: every shape that may not be, and those at its edge that may.

A row says what is sent behind the handshake and what comes back: frames, and a close code if the
server then ends the stream; without one the connection is still good.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator

import pytest
from server_process import ServerProcess, serve
from support import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MIB,
    PING,
    PONG,
    TEXT,
    Client,
    Frame,
    binary,
    close_frame,
    frame,
    mask_bytes,
    text,
)

from wspy.options import Strategy

# The frames of the answer, or its close code, or both: then the code is the last item.
Answer = int | tuple[Frame | int, ...]
Cases = dict[str, tuple[Answer, bytes]]

OPCODES = {
    "continuation": CONTINUATION,
    "text": TEXT,
    "binary": BINARY,
    "close": CLOSE,
    "ping": PING,
    "pong": PONG,
}
CONTROLS = {"close": CLOSE, "ping": PING, "pong": PONG}
RESERVED = (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)

KEY = b"\x11\x22\x33\x44"
NOTHING: Answer = ()
# The beginning of a message, for what may stand inside one only.
BEGUN = frame(TEXT, "a", fin=False)


def said(*messages: str | bytes) -> tuple[Frame, ...]:
    """The echoes."""
    return tuple(
        Frame(TEXT, m.encode()) if isinstance(m, str) else Frame(BINARY, m) for m in messages
    )


def payload_of(opcode: int) -> bytes:
    return b"\x03\xe8" if opcode == CLOSE else b"x"


def raw(first: int, second: int, *rest: bytes) -> bytes:
    """A frame whose header is written by hand."""
    return bytes([first, second]) + b"".join(rest)


def length16(opcode: int, size: int, *, mask: bool = True) -> bytes:
    """The header of a frame with a length of two bytes, minimal or not."""
    return raw(0x80 | opcode, 0x80 * mask | 126, struct.pack("!H", size), KEY * mask)


def length64(opcode: int, size: int, *, mask: bool = True, fin: bool = True) -> bytes:
    return raw(0x80 * fin | opcode, 0x80 * mask | 127, struct.pack("!Q", size), KEY * mask)


def reserved_bits() -> Iterator[tuple[str, tuple[Answer, bytes]]]:
    for name, opcode in OPCODES.items():
        for rsv in range(1, 8):
            begun = BEGUN if opcode == CONTINUATION else b""
            data = frame(opcode, payload_of(opcode), rsv=rsv)
            yield f"RSV {rsv:03b} of a {name}", (1002, begun + data)
    yield "RSV of an empty frame", (1002, frame(TEXT, rsv=4))
    yield "RSV of a fragment", (1002, frame(TEXT, "x", rsv=4, fin=False))
    yield "RSV inside a message", (1002, BEGUN + frame(PING, "x", rsv=4))


def opcodes() -> Iterator[tuple[str, tuple[Answer, bytes]]]:
    for opcode in RESERVED:
        yield f"opcode {opcode}", (1002, frame(opcode, "x"))
        yield f"opcode {opcode}, empty", (1002, frame(opcode))
        yield f"opcode {opcode}, not final", (1002, frame(opcode, "x", fin=False))
        yield f"opcode {opcode} inside a message", (1002, BEGUN + frame(opcode, "x"))


def masks() -> Iterator[tuple[str, tuple[Answer, bytes]]]:
    for name, opcode in OPCODES.items():
        begun = BEGUN if opcode == CONTINUATION else b""
        plain = frame(opcode, payload_of(opcode), mask=None)
        yield f"a {name} that is not masked", (1002, begun + plain)
        yield f"an empty {name} that is not masked", (1002, begun + frame(opcode, mask=None))
    yield "300 bytes that are not masked", (1002, frame(BINARY, bytes(300), mask=None))
    yield "64 bits of length that are not masked", (1002, length64(BINARY, 70_000, mask=False))
    yield "a second frame that is not masked", (1002, BEGUN + frame(CONTINUATION, "b", mask=None))
    for key in (bytes(4), b"\xff" * 4, b"\0\0\0\1", b"abcd"):
        data = raw(0x81, 0x85, key, mask_bytes(b"hello", key) if any(key) else b"hello")
        yield f"the key {key.hex()}", (said("hello"), data)


def lengths() -> Iterator[tuple[str, tuple[Answer, bytes]]]:
    """In 16 bits, in 64 bits, minimal or not, around every power of two that an int may end at."""
    for opcode, name in ((TEXT, "text"), (BINARY, "binary")):
        for size in (0, 1, 125):
            data = length16(opcode, size) + mask_bytes(b"x" * size, KEY)
            yield f"{size} bytes of {name} in 16 bits", (1002, data)
        for size in (0, 1, 125, 126, 32_767, 65_535):
            data = length64(opcode, size)
            yield f"{size} bytes of {name} in 64 bits", (1002, data)
        for size in (0, 125, 126, 127, 128, 255, 256, 32_767, 32_768, 65_535, 65_536):
            message: str | bytes = "x" * size if opcode == TEXT else b"x" * size
            data = frame(opcode, b"x" * size)
            yield f"{size} bytes of {name}", (said(message), data)
    for size, name in LENGTHS.items():
        code = 1002 if size >= 2**63 else 1009
        yield f"{name} bytes", (code, length64(BINARY, size))
        yield f"{name} bytes of text", (code, length64(TEXT, size))
        yield f"{name} bytes in a fragment", (code, length64(BINARY, size, fin=False))
        yield f"{name} bytes behind a fragment", (code, BEGUN + length64(CONTINUATION, size))


# What reads one of these as a smaller or a negative number takes the frame.
LENGTHS = {
    MIB + 1: "2**20 + 1",
    2**24: "2**24",
    2**31 - 1: "2**31 - 1",
    2**31: "2**31",
    2**31 + 5: "2**31 + 5",
    2**32 - 1: "2**32 - 1",
    2**32: "2**32",
    2**32 + 5: "2**32 + 5",
    2**40: "2**40",
    2**48 + 5: "2**48 + 5",
    2**62: "2**62",
    2**63 - 15: "2**63 - 15",
    2**63 - 1: "2**63 - 1",
    2**63: "2**63",
    2**63 + 5: "2**63 + 5",
    2**64 - 14: "2**64 - 14",
    2**64 - 1: "2**64 - 1",
}


def sums() -> Iterator[tuple[str, tuple[Answer, bytes]]]:
    """The bound is that of the message, all fragments together."""
    half = bytes(MIB // 2)
    first = frame(BINARY, half, fin=False)
    yield "two halves of the largest message", (said(half * 2), first + frame(CONTINUATION, half))
    for size in (MIB // 2 + 1, 2**32 - MIB // 2, 2**63 - MIB // 2):
        yield f"half a MiB and {size}", (1009, first + frame(CONTINUATION, announce=size))
    yield (
        "half a MiB and as much as makes the sum 0",
        (1002, first + length64(CONTINUATION, 2**64 - MIB // 2)),
    )
    yield (
        "the largest message and one byte in a third fragment",
        (1009, first + frame(CONTINUATION, half, fin=False) + frame(CONTINUATION, "x")),
    )
    yield (
        "the largest message and nothing in a third fragment",
        (said(half * 2), first + frame(CONTINUATION, half, fin=False) + frame(CONTINUATION)),
    )


# What the longest control frames are answered with, alone and inside a message.
LONGEST: dict[int, tuple[Answer, Answer]] = {
    CLOSE: (1000, 1000),
    PING: ((Frame(PONG, b"x" * 125),), (Frame(PONG, b"x" * 125), *said("ab"))),
    PONG: (NOTHING, said("ab")),
}


def controls() -> Iterator[tuple[str, tuple[Answer, bytes]]]:
    """RFC 6455 section 5.5: at most 125 bytes, in one frame."""
    for name, opcode in CONTROLS.items():
        start = b"\x03\xe8" if opcode == CLOSE else b""
        longest = frame(opcode, start + b"x" * (125 - len(start)))
        alone, inside = LONGEST[opcode]
        yield f"a {name} of 125 bytes", (alone, longest)
        yield (
            f"a {name} of 125 bytes inside a message",
            (inside, BEGUN + longest + frame(CONTINUATION, "b")),
        )
        for size in (126, 127, 1000, 65_535):
            yield f"a {name} of {size} bytes", (1002, frame(opcode, start + bytes(size)))
        yield f"a {name} of 65536 bytes", (1002, frame(opcode, bytes(65_536)))
        yield f"a {name} of 2**63 - 1 bytes", (1002, frame(opcode, announce=2**63 - 1))
        yield f"a {name} of 2**64 - 1 bytes", (1002, length64(opcode, 2**64 - 1))
        yield f"a {name} of 5 bytes in 16 bits", (1002, length16(opcode, 5) + bytes(5))
        yield f"a {name} of 5 bytes in 64 bits", (1002, length64(opcode, 5) + bytes(5))
        yield f"a {name} that is not final", (1002, frame(opcode, start, fin=False))
        yield (
            f"a {name} in two frames",
            (1002, frame(opcode, start, fin=False) + frame(CONTINUATION, "x")),
        )
        yield (
            f"a {name} inside a message that is not final",
            (1002, BEGUN + frame(opcode, start, fin=False)),
        )
    yield "an empty ping", ((Frame(PONG, b""),), frame(PING))
    yield "a ping of zeros", ((Frame(PONG, bytes(125)),), frame(PING, bytes(125)))
    yield "a ping that is no UTF-8", ((Frame(PONG, b"\xff\xfe"),), frame(PING, b"\xff\xfe"))
    yield "a pong that nobody asked for", (NOTHING, frame(PONG, "x") * 20)


def message_of(*parts: str, opcode: int = TEXT) -> bytes:
    """A message in fragments."""
    last = len(parts) - 1
    return b"".join(
        frame(CONTINUATION if i else opcode, part, fin=i == last) for i, part in enumerate(parts)
    )


INTERLEAVED: Cases = {
    "a continuation of nothing": (1002, frame(CONTINUATION, "x")),
    "a continuation of nothing, not final": (1002, frame(CONTINUATION, "x", fin=False)),
    "an empty continuation of nothing": (1002, frame(CONTINUATION)),
    "a continuation behind a whole message":
        ((*said("a"), 1002), text("a") + frame(CONTINUATION, "b")),
    "a continuation behind the last fragment":
        ((*said("ab"), 1002), BEGUN + frame(CONTINUATION, "b") * 2),
    "text inside a message": (1002, BEGUN + text("b")),
    "empty text inside a message": (1002, BEGUN + text("")),
    "binary inside text": (1002, BEGUN + binary(b"b")),
    "text inside binary": (1002, frame(BINARY, "a", fin=False) + text("b")),
    "a second first fragment": (1002, BEGUN * 2),
    "a second message behind two fragments":
        (1002, BEGUN + frame(CONTINUATION, "b", fin=False) + text("c")),
    "a continuation behind a pong": (1002, frame(PONG, "x") + frame(CONTINUATION, "b")),
    "two messages in fragments":
        (said("ab", b"cd"), message_of("a", "b") + message_of("c", "d", opcode=BINARY)),
    "empty fragments": (said("ab"), message_of("", "a", "", "", "b", "")),
    "nothing but empty fragments": (said(b""), message_of("", "", "", opcode=BINARY)),
    "five hundred fragments": (said("x" * 500), message_of(*"x" * 500)),
    "a ping inside a message":
        ((Frame(PONG, b"p"), Frame(TEXT, b"ab")), BEGUN + frame(PING, "p") + frame(CONTINUATION, "b")),
    "pongs between all fragments":
        (said("a" + "b" * 20), BEGUN + (frame(PONG) + frame(CONTINUATION, "b", fin=False)) * 20
         + frame(CONTINUATION)),
    "a close inside a message": (1000, BEGUN + close_frame(1000)),
    "an empty close inside a message": (1005, BEGUN + close_frame(None)),
    "a close inside a message, and its rest":
        (1000, BEGUN + close_frame(1000) + frame(CONTINUATION, "b")),
    "an empty text": (said(""), text("")),
    "an empty binary": (said(b""), binary(b"")),
    "empty messages": (said("", b"", ""), text("") + binary(b"") + text("")),
    "HTTP": (1002, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "zeros": (1002, bytes(20)),
    "0xff": (1002, b"\xff" * 20),
    "a server's frame": (1002, b"\x81\x05hello"),
    "a server's empty close": (1002, b"\x88\x00"),
}  # fmt: skip

TABLES: tuple[Cases, ...] = (
    dict(reserved_bits()),
    dict(opcodes()),
    dict(masks()),
    dict(lengths()),
    dict(sums()),
    dict(controls()),
    INTERLEAVED,
)
CASES = {name: case for table in TABLES for name, case in table.items()}


def test_every_case_has_a_name_of_its_own() -> None:
    assert len(CASES) == sum(map(len, TABLES))


# -- each row, in pieces --


def check_answer(client: Client, answer: Answer) -> None:
    items = (answer,) if isinstance(answer, int) else answer
    frames = [item for item in items if isinstance(item, Frame)]
    codes = [item for item in items if isinstance(item, int)]
    # A pong goes at the next frame boundary, before or behind the echoes.
    got = [client.read_frame() for _ in frames]
    for is_pong in (False, True):
        kind = [f for f in frames if (f.opcode == PONG) == is_pong]
        assert [f for f in got if (f.opcode == PONG) == is_pong] == kind
    if not codes:
        client.echo("still good")
        assert client.close(4321) == (4321, "")
        return
    code, reason = client.expect_close()
    assert code == (None if codes[0] == 1005 else codes[0])
    assert (reason != "") == (codes[0] in (1002, 1007, 1009))
    client.expect_end()


@pytest.mark.parametrize("name", CASES)
def test_a_frame(target: ServerProcess, name: str) -> None:
    answer, data = CASES[name]
    with target.client() as client:  # in one segment with the handshake
        client.send_raw(client.request(), data)
        client.check_upgrade()
        check_answer(client, answer)
    with target.open() as client:
        client.send_raw(data)
        check_answer(client, answer)
    if len(data) < 300:
        with target.open() as client:
            for i in range(len(data)):
                client.send_raw(data[i : i + 1])
            check_answer(client, answer)


def test_nothing_behind_a_violation_is_read(target: ServerProcess) -> None:
    for behind in (text("two"), frame(PING, "x"), close_frame(1000), b"\xff" * 100_000):
        with target.open() as client:
            client.send_raw(text("one"), frame(3), behind)
            assert client.receive() == "one"
            assert client.expect_close()[0] == 1002
            client.expect_end()


# -- lengths, split at every byte --

SPLIT: dict[int, Answer] = {
    125: said(b"x" * 125),
    126: said(b"x" * 126),
    65_535: said(b"x" * 65_535),
    65_536: said(b"x" * 65_536),
    MIB + 1: 1009,
    2**31 - 1: 1009,
    2**31: 1009,
    2**32: 1009,
    2**63 - 1: 1009,
    2**63: 1002,
    2**64 - 1: 1002,
}


@pytest.mark.parametrize("size", SPLIT)
@pytest.mark.parametrize("behind", [False, True], ids=["alone", "behind a fragment"])
def test_a_length_split_at_every_byte(target: ServerProcess, size: int, behind: bool) -> None:
    answer = SPLIT[size]
    begun, opcode = (frame(BINARY, fin=False), CONTINUATION) if behind else (b"", BINARY)
    if isinstance(answer, int):
        data = begun + length64(opcode, size) + b"x" * 20
    else:
        data = begun + frame(opcode, b"x" * size)
    cuts = range(1, len(begun) + 16)  # the longest header has 14 bytes
    clients = [target.open() for _ in cuts]
    for cut, client in zip(cuts, clients, strict=True):
        client.send_raw(data[:cut])
    # The loop serves all that are ready before it waits again: it has read the first pieces.
    target.check_honest()
    for cut, client in zip(cuts, clients, strict=True):
        client.send_raw(data[cut:])
        check_answer(client, answer)
        client.socket.close()


# -- floods --

CONTROL_RATE = 100  # control_rate: so many a second, and so many at once
FLOODS = {
    "pings": frame(PING, bytes(125)),
    "pongs": frame(PONG, bytes(125)),
    "pings and pongs": frame(PING, bytes(125)) + frame(PONG),
    "pings inside a message": frame(PING),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_of_control_frames(target: ServerProcess, name: str) -> None:
    begun = BEGUN if "inside" in name else b""
    with target.open() as client, target.grows_less_than(512):
        client.send_raw(begun, FLOODS[name] * 20_000)
        assert client.read_close() == (1008, "too many control frames (control_rate)")
        client.expect_end()


def test_as_many_control_frames_as_may_be(target: ServerProcess) -> None:
    with target.open() as client:
        client.send_raw(*(frame(PING, str(i)) for i in range(CONTROL_RATE)))
        for i in range(CONTROL_RATE):
            assert client.read_frame() == Frame(PONG, b"%d" % i)
        client.echo("still good")


def test_a_flood_where_any_rate_may_be(strategy: Strategy) -> None:
    """Each ping is answered; if nobody reads the pongs, those that wait are bounded."""
    n = 50_000
    with serve(strategy, control_rate=None) as server:
        with server.open() as client, server.grows_less_than(2048):
            client.send_raw(*(frame(PING, str(i)) for i in range(n)))
            for i in range(n):
                assert client.read_frame() == Frame(PONG, b"%d" % i)
            client.echo("still good")
        with Client(server.url, receive_buffer=4096) as client, server.grows_less_than(2048):
            client.socket.setblocking(False)
            flood = memoryview(frame(PING, bytes(125)) * 2 * n)
            sent = still = 0
            while still < 20 and sent < len(flood):
                still += 1
                with contextlib.suppress(BlockingIOError):
                    sent += client.socket.send(flood[sent:])
                    still = 0
                server.check_honest()
            client.reset()


def test_a_flood_of_empty_messages(target: ServerProcess) -> None:
    n = 1000
    with target.open() as client:
        for _ in range(50):
            client.send_raw(text("") * n)
            assert client.read(2 * n) == b"\x81\x00" * n


def test_a_flood_of_messages_over_the_rate(strategy: Strategy) -> None:
    with serve(strategy, message_rate=100) as server:
        with server.open() as client:
            client.send_raw(text("x") * 20_000)
            assert client.read_close() == (1008, "too many messages (message_rate)")
            client.expect_end()
        server.check_honest()
