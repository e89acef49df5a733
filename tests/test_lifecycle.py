"""Servers from birth to death: addresses, starting, stopping, collecting."""

from __future__ import annotations

import gc
import os
import queue
import socket
import stat
import threading
import time
import weakref
from pathlib import Path

import pytest
from conftest import Servers
from support import Client, Connect, Recorder, finish, get, script, wait_until
from websockets.sync.client import connect as connect_sync
from websockets.sync.client import unix_connect

import wspy


def test_the_address(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    assert 0 < server.port < 65536
    assert server.url == f"ws://127.0.0.1:{server.port}/"
    with server.start_in_thread() as url:
        assert url == server.url
        with connect_sync(url) as client:
            client.close()
        assert repr(server) == f"<wspy.Server {url} {servers.strategy}>"
    with pytest.raises(ConnectionRefusedError):
        connect(server)


def test_the_thread(servers: Servers) -> None:
    server = servers.make()
    thread = server.start_in_thread()
    assert thread.url == server.url
    assert repr(thread) == f"<wspy.ServerThread {server.url} running>"
    thread.stop()
    thread.stop()
    assert repr(thread) == f"<wspy.ServerThread {server.url} ended>"


def test_the_auto_strategy() -> None:
    server = wspy.Server(port=0)
    assert server.strategy == "auto"
    with server.start_in_thread():
        assert server.strategy == "epoll"


def test_a_stop_before_the_run(servers: Servers) -> None:
    server = servers.make()
    server.stop()
    server.stop()
    server.run()
    with pytest.raises(RuntimeError, match="runs once"):
        server.run()


def test_a_stop_before_the_thread(servers: Servers) -> None:
    server = servers.make()
    server.stop()
    with server.start_in_thread():
        pass


def test_the_body_of_with_raises(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    with pytest.raises(ZeroDivisionError), server.start_in_thread():
        raise ZeroDivisionError
    with pytest.raises(ConnectionRefusedError):
        connect(server)


def test_a_stop_from_the_handler_of_a_with(servers: Servers) -> None:
    server = servers.make()
    thread = server.start_in_thread()
    server.on_message(lambda conn, message: thread.stop())
    with thread as url, Client(url) as client:
        client.send("go")
        assert client.answer_close() == (1001, "")


def test_the_port_is_free_at_once(servers: Servers, connect: Connect) -> None:
    first = servers.make()
    with first.start_in_thread(), Client(first):
        pass
    second = servers.run(port=first.port, on_message=lambda conn, m: conn.send(m))
    connect(second).echo("hello")


@pytest.mark.parametrize("host", ["::1", "localhost", "127.0.0.1", "", "0.0.0.0", "::"])
def test_a_host(servers: Servers, connect: Connect, host: str) -> None:
    server = servers.run(host=host, on_message=lambda conn, message: conn.send(message))
    connect(server).echo("hello")
    with connect_sync(server.url) as client:
        client.send("hello")
        assert client.recv(timeout=10) == "hello"


def test_every_address_is_of_both_families(servers: Servers, connect: Connect) -> None:
    server = servers.run(host="", on_message=lambda conn, message: conn.send(message))
    for address in ("127.0.0.1", "[::1]"):
        connect(f"ws://{address}:{server.port}/").echo("hello")


def test_every_address_of_a_name(servers: Servers, connect: Connect) -> None:
    server = servers.run(host="localhost", on_message=lambda conn, message: conn.send(message))
    found = socket.getaddrinfo("localhost", server.port, type=socket.SOCK_STREAM)
    for family, _, _, _, place in found:
        host = f"[{place[0]}]" if family == socket.AF_INET6 else place[0]
        connect(f"ws://{host}:{server.port}/").echo("hello")


def test_an_ipv6_peer(servers: Servers, connect: Connect) -> None:
    server = servers.make(host="::1")
    recorder = Recorder(server)
    servers.start(server)
    assert server.url == f"ws://[::1]:{server.port}/"
    client = connect(server)
    conn = get(recorder.opened)
    assert conn.remote_address == ("::1", client.socket.getsockname()[1])
    assert repr(conn) == f"<wspy.Connection 1 [::1]:{conn.remote_address[1]} / open>"


# -- Unix sockets --


def test_a_unix_socket(servers: Servers, connect: Connect, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    server = servers.make(unix=path)
    recorder = Recorder(server, echo=True)
    thread = servers.start(server)
    assert server.port == 0
    assert server.url == f"ws+unix://{path}"
    assert stat.S_ISSOCK(path.stat().st_mode)
    client = connect(server)
    conn = get(recorder.opened)
    assert conn.remote_address is None
    assert "unix" in repr(conn)
    client.echo("hello")
    client.echo("x" * 300_000)
    with unix_connect(str(path), "ws://localhost/") as real:
        real.send("hello")
        assert real.recv(timeout=10) == "hello"
    client.close()
    client.socket.close()
    thread.stop()
    assert not path.exists()


def test_a_stale_unix_socket_is_replaced(
    servers: Servers, connect: Connect, tmp_path: Path
) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    assert path.exists()
    server = servers.run(unix=str(path), on_message=lambda conn, message: conn.send(message))
    connect(server).echo("hello")


def test_an_address_is_taken_before_the_run(servers: Servers, tmp_path: Path) -> None:
    server = servers.make()
    with pytest.raises(OSError, match=f"127.0.0.1:{server.port}: Address already in use"):
        servers.make(port=server.port)
    unix = servers.make(unix=tmp_path / "socket")
    with pytest.raises(OSError, match="socket: Address already in use"):
        servers.make(unix=tmp_path / "socket")
    with unix.start_in_thread(), unix_connect(str(tmp_path / "socket"), "ws://localhost/"):
        pass


def test_a_living_unix_socket_is_not_replaced(servers: Servers, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    servers.run(unix=path)
    with pytest.raises(OSError, match=str(path)):
        servers.make(unix=path)
    assert path.exists()


def test_a_file_is_not_replaced(servers: Servers, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    path.write_text("precious")
    with pytest.raises(OSError, match=str(path)):
        servers.make(unix=path)
    assert path.read_text() == "precious"


def test_a_unix_socket_of_somebody_else_is_not_removed(servers: Servers, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    server = servers.make(unix=path)
    thread = servers.start(server)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        thread.stop()
        assert path.exists()


@pytest.mark.parametrize("bad", ["", "a\0b", "x" * 200])
def test_a_bad_unix_path(servers: Servers, bad: str) -> None:
    with pytest.raises((ValueError, OSError)):
        servers.make(unix=bad)


def test_unix_and_port_together(servers: Servers, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unix"):
        servers.make(unix=tmp_path / "socket", port=1)


def test_a_server_that_never_ran_lets_go_of_its_address(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    server = wspy.Server(unix=path)
    del server
    gc.collect()
    wspy.Server(unix=path)
    gc.collect()
    first = wspy.Server(port=0)
    port = first.port
    del first
    gc.collect()
    assert wspy.Server(port=port).port == port


# -- the collector --


def test_a_cycle_of_server_and_closure_is_collected(servers: Servers, connect: Connect) -> None:
    def make() -> weakref.ref[wspy.Server]:
        server = servers.make()

        @server.on_open
        def opened(conn: wspy.Connection) -> None:
            conn.home = server
            conn.me = conn

        @server.on_message
        def message(conn: wspy.Connection, message: str | bytes) -> None:
            for other in server.connections:
                other.send(message)

        @server.on_close
        def closed(conn: wspy.Connection, code: int, reason: str) -> None:
            seen.append(weakref.ref(conn))
            len(server)

        with server.start_in_thread() as url, Client(url) as client:
            client.echo("hello")
            client.close()
        return weakref.ref(server)

    seen: list[weakref.ref[wspy.Connection]] = []
    ref = make()
    wait_until(lambda: gc.collect() >= 0 and ref() is None)
    assert [conn() for conn in seen] == [None]


def test_a_cycle_through_a_server_that_never_ran(servers: Servers) -> None:
    def make() -> weakref.ref[wspy.Server]:
        server = servers.make()
        server.on_message(lambda conn, message: server.stop())
        server.me = server  # type: ignore[attr-defined]
        return weakref.ref(server)

    ref = make()
    gc.collect()
    assert ref() is None


def test_a_running_server_is_not_collected(servers: Servers) -> None:
    ports: queue.Queue[int] = queue.Queue()

    def run() -> None:
        server = servers.make(on_message=lambda conn, message: conn.server.stop())
        ports.put(server.port)
        server.run()

    thread = threading.Thread(target=run)
    thread.start()
    port = get(ports)
    gc.collect()
    while True:
        try:
            client = Client(f"ws://127.0.0.1:{port}/")
            break
        except ConnectionRefusedError:
            time.sleep(0.001)
    gc.collect()
    with client:
        client.send("stop")
        assert client.answer_close() == (1001, "")
    thread.join(10)
    assert not thread.is_alive()


def test_a_connection_outlives_its_server(servers: Servers, connect: Connect) -> None:
    def make() -> wspy.Connection:
        server = servers.make()
        recorder = Recorder(server)
        with server.start_in_thread() as url, Client(url, "/path?q", [("X-A", "b")]) as client:
            conn = get(recorder.opened)
            client.close(4000, "bye")
            get(recorder.closed)
        return conn

    conn = make()
    gc.collect()
    assert (conn.path, conn.query, conn.headers["x-a"]) == ("/path", "q", "b")
    assert (conn.close_code, conn.close_reason, conn.close_kind) == (4000, "bye", "peer")
    assert not conn.is_open
    assert conn.backlog == 0
    assert conn.remote_address is not None
    assert conn.server.connections == []
    assert conn.server.get(conn.id) is None
    assert "closed 4000" in repr(conn)
    with pytest.raises(wspy.ConnectionClosed):
        conn.send("late")
    ref = weakref.ref(conn)
    del conn
    gc.collect()
    assert ref() is None


def test_connections_are_dropped_in_another_thread(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    kept: queue.Queue[wspy.Connection] = queue.Queue()
    server.on_open(kept.put)
    servers.start(server)

    def drop() -> None:
        for _ in range(100):
            get(kept)

    thread = threading.Thread(target=drop)
    thread.start()
    for _ in range(100):
        connect(server).reset()
    thread.join(10)
    assert not thread.is_alive()
    wait_until(lambda: len(server) == 0)


def test_an_idle_server_does_not_spin(servers: Servers, connect: Connect) -> None:
    server = servers.run(on_message=lambda conn, message: conn.send(message))
    client = connect(server, receive_buffer=4096)
    client.echo("hello")
    blocked = connect(server, receive_buffer=4096)
    blocked.socket.settimeout(0.2)
    with pytest.raises(TimeoutError):
        while True:
            blocked.send(bytes(50_000))
    ident = servers.threads[0]._thread.ident
    assert ident is not None
    clock = time.pthread_getcpuclockid(ident)
    spent, wall = time.clock_gettime(clock), time.monotonic()
    time.sleep(0.2)  # nothing happens: there is no event to wait for
    spent, wall = time.clock_gettime(clock) - spent, time.monotonic() - wall
    assert spent < wall / 4


def test_two_servers_in_two_threads(servers: Servers, connect: Connect) -> None:
    first = servers.run(on_message=lambda conn, message: conn.send(f"first {message!s}"))
    second = servers.run(on_message=lambda conn, message: conn.send(f"second {message!s}"))
    one, two = connect(first), connect(second)
    one.send("x")
    two.send("y")
    assert (one.receive(), two.receive()) == ("first x", "second y")
    servers.threads[0].server.stop()
    assert one.answer_close() == (1001, "")
    two.send("z")
    assert two.receive() == "second z"


def test_a_server_in_the_handler_of_another(servers: Servers, connect: Connect) -> None:
    inner: queue.Queue[tuple[wspy.Server, wspy.thread.ServerThread]] = queue.Queue()

    def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        server = servers.make(on_message=lambda conn, message: conn.send(message))
        inner.put((server, server.start_in_thread()))

    outer = servers.run(on_message=on_message)
    connect(outer).send("go")
    server, thread = get(inner)
    with Client(server) as client:
        client.echo("hello")
        client.close()
    thread.stop()


def test_a_run_in_the_main_thread_of_a_program(servers: Servers) -> None:
    code = (
        "import sys, threading, wspy\n"
        "server = wspy.Server(port=0, strategy=sys.argv[1])\n"
        "threading.Thread(target=server.stop).start()\n"
        "server.run()\n"
        "print(len(server), server.connections, bool(server))\n"
    )
    with script(code, servers.strategy) as process:
        assert finish(process) == (0, "0 [] True\n", "")


def test_stop_races_with_the_start(servers: Servers) -> None:
    for _ in range(100):
        server = servers.make()
        thread = threading.Thread(target=server.run)
        thread.start()
        server.stop()
        thread.join(10)
        assert not thread.is_alive()


def test_descriptors_are_not_inherited(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    recorder = Recorder(server)
    before = set(os.listdir("/proc/self/fd"))
    servers.start(server)
    connect(server)
    get(recorder.opened)
    ours = {int(name) for name in set(os.listdir("/proc/self/fd")) - before}
    assert len(ours) > 3
    assert [
        fd for fd in ours if os.path.exists(f"/proc/self/fd/{fd}") and os.get_inheritable(fd)
    ] == []
