"""The bounds that keep a server alive: connections, descriptors, time-outs."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from conftest import Records, Servers
from support import (
    Client,
    Connect,
    Recorder,
    close_frame,
    connect_when_up,
    finish,
    get,
    read_line,
    script,
    wait_until,
    write_line,
)

import wspy
from wspy.options import Strategy


def test_max_connections(servers: Servers, connect: Connect, log: Records) -> None:
    server = servers.run(max_connections=3, on_message=lambda conn, message: conn.send(message))
    clients = [connect(server) for _ in range(3)]
    for _ in range(2):
        late = connect(server, handshake=False)
        response = late.response()
        assert response.status == 503
        assert int(response.headers["retry-after"]) > 0
        assert b"max_connections" in response.body
    assert server.stats()["shed"] == 2
    # The answer is written where the connection is accepted, the line follows.
    wait_until(lambda: any("503" in line and "max_connections" in line for line in log.at(30)))
    for client in clients:
        client.echo("still there")
    clients[0].close()
    clients[0].socket.close()
    wait_until(lambda: len(server) == 2)
    reopened(connect, server).echo("there is room again")


def reopened(connect: Connect, server: wspy.Server) -> Client:
    """A new client. The server may need another turn before it has freed the last one's place."""
    while True:
        try:
            return connect(server)
        except AssertionError as exc:
            assert str(exc).startswith("503")  # noqa: PT017


def test_the_request_that_was_sent_to_a_full_server(servers: Servers, connect: Connect) -> None:
    server = servers.run(max_connections=1)
    connect(server)
    for _ in range(20):
        late = connect(server, handshake=False)
        try:
            late.send_raw(late.request())
        except OSError:  # it is closed already
            continue
        with contextlib.suppress(ConnectionResetError):
            assert late.read_head()[0] == 503


def test_log_lines_are_limited(servers: Servers, connect: Connect, log: Records) -> None:
    server = servers.run(max_connections=1)
    connect(server)
    for _ in range(200):
        connect(server, handshake=False).response()
    assert server.stats()["shed"] == 200

    def count_lines() -> int:
        return sum("503" in line for line in log.at(30))

    wait_until(lambda: count_lines() + server.stats()["suppressed_lines"] == 200)
    assert 10 <= count_lines() < 200


def test_a_level_that_is_off_costs_no_line(
    servers: Servers, connect: Connect, log: Records
) -> None:
    server = servers.run()
    server._set_log_level(40)
    client = connect(server, handshake=False)
    client.send_raw(b"garbage\r\n\r\n")
    assert client.response().status == 400
    assert not any("refused with 400" in line for line in log.at(20))


# -- time-outs --


def test_handshake_timeout(servers: Servers, connect: Connect) -> None:
    server = servers.run(
        handshake_timeout=0.05, on_message=lambda conn, message: conn.send(message)
    )
    honest = connect(server)
    silent = connect(server, handshake=False)
    half = connect(server, handshake=False)
    half.send_raw(half.request()[:-1])
    for client in (silent, half):
        assert client.response().status == 408
    honest.echo("still there")  # it has no time-out
    assert server.stats()["refused"] == 2


def test_half_handshakes_do_not_hold_the_server(servers: Servers, connect: Connect) -> None:
    server = servers.run(on_message=lambda conn, message: conn.send(message))
    for _ in range(300):
        client = connect(server, handshake=False)
        client.send_raw(b"GET / HTTP/1.1\r\nHost: loc")
    connect(server).echo("served at once")


def test_no_handshake_timeout(servers: Servers, connect: Connect) -> None:
    server = servers.run(
        handshake_timeout=None, close_timeout=None, shutdown_timeout=None,
        on_message=lambda conn, message: conn.send(message),
    )  # fmt: skip
    client = connect(server, handshake=False)
    client.send_raw(client.request())
    client.check_upgrade()
    client.echo("hello")
    assert client.close() == (1000, "")
    client.socket.close()


def test_close_timeout_after_the_closing_handshake(servers: Servers, connect: Connect) -> None:
    """All is said, but the peer keeps its side of the stream open."""
    server = servers.run(close_timeout=0.05)
    client = connect(server)
    assert client.close() == (1000, "")
    client.socket.setblocking(True)
    client.socket.settimeout(10)
    with pytest.raises(OSError):  # noqa: PT011 (the server's socket is gone: a reset)
        while True:
            client.send_raw(bytes(1000))


