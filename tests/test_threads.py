"""What other threads may do while the loop runs: send, close, stop, look."""

from __future__ import annotations

import queue
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator

import pytest
from audience import Audience, MakeAudience
from conftest import Servers
from support import TIMEOUT, Client, Connect, Gate, Recorder, get, wait_until

import wspy


@pytest.fixture(autouse=True)
def fast_switches() -> Iterator[None]:
    """Threads take turns often, so that more of their meetings are tried."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def run_threads(n: int, work: Callable[[int], object]) -> None:
    """Runs work(0) to work(n - 1), each in a thread, and raises what they raised."""
    failures: queue.Queue[BaseException] = queue.Queue()
    barrier = threading.Barrier(n)

    def body(i: int) -> None:
        try:
            barrier.wait(TIMEOUT)
            work(i)
        except BaseException as exc:  # noqa: BLE001
            failures.put(exc)

    threads = [threading.Thread(target=body, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if not failures.empty():
        raise failures.get()


def test_eight_threads_send(make_audience: MakeAudience) -> None:
    client, conn = make_audience(max_backlog=None).enter()
    received: dict[str, list[int]] = defaultdict(list)

    def read() -> None:
        for _ in range(16_000):
            thread, number = str(client.receive()).split()
            received[thread].append(int(number))

    reader = threading.Thread(target=read)
    reader.start()
    run_threads(8, lambda i: [conn.send(f"{i} {n}") for n in range(2000)])
    reader.join(60)
    assert received == {str(i): list(range(2000)) for i in range(8)}
    assert conn.server.stats()["sent"] == 16_000
    wait_until(lambda: conn.backlog == 0)


def test_eight_threads_send_to_many(servers: Servers, connect: Connect) -> None:
    server = servers.make(max_backlog=None)
    recorder = Recorder(server)
    servers.start(server)
    clients = [connect(server) for _ in range(20)]
    conns = [get(recorder.opened) for _ in clients]
    sizes = [0, 10, 5000, 20_000]

    def work(i: int) -> None:
        for n in range(50):
            for conn in conns:
                conn.send(bytes([i, n]) + bytes(sizes[n % 4]))

    run_threads(8, work)
    for client in clients:
        seen: dict[int, list[int]] = defaultdict(list)
        for _ in range(400):
            message = client.receive()
            assert isinstance(message, bytes)
            assert len(message) == 2 + sizes[message[1] % 4]
            seen[message[0]].append(message[1])
        assert seen == {i: list(range(50)) for i in range(8)}


def test_a_thread_and_the_handler_send(servers: Servers, connect: Connect) -> None:
    def burst(conn: wspy.Connection, message: str | bytes) -> None:
        for n in range(1000):
            conn.send(f"handler {n}")

    server = servers.make(max_backlog=None)
    recorder = Recorder(server)
    server.on_message(burst)
    servers.start(server)
    client = connect(server)
    conn = get(recorder.opened)
    client.send("go")
    run_threads(1, lambda i: [conn.send(f"thread {n}") for n in range(1000)])
    received: dict[str, list[int]] = defaultdict(list)
    for _ in range(2000):
        who, number = str(client.receive()).split()
        received[who].append(int(number))
    assert received == {"handler": list(range(1000)), "thread": list(range(1000))}


def test_threads_close(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    recorder = Recorder(server)
    servers.start(server)
    for _ in range(20):
        client = connect(server)
        conn = get(recorder.opened)

        def close(i: int, conn: wspy.Connection = conn) -> None:
            conn.close(4000 + i, str(i))

        run_threads(4, close)
        code, reason = client.answer_close()
        assert code == 4000 + int(reason)
        closed = get(recorder.closed)
        assert closed.kind == "local"
        assert closed.sent == (code, reason)


def test_threads_send_while_the_peer_closes(servers: Servers, connect: Connect) -> None:
    # Over high_water nothing would be read, the close neither.
    server = servers.make(high_water=2**40, max_backlog=None)
    recorder = Recorder(server)
    servers.start(server)
    outcomes: queue.Queue[tuple[int, str]] = queue.Queue()
    for _ in range(15):
        client = connect(server)
        conn = get(recorder.opened)

        def work(i: int, conn: wspy.Connection = conn, client: Client = client) -> None:
            if i == 0:
                client.send_raw(b"\x88\x82\0\0\0\0\x0f\xa0")  # 4000
                return
            while True:
                try:
                    conn.send("x" * (10 if i == 1 else 20_000))
                except wspy.ConnectionClosed as exc:
                    outcomes.put((exc.code, exc.reason))
                    return

        reader = threading.Thread(target=client.read_close)
        reader.start()
        run_threads(3, work)
        reader.join(TIMEOUT)
        assert get(recorder.closed)[1:] == (4000, "", "peer", (4000, ""))
        assert {get(outcomes), get(outcomes)} == {(4000, "")}
        client.socket.close()


def test_threads_send_while_the_peer_resets(servers: Servers, connect: Connect) -> None:
    server = servers.make(max_backlog=None)
    recorder = Recorder(server)
    servers.start(server)
    for _ in range(15):
        client = connect(server)
        conn = get(recorder.opened)

        def work(i: int, conn: wspy.Connection = conn, client: Client = client) -> None:
            if i == 0:
                client.reset()
                return
            with pytest.raises(wspy.ConnectionClosed) as info:
                while True:
                    conn.send("x" * 1000)
            assert (info.value.code, info.value.reason) == (1006, "")

        run_threads(3, work)
        assert get(recorder.closed)[1:] == (1006, "", "reset", None)


def test_threads_stop(servers: Servers, connect: Connect) -> None:
    for _ in range(10):
        server = servers.make()
        recorder = Recorder(server)
        thread = servers.start(server)
        client = connect(server)

        def stop(i: int, server: wspy.Server = server) -> None:
            server.stop()

        run_threads(4, stop)
        assert client.answer_close() == (1001, "")
        client.socket.close()
        thread.stop()
        assert get(recorder.closed).kind == "shutdown"


def test_threads_send_while_the_server_stops(servers: Servers, connect: Connect) -> None:
    for _ in range(5):
        server = servers.make(max_backlog=None, close_timeout=None, shutdown_timeout=None)
        recorder = Recorder(server)
        thread = servers.start(server)
        clients = [connect(server) for _ in range(5)]
        conns = [get(recorder.opened) for _ in clients]

        def work(
            i: int,
            server: wspy.Server = server,
            conns: list[wspy.Connection] = conns,
            clients: list[Client] = clients,
        ) -> None:
            if i == 0:
                server.stop()
                for client in clients:
                    client.read_close()
                    client.socket.close()
                return
            for conn in conns:
                with pytest.raises(wspy.ConnectionClosed):
                    while True:
                        conn.send(b"x" * (100 if i == 1 else 20_000))

        run_threads(3, work)
        thread.stop()
        with pytest.raises(wspy.ConnectionClosed):
            conns[0].send("late")


def test_the_bound_of_the_backlog_from_another_thread(servers: Servers, connect: Connect) -> None:
    gate = Gate()
    server = servers.make(high_water=10_200, max_backlog=50_000)
    recorder = Recorder(server)
    server.on_message(lambda conn, message: gate.hold())
    servers.start(server)
    client = connect(server)
    conn = get(recorder.opened)
    with gate.held(client):  # nothing is written meanwhile
        results = [conn.send(bytes(996)) for _ in range(10)]
        assert results == [True] * 10
        assert conn.backlog == 10_000
        results = [conn.send(bytes(9996)) for _ in range(4)]
        assert results == [False] * 4  # queued, over high_water
        assert conn.backlog == 50_000
        assert conn.is_open
        assert conn.send("too much") is False  # dropped
        assert not conn.is_open
        assert conn.backlog == 50_000
        with pytest.raises(wspy.ConnectionClosed):
            conn.send("even more")
    assert client.read_close() == (1013, "the backlog is full")
    client.send_raw(b"\x88\x82\0\0\0\0\x03\xf5")
    closed = get(recorder.closed)
    assert closed[1:] == (1013, "", "backlog", (1013, "the backlog is full"))
    assert server.stats()["dropped_sent"] >= 1


def test_false_from_another_thread_is_followed_by_on_drain(make_audience: MakeAudience) -> None:
    audience = make_audience(high_water=10_000, max_backlog=None)
    client, conn = audience.enter()
    recorder = audience.recorder
    for _ in range(20):
        sent = 1
        while conn.send(bytes(1000)):
            sent += 1
        for _ in range(sent):
            assert client.receive() == bytes(1000)
        assert get(recorder.drained) is conn
    assert recorder.drained.empty()


def test_snapshots_from_other_threads(servers: Servers, connect: Connect) -> None:
    server = servers.make(on_message=lambda conn, message: conn.send(message))
    servers.start(server)
    over = threading.Event()

    def work(i: int) -> None:
        if i == 0:
            for n in range(60):
                client = connect(server, f"/{n}")
                client.echo("x" * n * 100)
                if n % 3 == 0:
                    client.close(4000, "bye")
                elif n % 3 == 1:
                    client.reset()
                else:
                    client.socket.close()
            over.set()
            return
        while not over.is_set():
            for conn in server.connections:
                assert conn.backlog >= 0
                assert conn.is_open in (True, False)
                assert conn.path == f"/{conn.id - 1}"
                assert conn.close_kind in (None, "peer", "eof", "reset")
                assert conn.close_code in (None, 4000, 1006)
                assert conn.close_reason in (None, "bye", "")
                assert conn.sent_close in (None, (4000, ""))
                assert conn.headers["upgrade"] == "websocket"
                assert str(conn.id) in repr(conn)
                assert server.get(conn.id) in (conn, None)
            assert len(server) <= 60
            assert server.stats()["opened"] >= len(server) - 1

    run_threads(4, work)


def test_handlers_are_replaced_by_another_thread(servers: Servers, connect: Connect) -> None:
    server = servers.run(on_message=lambda conn, message: conn.send(message))
    client = connect(server)
    over = threading.Event()

    def work(i: int) -> None:
        if i == 0:
            for n in range(2000):
                client.echo(str(n))
            over.set()
        while not over.is_set():
            server.on_message(lambda conn, message: conn.send(message))

    run_threads(2, work)


def test_close_from_another_thread_goes_behind_its_sends(audience: Audience) -> None:
    client, conn = audience.enter()

    def work(i: int) -> None:
        for n in range(100):
            conn.send(str(n))
        conn.close(4000, "done")

    run_threads(1, work)
    assert [client.receive() for _ in range(100)] == [str(n) for n in range(100)]
    assert client.expect_close() == (4000, "done")


def test_many_threads_use_a_server_that_is_gone(audience: Audience, servers: Servers) -> None:
    client, conn = audience.enter()
    recorder = audience.recorder
    client.close()
    client.socket.close()
    get(recorder.closed)
    servers.threads[-1].stop()

    def work(i: int) -> None:
        for _ in range(100):
            with pytest.raises(wspy.ConnectionClosed):
                conn.send("x")
            conn.close()
            assert conn.server.connections == []
            conn.server.stop()

    run_threads(4, work)
