"""Frames over a socket: in every division, in order, and those that may not be."""

from __future__ import annotations

import pytest
from conftest import Servers
from support import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Connect,
    Frame,
    Gate,
    Recorder,
    binary,
    close_frame,
    frame,
    get,
    mask_bytes,
    resident_kib,
    text,
    wait_until,
)

import wspy

SEQUENCE: list[tuple[bytes, str | bytes | None]] = [
    (text("hello"), "hello"),
    (frame(TEXT, "Grü", fin=False), None),
    (frame(PING, b"inside"), None),
    (frame(CONTINUATION, "ße 🎉"), "Grüße 🎉"),
    (binary(bytes(range(130))), bytes(range(130))),
    (text(""), ""),
    (frame(PONG, b"unasked"), None),
    (binary(b""), b""),
    (frame(BINARY, b"x", mask=b"\0\0\0\1"), b"x"),
]


def test_frames_split_at_every_byte(servers: Servers, connect: Connect) -> None:
    server = servers.run(on_message=lambda conn, message: conn.send(message))
    stream = b"".join(data for data, _ in SEQUENCE)
    expected = [message for _, message in SEQUENCE if message is not None]
    clients = [connect(server) for _ in range(1, len(stream))]
    for cut, client in enumerate(clients, 1):
        client.send_raw(stream[:cut])
    # An echo of somebody else: the server has read the first pieces.
    connect(server).echo("sync")
    for cut, client in enumerate(clients, 1):
        client.send_raw(stream[cut:])
    for client in clients:
        got: list[str | bytes] = []
        pings: list[bytes] = []
        while len(got) < len(expected) or not pings:
            opcode, payload, _ = client.read_frame()
            if opcode == PONG:
                pings.append(payload)
            else:
                got.append(payload.decode() if opcode == TEXT else payload)
        assert got == expected
        assert pings == [b"inside"]


def test_frames_one_byte_at_a_time(echo: wspy.Server, connect: Connect) -> None:
    client = connect(echo)
    for data, _ in SEQUENCE:
        for byte in data:
            client.send_raw(bytes([byte]))
    got = [client.read_frame() for _ in range(7)]
    assert [f.payload for f in got if f.opcode == PONG] == [b"inside"]
    expected = [m.encode() if isinstance(m, str) else m for _, m in SEQUENCE if m is not None]
    assert [f.payload for f in got if f.opcode != PONG] == expected