def test_shutdown_timeout(servers: Servers, connect: Connect) -> None:
    server = servers.make(close_timeout=None, shutdown_timeout=0.05)
    recorder = Recorder(server)
    thread = servers.start(server)
    client = connect(server)
    get(recorder.opened)
    thread.stop()  # returns although nobody answers
    assert get(recorder.closed)[1:] == (1006, "", "shutdown", (1001, ""))
    assert client.expect_close() == (1001, "")


def test_shutdown_timeout_with_a_peer_that_does_not_read(
    servers: Servers, connect: Connect
) -> None:
    server = servers.make(close_timeout=None, shutdown_timeout=0.05, max_backlog=None)
    recorder = Recorder(server)
    thread = servers.start(server)
    connect(server, receive_buffer=4096)
    connect(server, handshake=False)
    conn = get(recorder.opened)
    conn.send(bytes(50_000_000))
    thread.stop()
    assert get(recorder.closed)[1:] == (1006, "", "shutdown", (1001, ""))


def test_a_stop_waits_for_the_closing_handshake(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    recorder = Recorder(server)
    thread = servers.start(server)
    client = connect(server)
    conn = get(recorder.opened)
    conn.send("last words")
    server.stop()
    assert client.receive() == "last words"
    assert client.expect_close() == (1001, "")
    client.send_raw(close_frame(1001, "bye"))
    client.expect_end()
    client.socket.close()
    thread.stop()
    assert get(recorder.closed)[1:] == (1001, "bye", "shutdown", (1001, ""))


# -- descriptors, in a process of its own --

SERVER = """
import os, resource, sys, threading
import wspy

{before}
server = wspy.Server(port=0, strategy=sys.argv[1], max_connections={limit},
                     on_message=lambda conn, message: conn.send(message))
lines = []
server._set_handler("log", lambda level, line: lines.append(line))

def commands():
    kept = []
    for command in sys.stdin:
        command = command.strip()
        if command == "fill":
            while not kept or kept[-1] < 1024:
                kept.append(os.dup(0))
        elif command == "free":
            for fd in kept:
                os.close(fd)
            kept.clear()
        elif command == "stop":
            server.stop()
        print(command, server.stats()["shed"], len(lines), lines[-1] if lines else "", flush=True)

threading.Thread(target=commands, daemon=True).start()
print(server.url, flush=True)
server.run()
"""


def command(process: Any, line: str) -> str:
    write_line(process, line)
    return read_line(process)


def test_select_beyond_fd_setsize() -> None:
    code = SERVER.format(
        limit=100_000,
        before="_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))",
    )
    with script(code, "select") as process:
        url = read_line(process)
        with connect_when_up(url) as first:
            first.echo("hello")
            assert command(process, "fill").startswith("fill 0 ")
            for _ in range(5):
                with Client(url, handshake=False) as late:
                    response = late.response()
                    assert response.status == 503
                    assert b"FD_SETSIZE" in response.body
            first.echo("still there")
            answer = command(process, "free")
            assert answer.startswith("free 5 ")
            assert "FD_SETSIZE" in answer
            with Client(url) as second:
                second.echo("hello")
            first.close()
        command(process, "stop")
        code_, _, err = finish(process)
        assert (code_, err) == (0, "")


@pytest.mark.parametrize("strategy", ["poll", "epoll"])
def test_others_take_descriptors_beyond_fd_setsize(strategy: Strategy) -> None:
    with script(SERVER.format(limit=100_000, before=""), strategy) as process:
        url = read_line(process)
        with connect_when_up(url) as first:
            first.echo("hello")
            command(process, "fill")
            with Client(url) as second:
                second.echo("hello")
                second.close()
            first.close()
        command(process, "stop")
        assert finish(process)[0] == 0


def test_no_descriptors_are_left(strategy: Strategy) -> None:
    before = "resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))"
    with script(SERVER.format(limit=100_000, before=before), strategy) as process:
        url = read_line(process)
        clients = [connect_when_up(url)]
        refused = None
        while refused is None:
            client = Client(url, handshake=False)
            client.send_raw(client.request())
            status, _, headers = client.read_head()
            if status == 101:
                clients.append(client)
                assert len(clients) < 40
                continue
            assert status == 503
            assert int(headers["retry-after"]) > 0
            assert b"descriptors" in client.read_all()
            client.socket.close()
            refused = client
        for client in clients:
            client.echo("still there")
        for client in clients[1:6]:
            client.close()
            client.socket.close()
        # The listeners rest for a moment; whoever waits meanwhile is then served.
        for _ in range(3):
            with Client(url) as late:
                late.echo("hello")
                late.close()
        for client in (clients[0], *clients[6:]):
            client.echo("still there")
            client.close()
            client.socket.close()
        command(process, "stop")
        code, _, err = finish(process)
        assert (code, err) == (0, "")
