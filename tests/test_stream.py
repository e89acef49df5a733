"""Messages sent in parts, and pings: what Connection.stream() and ping() do for a program."""

from __future__ import annotations

import gc
import threading

import pytest
from conftest import Records, Servers
from support import (
    BINARY,
    CONTINUATION,
    MIB,
    PING,
    PONG,
    TEXT,
    Client,
    Connect,
    Frame,
    Recorder,
    frame,
    get,
    wait,
)
from websockets.sync.client import connect as connect_sync

import wspy

Parts = list[str] | list[bytes]


def start(servers: Servers, **options: object) -> tuple[wspy.Server, Recorder]:
    server = servers.make(**options)
    recorder = Recorder(server)
    servers.start(server)
    return server, recorder


def read_fragment(client: Client) -> tuple[int, bool, bytes]:
    first, size = client.read(2)
    assert size < 126
    return first & 0x0F, bool(first & 0x80), client.read(size)


def test_fragments(servers: Servers, connect: Connect) -> None:
    server, recorder = start(servers)
    client = connect(server)
    conn = get(recorder.opened)
    with conn.stream(text=True) as stream:
        assert stream.write("ä") is True
        assert stream.write("") is True
        assert conn.send("behind") is True
        assert stream.write("b") is True
    with conn.stream() as stream:
        assert stream.write(b"x") is True
        stream.write(bytearray(b"y"))
        stream.write(memoryview(b"12345")[::2])
    assert [read_fragment(client) for _ in range(4)] == [
        (TEXT, False, "ä".encode()),
        (CONTINUATION, False, b""),
        (CONTINUATION, False, b"b"),
        (CONTINUATION, True, b""),
    ]
    assert client.receive() == "behind"
    assert [read_fragment(client) for _ in range(4)] == [
        (BINARY, False, b"x"),
        (CONTINUATION, False, b"y"),
        (CONTINUATION, False, b"135"),
        (CONTINUATION, True, b""),
    ]


