"""Peers that do not read, and messages too large for one read."""

from __future__ import annotations

import contextlib
import queue
import socket
from pathlib import Path

import pytest
from audience import SMALL
from conftest import Records, Servers
from support import (
    BINARY,
    CLOSE,
    MIB,
    PING,
    PONG,
    TEXT,
    Connect,
    Gate,
    Recorder,
    close_frame,
    frame,
    get,
    make_binary,
    make_text,
    text,
    wait_until,
)

import wspy


def test_send_says_false_and_on_drain_follows(servers: Servers, connect: Connect) -> None:
    results: queue.Queue[list[bool]] = queue.Queue()

    def fill(conn: wspy.Connection, message: str | bytes) -> None:
        got = [True]
        while got[-1]:
            got.append(conn.send(bytes(10_000)))
        assert conn.backlog > 262_144
        results.put(got[1:])

    server = servers.make()
    recorder = Recorder(server)
    server.on_message(fill)
    servers.start(server)
    client = connect(server, receive_buffer=SMALL)
    conn = get(recorder.opened)
    for _ in range(3):
        client.send("go")
        sent = get(results)
        # In one handler nothing is written: the 27th message of 10,004 bytes crosses the mark.
        assert sent[:-1] == [True] * (len(sent) - 1)
        assert sent[-1] is False
        for _ in sent:
            assert client.receive() == bytes(10_000)
        assert get(recorder.drained) is conn
    wait_until(lambda: conn.backlog == 0)
    assert recorder.drained.empty()


def test_what_waits_goes_before_the_drain(servers: Servers, connect: Connect) -> None:
    """Who refills the queue at each drain would never hear what the peer says, nor its close."""
    events: queue.Queue[str | bytes] = queue.Queue()

    def fill(conn: wspy.Connection) -> None:
        while conn.send(bytes(600)):
            pass

    def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        events.put(message)
        if message == "go":
            fill(conn)

    def on_drain(conn: wspy.Connection) -> None:
        events.put("drain")
        fill(conn)

    server = servers.run(
        on_message=on_message,
        on_drain=on_drain,
        on_close=lambda conn, code, reason: events.put(f"close {code}"),
        high_water=1000,
    )
    client = connect(server)
    client.send_raw(text("go"), text("one"), text("two"))
    assert [get(events) for _ in range(4)] == ["go", "one", "two", "drain"]
    client.send_raw(text("three"), close_frame(4000))
    frames = (client.read_frame() for _ in range(100_000))
    assert next(f.payload for f in frames if f.opcode == CLOSE) == b"\x0f\xa0"
    client.expect_end()
    said = [event for event in events.queue if event != "drain"]
    assert said == ["three", "close 4000"]