def test_many_messages_in_one_segment_stay_in_order(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    recorder = Recorder(server, echo=True)
    servers.start(server)
    client = connect(server)
    client.send_raw(*(text(str(i)) for i in range(2000)))
    assert [client.receive() for _ in range(2000)] == [str(i) for i in range(2000)]
    assert [get(recorder.messages) for _ in range(2000)] == [str(i) for i in range(2000)]


def test_two_answers_to_each_message_stay_in_order(servers: Servers, connect: Connect) -> None:
    def twice(conn: wspy.Connection, message: str | bytes) -> None:
        conn.send(message)
        conn.send(b"and " + message.encode() if isinstance(message, str) else message)

    server = servers.run(on_message=twice)
    client = connect(server)
    client.send_raw(*(text(str(i)) for i in range(500)))
    for i in range(500):
        assert client.receive() == str(i)
        assert client.receive() == b"and %d" % i


@pytest.mark.parametrize("size", [125, 126, 65535, 65536])
def test_the_shortest_length_is_written(echo: wspy.Server, connect: Connect, size: int) -> None:
    client = connect(echo)
    client.send(bytes(size))
    head = {125: b"\x82\x7d", 126: b"\x82\x7e\0\x7e", 65535: b"\x82\x7e\xff\xff"}
    want = head.get(size, b"\x82\x7f\0\0\0\0\0\1\0\0")
    assert client.read(len(want)) == want
    assert client.read(size) == bytes(size)


def test_masks_of_all_kinds(echo: wspy.Server, connect: Connect) -> None:
    client = connect(echo)
    for key in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\1\2\3\4", b"\x80\0\0\0"):
        for size in (0, 1, 2, 3, 5, 8, 31, 33, 1000, 20_000):
            payload = bytes(i * 7 & 0xFF for i in range(size))
            client.send_raw(frame(BINARY, payload, mask=key) if any(key) else zero_masked(payload))
            assert client.receive() == payload


def zero_masked(payload: bytes) -> bytes:
    data = bytearray(frame(BINARY, payload, mask=b"\1\1\1\1"))
    at = len(data) - len(payload)
    data[at - 4 : at] = bytes(4)
    data[at:] = mask_bytes(bytes(data[at:]), b"\1\1\1\1")
    return bytes(data)


# -- ping and pong --


def test_a_ping_is_answered(echo: wspy.Server, connect: Connect) -> None:
    client = connect(echo)
    for payload in (b"hello", b"", bytes(range(125))):
        client.send_raw(frame(PING, payload))
        assert client.read_frame() == Frame(PONG, payload)


def test_each_ping_is_answered(servers: Servers, connect: Connect) -> None:
    gate = Gate()

    def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        if message == "gate":
            gate.hold()
        conn.send(message)

    server = servers.run(on_message=on_message)
    holder, client = connect(server), connect(server)
    with gate.held(holder):
        client.send_raw(*(frame(PING, str(i)) for i in range(100)), text("behind"))
    frames = [client.read_frame() for _ in range(101)]
    frames.remove(Frame(TEXT, b"behind"))  # before or after any pong
    assert frames == [Frame(PONG, str(i).encode()) for i in range(100)]


def test_pongs_are_ignored(echo: wspy.Server, connect: Connect) -> None:
    client = connect(echo)
    client.send_raw(frame(PONG, b"x"), frame(PONG), text("hello"))
    assert client.receive() == "hello"


def test_a_ping_is_answered_by_a_server_without_handlers(
    servers: Servers, connect: Connect
) -> None:
    client = connect(servers.run())
    client.send_raw(frame(PING, b"x"), text("nobody reads this"))
    assert client.read_frame() == Frame(PONG, b"x")
    assert client.close() == (1000, "")


# -- violations --

BAD: dict[str, tuple[int, bytes]] = {
    "rsv1": (1002, frame(TEXT, "x", rsv=4)),
    "rsv2": (1002, frame(TEXT, "x", rsv=2)),
    "rsv3": (1002, frame(TEXT, "x", rsv=1)),
    "all rsv": (1002, frame(TEXT, "x", rsv=7)),
    "rsv of a control frame": (1002, frame(PING, "x", rsv=4)),
    "opcode 3": (1002, frame(3, "x")),
    "opcode 7": (1002, frame(7, "x")),
    "opcode 11": (1002, frame(11, "x")),
    "opcode 15": (1002, frame(15, "x")),
    "not masked": (1002, frame(TEXT, "x", mask=None)),
    "a close that is not masked": (1002, frame(CLOSE, b"\3\xe8", mask=None)),
    "a continuation of nothing": (1002, frame(CONTINUATION, "x")),
    "two first fragments": (1002, frame(TEXT, "x", fin=False) + frame(TEXT, "y")),
    "a fragmented ping": (1002, frame(PING, "x", fin=False)),
    "a ping of 126 bytes": (1002, frame(PING, bytes(126))),
    "a length that is not minimal": (1002, b"\x81\xfe\x00\x05" + bytes(9)),
    "a length of 64 bits that is not minimal": (1002, b"\x82\xff" + bytes(6) + b"\xff\xff" + bytes(4)),
    "a length with the top bit": (1002, b"\x82\xff\x80" + bytes(7) + bytes(4)),
    "a length of 64 bits, all set": (1002, b"\x82\xff" + b"\xff" * 8 + bytes(4)),
    "text that is no UTF-8": (1007, frame(TEXT, b"a\xffb")),
    "text with a surrogate": (1007, frame(TEXT, b"\xed\xa0\x80")),
    "text with an overlong form": (1007, frame(TEXT, b"\xc0\xaf")),
    "text beyond Unicode": (1007, frame(TEXT, b"\xf4\x90\x80\x80")),
    "text that ends inside a character": (1007, frame(TEXT, "é".encode()[:1])),
    "a fragment that is no UTF-8": (1007, frame(TEXT, b"ok\xff", fin=False)),
    "a close of one byte": (1002, frame(CLOSE, b"\x03")),
    "close code 0": (1002, close_frame(0)),
    "close code 999": (1002, close_frame(999)),
    "close code 1004": (1002, close_frame(1004)),
    "close code 1005": (1002, close_frame(1005)),
    "close code 1006": (1002, close_frame(1006)),
    "close code 1015": (1002, close_frame(1015)),
    "close code 2000": (1002, close_frame(2000)),
    "close code 5000": (1002, close_frame(5000)),
    "close code 65535": (1002, close_frame(65535)),
    "a close reason that is no UTF-8": (1007, frame(CLOSE, b"\x03\xe8\xff")),
    "a message over the bound": (1009, frame(BINARY, announce=1024 * 1024 + 1)),
    "2**31 - 1 bytes": (1009, frame(BINARY, announce=2**31 - 1)),
    "2**31 bytes": (1009, frame(BINARY, announce=2**31)),
    "2**32 bytes": (1009, frame(BINARY, announce=2**32)),
    "2**40 bytes": (1009, frame(BINARY, announce=2**40)),
    "2**63 - 1 bytes": (1009, frame(BINARY, announce=2**63 - 1)),
    "fragments over the bound": (
        1009,
        frame(BINARY, bytes(600_000), fin=False) + frame(CONTINUATION, announce=600_000),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_violation(servers: Servers, connect: Connect, name: str) -> None:
    code, data = BAD[name]
    server = servers.make()
    recorder = Recorder(server, echo=True)
    servers.start(server)
    client = connect(server)
    client.send_raw(text("before"), data)
    assert client.receive() == "before"
    sent_code, sent_reason = client.expect_close()
    assert sent_code == code
    assert sent_reason
    client.expect_end()
    closed = get(recorder.closed)
    assert (closed.code, closed.reason) == (1006, "")
    assert closed.kind == ("limit" if code == 1009 else "protocol")
    assert closed.sent == (code, sent_reason)
    connect(server).echo("others are served")


def test_nothing_behind_a_violation_is_read(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    recorder = Recorder(server)
    servers.start(server)
    client = connect(server)
    client.send_raw(text("one"), frame(3), text("two"), close_frame(1000))
    assert client.expect_close()[0] == 1002
    client.expect_end()
    assert get(recorder.closed).kind == "protocol"
    assert get(recorder.messages) == "one"
    assert recorder.messages.empty()


def test_a_violation_without_handlers(servers: Servers, connect: Connect) -> None:
    server = servers.run()
    for code, data in BAD.values():
        client = connect(server)
        client.send_raw(data)
        assert client.expect_close()[0] == code
        client.expect_end()
        client.socket.close()
    wait_until(lambda: server.stats()["closed"] == len(BAD))


@pytest.mark.parametrize("size", [2**31, 2**40])
def test_a_huge_announced_length_takes_no_memory(
    servers: Servers, connect: Connect, size: int
) -> None:
    server = servers.make(max_message_size=2**40)
    recorder = Recorder(server)
    servers.start(server)
    before = resident_kib()
    client = connect(server)
    client.send_raw(frame(BINARY, bytes(1000), announce=size))
    client.shutdown()
    assert get(recorder.closed).kind == "eof"
    assert resident_kib() - before < 64 * 1024