@pytest.mark.parametrize("where", ["handler", "thread"])
def test_a_real_client_gets_one_message(servers: Servers, where: str) -> None:
    parts = [bytes([i]) * size for i, size in enumerate((0, 1, 125, 126, 20_000, 70_000, MIB // 2))]
    texts = ["", "ascii", "ä€🎉", "x" * 20_000, "ü" * 40_000]

    def answer(conn: wspy.Connection, message: str | bytes) -> None:
        with conn.stream() as stream:
            for part in parts:
                stream.write(part)
        with conn.stream(text=True) as stream:
            for text in texts:
                stream.write(text)
        with conn.stream(text=True):
            pass

    def answer_elsewhere(conn: wspy.Connection, message: str | bytes) -> None:
        threading.Thread(target=answer, args=(conn, message)).start()

    server = servers.make(max_backlog=None)
    server.on_message(answer if where == "handler" else answer_elsewhere)
    servers.start(server)
    with connect_sync(server.url, max_size=None, compression=None) as client:
        client.send("go")
        assert client.recv() == b"".join(parts)
        assert client.recv() == "".join(texts)
        assert client.recv() == ""


def test_an_exception_closes(servers: Servers, connect: Connect, log: Records) -> None:
    server = servers.make()
    recorder = Recorder(server)

    @server.on_message
    def fail(conn: wspy.Connection, message: str | bytes) -> None:
        with conn.stream(text=True) as stream:
            stream.write("begun")
            raise ZeroDivisionError

    servers.start(server)
    client = connect(server)
    client.send("go")
    assert read_fragment(client) == (TEXT, False, b"begun")
    assert client.answer_close() == (1011, "")
    closed = get(recorder.closed)
    assert (closed.code, closed.kind, closed.sent) == (1011, "error", (1011, ""))
    [record] = log.take_errors()
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_misuse(servers: Servers, connect: Connect) -> None:
    server, recorder = start(servers)
    client = connect(server)
    conn = get(recorder.opened)
    stream = conn.stream(text=True)
    with pytest.raises(RuntimeError, match=r"with conn\.stream"):
        stream.write("too early")
    with pytest.raises(TypeError):
        conn.stream(True)  # type: ignore[call-arg]
    with stream:
        with pytest.raises(RuntimeError, match="another stream"), conn.stream():
            pass
        with pytest.raises(TypeError, match="takes str, not bytes"):
            stream.write(b"x")
        with pytest.raises(TypeError, match="takes str, not int"):
            stream.write(5)  # type: ignore[arg-type]
        with pytest.raises(UnicodeEncodeError):
            stream.write("\ud800")
        stream.write("fine")
    with pytest.raises(RuntimeError, match=r"with conn\.stream"):
        stream.write("too late")
    with pytest.raises(RuntimeError, match="anew"), stream:
        pass
    with conn.stream() as stream, pytest.raises(TypeError, match="bytes-like object, not str"):
        stream.write("x")
    assert [read_fragment(client) for _ in range(4)] == [
        (TEXT, False, b"fine"),
        (CONTINUATION, True, b""),
        (BINARY, False, b""),
        (CONTINUATION, True, b""),
    ]
    client.close()
    get(recorder.closed)
    with pytest.raises(wspy.ConnectionClosed), conn.stream():
        pass


def test_closed_meanwhile(servers: Servers, connect: Connect) -> None:
    server, recorder = start(servers)
    client = connect(server)
    conn = get(recorder.opened)
    with pytest.raises(wspy.ConnectionClosed), conn.stream() as stream:
        stream.write(b"a")
        conn.close(4000, "changed my mind")
        with pytest.raises(wspy.ConnectionClosed, match="4000"):
            stream.write(b"b")
    assert read_fragment(client) == (BINARY, False, b"a")
    assert client.answer_close() == (4000, "changed my mind")
    assert get(recorder.closed).kind == "local"


def test_a_stream_that_is_dropped_closes(servers: Servers, connect: Connect) -> None:
    server, recorder = start(servers)
    client = connect(server)
    conn = get(recorder.opened)
    stream = conn.stream()
    stream.__enter__()
    stream.write(b"a")
    del stream
    gc.collect()
    assert read_fragment(client) == (BINARY, False, b"a")
    assert client.answer_close() == (1011, "")


# -- pings --


def test_pings(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    recorder = Recorder(server)
    seen: list[tuple[str, bytes]] = []
    done = threading.Event()
    server.on_ping(lambda conn, data: seen.append(("ping", data)))

    @server.on_pong
    def pong(conn: wspy.Connection, data: bytes) -> None:
        seen.append(("pong", data))
        if data == b"end":
            done.set()

    servers.start(server)
    client = connect(server)
    conn = get(recorder.opened)
    conn.ping(b"a")
    conn.ping("ä")
    conn.ping(bytearray())
    conn.ping(b"x" * 125)
    for data in (b"a", "ä".encode(), b"", b"x" * 125):
        assert client.read_frame() == Frame(PING, data)
        client.send_raw(frame(PONG, data))
    client.send_raw(frame(PING, b"mine"))
    assert client.read_frame() == Frame(PONG, b"mine")
    client.send_raw(frame(PONG, b"end"))
    wait(done)
    assert seen == [
        ("pong", b"a"),
        ("pong", "ä".encode()),
        ("pong", b""),
        ("pong", b"x" * 125),
        ("ping", b"mine"),
        ("pong", b"end"),
    ]
    with pytest.raises(ValueError, match="at most 125 bytes of data, not 126"):
        conn.ping(b"x" * 126)
    with pytest.raises(TypeError, match=r"ping\(\) takes str or a bytes-like object, not int"):
        conn.ping(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="at most 1 argument"):
        conn.ping(b"a", b"b")  # type: ignore[call-arg]
    client.close()
    get(recorder.closed)
    with pytest.raises(wspy.ConnectionClosed):
        conn.ping()


def test_latency(servers: Servers) -> None:
    server = servers.make()
    recorder = Recorder(server)
    ponged = threading.Event()
    server.on_pong(lambda conn, data: ponged.set() if len(data) == 8 else None)
    servers.start(server)
    with connect_sync(server.url):
        conn = get(recorder.opened)
        assert conn.latency is None
        conn.ping()
        wait(ponged)
        assert isinstance(conn.latency, float)
        assert 0 < conn.latency < 10


def test_keepalive(servers: Servers, connect: Connect, log: Records) -> None:
    """A real client answers and stays; one that is silent is closed."""
    server, recorder = start(servers, ping_interval=0.1, ping_timeout=0.3, close_timeout=0.2)
    with connect_sync(server.url, ping_interval=None) as client:
        alive = get(recorder.opened)
        silent = connect(server)
        dead = get(recorder.opened)
        assert silent.read_frame().opcode == PING
        assert silent.expect_close() == (1011, "keepalive timeout")
        closed = get(recorder.closed)
        assert closed[1:] == (1006, "", "ping-timeout", (1011, "keepalive timeout"))
        assert closed.conn is dead
        assert alive.is_open
        assert alive.latency is not None
        client.close()
    assert f"connection {dead.id} closed: keepalive timeout" in log.at(20)