def test_no_drain_without_a_false(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    recorder = Recorder(server, echo=True)
    servers.start(server)
    client = connect(server)
    for _ in range(50):
        client.echo("x" * 5000)
    client.close()
    get(recorder.closed)
    assert recorder.drained.empty()


@pytest.mark.parametrize("size", [100, 20_000])
def test_an_echo_to_a_peer_that_never_reads_is_bounded(
    servers: Servers, connect: Connect, size: int
) -> None:
    server = servers.make()
    recorder = Recorder(server, echo=True)
    servers.start(server)
    client = connect(server, receive_buffer=SMALL)
    conn = get(recorder.opened)
    data = frame(BINARY, bytes(size)) * max(1, 65536 // size)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
    client.socket.settimeout(0.5)
    with pytest.raises(TimeoutError):  # the server does not read on
        for _ in range(10_000):
            client.send_raw(data)
    # One message over the mark at most: never 1013. Each counts with the memory that it takes.
    share = (size + 10) / (size + 10 + 96)
    assert 262_144 * share * 0.9 < conn.backlog <= 262_144 + size + 10
    assert conn.is_open
    # Others are served meanwhile.
    connect(server).echo("hello")


def test_it_goes_on_when_the_peer_reads_again(servers: Servers, connect: Connect) -> None:
    server = servers.make(high_water=50_000)
    Recorder(server, echo=True)
    servers.start(server)
    client = connect(server, receive_buffer=SMALL)
    sent = bytearray()
    message = 0
    client.socket.setblocking(False)
    pending = b""
    idle = 0
    while idle < 1000:  # until the server takes no more, for long
        if not pending:
            pending = frame(BINARY, b"%06d" % message + bytes(2000))
            message += 1
        try:
            n = client.socket.send(pending)
            sent += pending[:n]
            pending = pending[n:]
            idle = 0
        except BlockingIOError:
            idle += 1
            if idle % 100 == 0:
                connect(server).echo("a turn of the loop")
    client.socket.settimeout(10)
    for number in range(message - (1 if pending else 0)):
        got = client.receive()
        assert got == b"%06d" % number + bytes(2000)
    if pending:
        client.send_raw(pending)
        assert client.receive() == b"%06d" % (message - 1) + bytes(2000)
    client.echo("in step again")


def test_a_lane_keeps_the_order(servers: Servers, connect: Connect) -> None:
    """Messages of one segment that wait for the queue to fall, then a close behind them."""
    server = servers.make(high_water=1000)
    recorder = Recorder(server)

    def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        conn.send(f"{message!s} " + "x" * 5000)

    server.on_message(on_message)
    servers.start(server)
    client = connect(server, receive_buffer=SMALL)
    client.send_raw(*(text(str(i)) for i in range(300)), close_frame(4000, "end"))
    for i in range(300):
        assert client.receive() == f"{i} " + "x" * 5000
    assert client.expect_close() == (4000, "")
    assert get(recorder.closed).reason == "end"


def test_a_lane_and_an_end_of_the_stream(servers: Servers, connect: Connect) -> None:
    server = servers.make(high_water=1000)
    recorder = Recorder(server)

    def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        recorder.messages.put(message)
        conn.send("x" * 5000)

    server.on_message(on_message)
    servers.start(server)
    client = connect(server)
    client.send_raw(*(text(str(i)) for i in range(100)))
    client.shutdown()
    assert get(recorder.closed)[1:] == (1006, "", "eof", None)
    assert [get(recorder.messages) for _ in range(100)] == [str(i) for i in range(100)]


def test_a_close_out_of_the_lane(servers: Servers, connect: Connect) -> None:
    """The handler closes while messages wait: those are dropped and counted."""
    server = servers.make(high_water=1000)
    recorder = Recorder(server)

    def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        conn.send("x" * 1_000)
        conn.close(4000)

    server.on_message(on_message)
    servers.start(server)
    client = connect(server)
    client.send_raw(*(text(str(i)) for i in range(100)), close_frame(4001))
    assert client.receive() == "x" * 1000
    assert client.expect_close() == (4000, "")
    assert get(recorder.closed)[1:] == (4001, "", "local", (4000, ""))
    assert server.stats()["received"] == 1
    assert server.stats()["dropped_received"] == 99


def test_the_bound_of_the_backlog(servers: Servers, connect: Connect, log: Records) -> None:
    results: queue.Queue[bool] = queue.Queue()

    def flood(conn: wspy.Connection, message: str | bytes) -> None:
        while conn.is_open:
            last = conn.send(bytes(50_000))
        results.put(last)
        with pytest.raises(wspy.ConnectionClosed) as info:
            conn.send("more")
        assert info.value.code == 1013

    server = servers.make()
    recorder = Recorder(server)
    server.on_message(flood)
    servers.start(server)
    client = connect(server, receive_buffer=SMALL)
    client.send("go")
    assert get(results) is False
    assert client.read_close() == (1013, "the backlog is full")
    client.send_raw(close_frame(1013))
    closed = get(recorder.closed)
    assert closed[1:] == (1013, "", "backlog", (1013, "the backlog is full"))
    assert server.stats()["dropped_sent"] >= 2
    assert any("1013" in line and "max_backlog" in line for line in log.at(30))


def test_one_message_of_any_size_is_taken(servers: Servers, connect: Connect) -> None:
    big = make_binary(MIB)
    server = servers.run(max_backlog=1000, high_water=100, on_open=lambda conn: conn.send(big * 3))
    client = connect(server)
    assert client.receive() == big * 3


def test_no_bound(servers: Servers, connect: Connect) -> None:
    def flood(conn: wspy.Connection) -> None:
        for i in range(200):
            conn.send(bytes([i]) * 100_000)

    server = servers.run(max_backlog=None, on_open=flood)
    client = connect(server, receive_buffer=SMALL)
    assert all(client.receive() == bytes([i]) * 100_000 for i in range(200))


def test_a_pong_is_not_stuck_behind_a_long_queue(servers: Servers, connect: Connect) -> None:
    server = servers.make(high_water=10 * MIB, max_backlog=None)
    recorder = Recorder(server)

    @server.on_open
    def flood(conn: wspy.Connection) -> None:
        for _ in range(100):
            conn.send(bytes(10_000))
        recorder.opened.put(conn)

    servers.start(server)
    client = connect(server, receive_buffer=SMALL)
    get(recorder.opened)
    client.send_raw(frame(PING, b"now"))
    connect(server).send("x")
    before = 0
    while client.read_frame().opcode != PONG:
        before += 1
    assert before <= 100


def test_a_slow_reader_gets_everything(servers: Servers, connect: Connect) -> None:
    server = servers.make(max_backlog=None)
    recorder = Recorder(server)
    servers.start(server)
    client = connect(server, receive_buffer=SMALL)
    conn = get(recorder.opened)
    expected = bytearray()
    for i in range(300):
        data = make_binary(i * 37, i)
        conn.send(data)
        expected += data
    got = bytearray()
    while len(got) < len(expected):
        message = client.receive()
        assert isinstance(message, bytes)
        got += message
    assert got == expected


# -- large messages --

LARGE: dict[str, str | bytes] = {
    "ascii": make_text(MIB, 1),
    "other text": make_text(MIB, 0),
    "one character": "é" * (MIB // 2),
    "ascii, then one": "a" * (MIB - 2) + "é",
    "latin-1 only": "ÿ" * (MIB // 2),
    "four bytes each": "🎉" * (MIB // 4),
    "binary": make_binary(MIB, 3),
    "16 KiB": make_text(16 * 1024, 0),
    "64 KiB and one": make_text(65537, 1),
}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_message_in_pieces(servers: Servers, connect: Connect, name: str) -> None:
    message = LARGE[name]
    server = servers.make()
    recorder = Recorder(server, echo=True)
    servers.start(server)
    client = connect(server)
    data = text(message) if isinstance(message, str) else frame(BINARY, message)
    for at in range(0, len(data), 50_001):
        client.send_raw(data[at : at + 50_001])
    client.send("behind")
    got = get(recorder.messages)
    assert type(got) is type(message)
    assert got == message
    assert hash(got) == hash(message)
    if isinstance(got, str) and isinstance(message, str):
        assert got.isascii() == message.isascii()
    assert client.receive() == message
    assert client.receive() == "behind"


@pytest.mark.parametrize("at", [0, 20_000, 500_000, MIB - 1])
def test_invalid_text_in_a_large_message(servers: Servers, connect: Connect, at: int) -> None:
    server = servers.make()
    recorder = Recorder(server)
    servers.start(server)
    client = connect(server)
    data = bytearray(b"a" * MIB)
    data[at] = 0xFF
    with contextlib.suppress(ConnectionError):  # it closes at the first byte that is wrong
        client.send_raw(text("first"), frame(TEXT, bytes(data)))
    closed = get(recorder.closed)
    assert closed.kind == "protocol"
    assert closed.sent is not None
    assert closed.sent[0] == 1007
    assert get(recorder.messages) == "first"
    assert recorder.messages.empty()


def test_a_large_text_that_ends_inside_a_character(servers: Servers, connect: Connect) -> None:
    client = connect(servers.run())
    client.send_raw(frame(TEXT, b"a" * (MIB - 1) + b"\xc3"))
    assert client.expect_close() == (1007, "the text ends inside a character")


@pytest.mark.parametrize("kind", ["eof", "reset"])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_the_peer_goes_within_a_large_message(
    servers: Servers, connect: Connect, opcode: int, kind: str
) -> None:
    server = servers.make()
    recorder = Recorder(server)
    servers.start(server)
    client = connect(server)
    data = frame(opcode, b"a" * MIB)
    client.send_raw(data[:400_000])
    connect(server).send("a turn of the loop")
    get(recorder.messages)
    client.send_raw(data[400_000:500_000])
    client.shutdown() if kind == "eof" else client.reset()
    assert get(recorder.closed)[1:] == (1006, "", kind, None)
    assert recorder.messages.empty()


def test_another_handler_closes_within_a_large_message(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    recorder = Recorder(server)

    def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        for other in server.connections:
            if other is not conn:
                other.close(4000, "stop that")

    server.on_message(on_message)
    servers.start(server)
    big, other = connect(server), connect(server)
    data = frame(TEXT, b"a" * MIB)
    for cut in (10, 15_000, 20_000, 300_000, MIB - 1):
        big = connect(server) if cut != 10 else big
        big.send_raw(data[:cut])
        other.send("go")
        assert big.expect_close() == (4000, "stop that")
        big.send_raw(data[cut:], close_frame(4001))
        big.expect_end()
        assert get(recorder.closed)[1:] == (4001, "", "local", (4000, "stop that"))
        big.socket.close()
        wait_until(lambda: len(server) == 1)


def test_a_close_of_the_batch_in_which_memory_is_asked_for(
    servers: Servers, connect: Connect
) -> None:
    gate = Gate()
    server = servers.make()
    recorder = Recorder(server)

    def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        if message == "gate":
            gate.hold()
        else:
            for other in server.connections:
                other.close(4000)

    server.on_message(on_message)
    servers.start(server)
    holder, killer, big = connect(server), connect(server), connect(server)
    data = frame(TEXT, b"a" * MIB)
    with gate.held(holder):
        killer.send("go")
        big.send_raw(data[:200_000])
    assert big.expect_close() == (4000, "")
    big.send_raw(data[200_000:], text("x"), close_frame(4001))
    big.expect_end()
    big.socket.close()
    killer.close(4002)
    holder.close(4002)
    codes = {get(recorder.closed).code for _ in range(3)}
    assert codes == {4001, 4002}


def test_the_server_stops_within_a_large_message(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    recorder = Recorder(server)
    servers.start(server)
    client = connect(server)
    data = frame(BINARY, bytes(MIB))
    client.send_raw(data[:500_000])
    connect(server).send("a turn of the loop")
    get(recorder.messages)
    server.stop()
    assert client.expect_close() == (1001, "")
    client.send_raw(data[500_000:], close_frame(1001))
    client.expect_end()


def test_many_large_messages_at_once(servers: Servers, connect: Connect) -> None:
    server = servers.run(on_message=lambda conn, message: conn.send(message[:10]))
    clients = [connect(server) for _ in range(20)]
    datas = [make_text(300_000 + i, i) for i in range(20)]
    for step in range(10):
        for client, message in zip(clients, datas, strict=True):
            data = text(message)
            size = len(data) // 10 + 1
            client.send_raw(data[step * size : (step + 1) * size])
    for client, message in zip(clients, datas, strict=True):
        assert client.receive() == message[:10]


@pytest.mark.parametrize(
    ("last", "expected"),
    [(close_frame(1000), (1000, "peer")), (b"\xff\xff", (1006, "protocol"))],
    ids=["close", "violation"],
)
def test_an_end_behind_what_waits_does_not_wait_for_ever(
    servers: Servers, connect: Connect, last: bytes, expected: tuple[int, str]
) -> None:
    server = servers.make(close_timeout=0.3)
    recorder = Recorder(server)
    server.on_message(lambda conn, message: conn.send(bytes(300_000)))
    servers.start(server)
    client = connect(server, receive_buffer=SMALL)
    # In one segment: the first answers fill the queue, the rest waits behind them.
    client.send_raw(b"".join([text("more")] * 100 + [last]))
    closed = get(recorder.closed)  # although the peer reads nothing
    assert (closed.code, closed.kind) == expected


def test_on_drain_for_each_thread_that_was_told_to_slow_down(
    servers: Servers, connect: Connect
) -> None:
    # Without pings: with the sanitizers it takes so long that one would come.
    server = servers.make(max_backlog=None, ping_interval=None)
    recorder = Recorder(server)
    servers.start(server)
    client = connect(server, receive_buffer=SMALL)
    conn = get(recorder.opened)
    for _ in range(20):
        conn.send("small")
        assert conn.send(bytes(4_000_000)) is False  # more than the kernel takes
        assert client.receive() == "small"
        assert client.receive() == bytes(4_000_000)
        assert get(recorder.drained) is conn


def test_small_messages_to_a_peer_that_does_not_read_cost_what_they_take(
    servers: Servers, connect: Connect
) -> None:
    """A frame of three bytes takes far more memory than three bytes while it waits."""
    server = servers.make()
    recorder = Recorder(server, echo=True)
    servers.start(server)
    client = connect(server, receive_buffer=SMALL)
    conn = get(recorder.opened)
    client.socket.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:  # until the server reads no more
            client.socket.send(text("x") * 10_000)
    wait_until(lambda: conn.backlog > 0)
    assert conn.is_open
    assert conn.backlog < 262_144 // 2  # what one read holds may be answered before it shows


def test_a_closed_unix_peer_is_read_to_its_end(
    servers: Servers, connect: Connect, tmp_path: Path
) -> None:
    """A Unix socket tells of the hang-up at once, with bytes still to read."""
    gate = Gate()
    server = servers.make(unix=tmp_path / "socket")
    recorder = Recorder(server)

    def fill(conn: wspy.Connection, message: str | bytes) -> None:
        recorder.messages.put(message)
        if message == "fill":
            conn.send(bytes(2_000_000))  # the queue is long: the connection is not read
            gate.hold()

    server.on_message(fill)
    servers.start(server)
    client = connect(server)
    with gate.held(client, "fill"):
        client.send_raw(*[text(f"{n}") for n in range(10)], close_frame(1000))
        client.socket.close()
    assert [get(recorder.messages) for _ in range(11)] == ["fill", *map(str, range(10))]
    closed = get(recorder.closed)
    assert (closed.code, closed.kind) == (1000, "peer")
