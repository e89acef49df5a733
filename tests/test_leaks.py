"""Many servers, many connections, many objects: what was taken is given back."""

from __future__ import annotations

import gc
import sys
import threading

import pytest
from conftest import Servers
from support import (
    Client,
    Connect,
    Recorder,
    close_frame,
    descriptors,
    frame,
    get,
    resident_kib,
    text,
    wait_until,
)

import wspy


@pytest.mark.timeout(120)
def test_a_thousand_servers(servers: Servers) -> None:
    def rounds(n: int) -> None:
        for i in range(n):
            server = servers.make()
            server.page("/", "x" * 10_000)
            server.on_message(lambda conn, message, server=server: server.stop())
            with server.start_in_thread():
                if i % 10 == 0:
                    with Client(server) as client:
                        client.send("stop")
                        client.answer_close()
            if i % 100 == 0:
                gc.collect()
        gc.collect()

    rounds(200)
    fds, memory = descriptors(), resident_kib()
    rounds(1000)
    assert descriptors() == fds
    assert resident_kib() - memory < 4096


def test_a_thousand_servers_that_never_run(servers: Servers) -> None:
    def rounds(n: int) -> None:
        for _ in range(n):
            server = servers.make()
            server.page("/", "x" * 10_000)
            server.on_message(lambda conn, message, server=server: server.stop())
        del server
        gc.collect()

    rounds(200)
    fds, memory = descriptors(), resident_kib()
    rounds(1000)
    assert descriptors() == fds
    assert resident_kib() - memory < 4096


def play(server: wspy.Server, i: int) -> None:
    """One connection in one of the many ways that it can go."""
    if i % 10 == 9:
        with Client(server, handshake=False) as client:
            client.send_raw(
                [b"garbage\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"][i % 2]
            )
            client.response()
        return
    with Client(server, f"/{i}", [("X", "y" * 1000)]) as client:
        kind = i % 10
        if kind == 0:
            client.echo("x" * 100)
            client.close(4000, "reason")
        elif kind == 1:
            client.echo("é" * 100_000)
            client.shutdown()
            client.expect_end()
        elif kind == 2:
            client.send_raw(frame(2, bytes(300_000))[:200_000])
            client.reset()
        elif kind == 3:
            client.send_raw(frame(1, "x" * 100_000)[:50_000])
            client.shutdown()
            client.expect_end()
        elif kind == 4:
            client.send_raw(frame(1, b"x" * 100_000 + b"\xff"))
            client.read_close()
        elif kind == 5:
            client.send("raise")
            client.answer_close()
        elif kind == 6:
            client.send("close")
            client.send_raw(frame(1, "x" * 100_000), close_frame(4000))
            client.read_close()
        elif kind == 7:
            client.send_raw(text("x" * 20_000) * 20)
            client.reset()
        else:
            client.send_raw(frame(9, b"ping"), frame(1, "a", fin=False), frame(1, "b"))
            assert client.read_close()[0] == 1002


@pytest.mark.timeout(120)
def test_a_thousand_connections(servers: Servers) -> None:
    def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        conn.last = message
        conn.me = conn
        if message == "raise":
            raise ValueError
        if message == "close":
            conn.close(4001, "closed")
        else:
            conn.send(message)

    server = servers.run(
        on_message=on_message, on_error=lambda conn, exc: conn.close(1011, "raised")
    )

    def rounds(n: int) -> None:
        for i in range(n):
            play(server, i)
            if i % 20 == 0:
                gc.collect()  # each connection is a cycle that holds its last message
        wait_until(lambda: len(server) == 0)
        gc.collect()

    rounds(300)
    memory = resident_kib()
    rounds(1000)
    assert resident_kib() - memory < 8192
    # The last sockets go in the turn after on_close.
    with Client(server) as client:
        client.close()
        fds = descriptors()
    for _ in range(3):
        rounds(20)
    wait_until(lambda: descriptors() <= fds)


def copy_of(data: str | bytes) -> str | bytes:
    """An object of its own."""
    pieces = [data[:-1], data[-1:]]
    return type(data)().join(pieces)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data", [bytes(500_000), "x" * 500_000, "é" * 300_000], ids=["bytes", "ascii", "text"]
)
@pytest.mark.parametrize("here", [True, False], ids=["in the handler", "from another thread"])
@pytest.mark.parametrize("end", ["read", "reset", "close", "backlog", "stop"])
def test_what_was_sent_is_given_back(
    servers: Servers, connect: Connect, data: str | bytes, here: bool, end: str
) -> None:
    data = copy_of(data)
    before = sys.getrefcount(data)

    def send(conn: wspy.Connection) -> None:
        n = 0
        while n < 5 or (end == "backlog" and conn.is_open):
            try:
                conn.send(data)
            except wspy.ConnectionClosed:
                break
            n += 1

    max_backlog = 1_000_000 if end == "backlog" else None
    server = servers.make(max_backlog=max_backlog, shutdown_timeout=0.1)
    recorder = Recorder(server)
    if here:
        server.on_message(lambda conn, message: send(conn))
    servers.start(server)
    client = connect(server, receive_buffer=4096)
    conn = get(recorder.opened)
    if here:
        client.send("go")
    else:
        send(conn)
    if end == "read":
        for _ in range(5):
            assert client.receive() == data
    elif end == "close":
        client.receive()
        client.socket.close()
    elif end == "reset":
        client.reset()
    elif end == "stop":
        servers.threads[0].stop()
    else:
        assert client.read_close()[0] == 1013
        client.socket.close()

    def given_back() -> bool:
        if end != "stop":  # the loop gives back in its next dispatch
            Client(server).reset()
        return sys.getrefcount(data) == before

    wait_until(given_back)


def test_a_message_is_the_handlers_alone(servers: Servers, connect: Connect) -> None:
    counts: list[int] = []
    done = threading.Event()

    def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        counts.append(sys.getrefcount(message))
        if message == b"end":
            done.set()

    server = servers.run(on_message=on_message)
    client = connect(server)
    for message in (b"x" * 10, b"x" * 100_000, "x" * 100_000, "é" * 100_000, b"end"):
        client.send(message)
    assert done.wait(10)
    assert len(set(counts)) == 1


def test_exceptions_are_given_back(servers: Servers, connect: Connect) -> None:
    class Kept:
        alive = 0

        def __init__(self) -> None:
            Kept.alive += 1

        def __del__(self) -> None:
            Kept.alive -= 1

    def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        kept = Kept()
        raise ValueError(kept)

    server = servers.run(on_message=on_message, on_error=lambda conn, exc: conn.send("error"))
    client = connect(server)
    for _ in range(100):
        client.send("go")
        assert client.receive() == "error"
    wait_until(lambda: gc.collect() >= 0 and Kept.alive == 0)
