"""Handlers that block, on threads of the pool: order, parallelism, pausing, errors, contexts."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import queue
import threading
from collections import defaultdict
from typing import Any

import pytest
from audience import PLUG
from blocking import Held, is_pool_thread, pool_threads
from conftest import Records, Servers
from support import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    TIMEOUT,
    Client,
    Connect,
    close_frame,
    frame,
    get,
    settle,
    text,
    wait,
    wait_until,
)

import wspy

# -- which events, in which order --


def test_every_event_is_told_on_a_thread(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    seen: queue.Queue[tuple[str, bool, tuple[Any, ...]]] = queue.Queue()

    def note(name: str, *args: Any) -> None:
        seen.put((name, is_pool_thread(), args))

    server.on_open(lambda conn: note("open"), thread=True)
    server.on_message(lambda conn, message: note("message", message), thread=True)
    server.on_message(lambda conn, *values: note("record", *values), format="!IH", thread=True)
    server.on_json(lambda conn, obj: note("json", obj), thread=True)
    server.on_ping(lambda conn, data: note("ping", data), thread=True)
    server.on_pong(lambda conn, data: note("pong", data), thread=True)
    server.on_close(lambda conn, code, reason: note("close", code, reason), thread=True)
    servers.start(server)
    client = connect(server)
    client.send_raw(
        text('{"a": 1}'), frame(BINARY, b"\0\0\0\1\0\2"), frame(PING, b"p"), frame(PONG, b"q")
    )
    client.send_raw(close_frame(4000, "bye"))
    assert [get(seen) for _ in range(6)] == [
        ("open", True, ()),
        ("json", True, ({"a": 1},)),
        ("record", True, (1, 2)),
        ("ping", True, (b"p",)),
        ("pong", True, (b"q",)),
        ("close", True, (4000, "bye")),
    ]
    assert seen.empty()


def test_a_drain_is_told_on_a_thread(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    drained: queue.Queue[bool] = queue.Queue()
    server.on_message(lambda conn, message: conn.send(bytes(PLUG)), thread=True)
    server.on_drain(lambda conn: drained.put(is_pool_thread()), thread=True)
    servers.start(server)
    client = connect(server, receive_buffer=4096)
    client.send("go")
    assert client.receive() == bytes(PLUG)
    assert get(drained) is True


def test_the_messages_of_a_connection_are_in_order(servers: Servers, connect: Connect) -> None:
    inside: dict[int, int] = defaultdict(int)
    seen: dict[int, list[str | bytes]] = defaultdict(list)

    def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        inside[conn.id] += 1
        assert inside[conn.id] == 1
        seen[conn.id].append(message)
        conn.send(message)
        inside[conn.id] -= 1

    server = servers.make(handler_threads=4)
    server.on_message(on_message, thread=True)
    servers.start(server)
    clients = [connect(server) for _ in range(5)]
    messages = [str(n) for n in range(200)]
    for client in clients:
        client.send_raw(*(text(message) for message in messages))
    for client in clients:
        assert [client.receive() for _ in messages] == messages
    assert seen == dict.fromkeys(range(1, 6), messages)
    assert len(pool_threads()) <= 4


def test_connections_are_served_in_parallel(servers: Servers, connect: Connect) -> None:
    barrier = threading.Barrier(4)
    server = servers.make(handler_threads=4)
    server.on_message(lambda conn, message: conn.send(str(barrier.wait(TIMEOUT))), thread=True)
    servers.start(server)
    clients = [connect(server) for _ in range(4)]
    for client in clients:
        client.send("meet")
    assert sorted(str(client.receive()) for client in clients) == ["0", "1", "2", "3"]


def test_no_more_threads_than_handler_threads(servers: Servers, connect: Connect) -> None:
    held = Held()
    server = servers.make(handler_threads=2)
    server.on_message(held, thread=True)
    servers.start(server)
    assert pool_threads() == []  # none is started before it is needed
    for n in range(3):
        connect(server).send(str(n))
    wait_until(lambda: server.stats()["received"] == 3)
    assert {get(held.begun), get(held.begun)} < {"0", "1", "2"}
    settle(server)
    assert held.begun.empty()
    assert sorted(thread.name for thread in pool_threads()) == [
        f"wspy handler 1 {server!r}",
        f"wspy handler 2 {server!r}",
    ]
    held.turns.release(3)
    get(held.begun)
    assert sorted(str(get(held.ended)) for _ in range(3)) == ["0", "1", "2"]


def test_a_handler_for_text_and_one_for_records(servers: Servers, connect: Connect) -> None:
    """Only one of them is concurrent: the other one's connection goes on when it is done."""
    held, records = Held(), queue.Queue[int]()
    server = servers.make()
    server.on_message(held, thread=True, concurrent=True)
    server.on_message(lambda conn, n: records.put(n), format="!B", thread=True)
    servers.start(server)
    client = connect(server)
    client.send_raw(text("a"), frame(BINARY, b"\1"), frame(BINARY, b"\2"), text("b"))
    assert [get(records), get(records)] == [1, 2]
    assert [get(held.begun), get(held.begun)] == ["a", "b"]
    held.turns.release(2)


def test_a_handler_that_is_replaced_while_it_runs(servers: Servers, connect: Connect) -> None:
    """How it was called counts, and not how the new one is."""
    held, seen = Held(), queue.Queue[str | bytes]()
    server = servers.make()
    server.on_message(held, thread=True)
    servers.start(server)
    client = connect(server)
    client.send_raw(text("a"), text("b"), text("c"))
    assert get(held.begun) == "a"
    server.on_message(lambda conn, message: seen.put(message), thread=True, concurrent=True)
    held.turns.release()
    assert sorted([str(get(seen)), str(get(seen))]) == ["b", "c"]


# -- pausing --


def test_reading_pauses_above_max_queue(servers: Servers, connect: Connect) -> None:
    held = Held()
    server = servers.make(max_queue=3)
    server.on_message(held, thread=True)
    servers.start(server)
    client = connect(server)
    client.send("0")
    assert get(held.begun) == "0"
    for n in range(1, 4):
        client.send_raw(text(str(n)), frame(PING, b"%d" % n))
        assert client.read_frame() == (PONG, b"%d" % n, True)  # three may wait
    client.send("4")
    settle(server)
    client.send_raw(frame(PING, b"4"))
    settle(server)
    assert client.has_nothing()
    held.turns.release(5)
    assert client.read_frame() == (PONG, b"4", True)
    assert [get(held.ended) for _ in range(5)] == ["0", "1", "2", "3", "4"]


def test_concurrent_messages_of_one_connection(servers: Servers, connect: Connect) -> None:
    barrier = threading.Barrier(3)
    server = servers.make(handler_threads=3)

    def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        barrier.wait(TIMEOUT)
        conn.send(message)

    server.on_message(on_message, thread=True, concurrent=True)
    servers.start(server)
    client = connect(server)
    client.send_raw(text("a"), text("b"), text("c"))
    assert sorted(str(client.receive()) for _ in range(3)) == ["a", "b", "c"]


def test_concurrent_messages_are_max_queue_at_a_time(servers: Servers, connect: Connect) -> None:
    held = Held()
    server = servers.make(handler_threads=8, max_queue=2)
    server.on_message(held, thread=True, concurrent=True)
    servers.start(server)
    client = connect(server)
    client.send_raw(*(text(str(n)) for n in range(10)))
    for n in range(0, 10, 2):
        assert {get(held.begun), get(held.begun)} == {str(n), str(n + 1)}
        settle(server)
        assert held.begun.empty()
        assert server.stats()["received"] == n + 2
        held.turns.release()
        held.turns.release()
        get(held.ended), get(held.ended)
    assert client.close() == (1000, "")


# -- what a handler does --


def test_everything_may_be_asked_for_on_a_thread(servers: Servers, connect: Connect) -> None:
    server = servers.make()

    @server.on_message(thread=True)
    def message(conn: wspy.Connection, message: str | bytes) -> None:
        assert conn.is_open
        assert conn.headers["Upgrade"] == "websocket"
        conn.subscribe("all")
        conn.send_json({"a": 1})
        conn.pack("!H", 258)
        with conn.stream(text=True) as stream:
            stream.write("str")
            stream.write("eam")
        assert server.publish("all", "published") == 1
        assert server.get(conn.id) is conn
        conn.ping(b"x")
        conn.close(4001, "done")
        with pytest.raises(wspy.ConnectionClosed) as caught:
            conn.send("late")
        assert caught.value.code == 4001

    servers.start(server)
    client = connect(server)
    client.send("go")
    expected = [
        (0x80 | TEXT, b'{"a":1}'),
        (0x80 | BINARY, b"\1\2"),
        (TEXT, b"str"),
        (CONTINUATION, b"eam"),
        (0x80 | CONTINUATION, b""),
        (0x80 | TEXT, b"published"),
        (0x80 | CLOSE, b"\x0f\xa1done"),
    ]
    got: list[tuple[int, bytes]] = []
    while not got or got[-1][0] != 0x80 | CLOSE:
        first, size = client.read(2)
        got.append((first, client.read(size)))
    assert (0x80 | PING, b"x") in got  # at the next frame boundary, wherever that was
    got.remove((0x80 | PING, b"x"))
    assert got == expected


def test_nothing_can_be_awaited_on_a_thread(servers: Servers, connect: Connect) -> None:
    raised: queue.Queue[str] = queue.Queue()

    async def wait_for(what: Any) -> None:
        await what

    def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        for make in (conn.ping, conn.drain, conn.wait_closed):
            with pytest.raises(RuntimeError, match="not on another thread") as caught:
                asyncio.run(wait_for(make()))
            raised.put(str(caught.value))
        assert conn._side.pings == conn._side.drains == conn._side.closes == []
        conn.send("done")

    server = servers.make()
    server.on_message(on_message, thread=True)
    servers.start(server)
    client = connect(server)
    client.send("go")
    assert client.read_frame().opcode == PING
    assert client.receive() == "done"
    assert raised.qsize() == 3


def test_a_connection_that_has_gone(servers: Servers, connect: Connect) -> None:
    held, closed = Held(), threading.Event()
    caught: queue.Queue[wspy.ConnectionClosed] = queue.Queue()
    server = servers.make()

    @server.on_message(thread=True, concurrent=True)
    def message(conn: wspy.Connection, message: str | bytes) -> None:
        held(conn, message)
        try:
            conn.send("late")
        except wspy.ConnectionClosed as exc:
            caught.put(exc)

    server.on_close(lambda conn, code, reason: closed.set())
    servers.start(server)
    client = connect(server)
    client.send("go")
    get(held.begun)
    client.close(4000, "bye")
    wait(closed)
    held.turns.release()
    exc = get(caught)
    assert (exc.code, exc.reason) == (4000, "bye")


def test_a_handler_that_sends_for_ever_ends_with_its_connection(
    servers: Servers, connect: Connect
) -> None:
    ends: queue.Queue[object] = queue.Queue()
    pause = threading.Event()
    server = servers.make()

    @server.on_open(thread=True)
    def opened(conn: wspy.Connection) -> None:
        try:
            while not pause.wait(0.001):
                conn.send("tick")
        except wspy.ConnectionClosed as exc:
            ends.put((exc.code, conn.is_open))

    server.on_close(lambda conn, code, reason: ends.put(conn.close_kind))
    servers.start(server)
    client = connect(server)
    try:
        assert client.receive() == "tick"
        client.reset()
        assert get(ends) == (1006, False)
        assert get(ends) == "reset"
    finally:
        pause.set()


def test_the_close_waits_for_the_handler(servers: Servers, connect: Connect) -> None:
    held, closed = Held(), threading.Event()
    server = servers.make()
    server.on_message(held, thread=True)
    server.on_close(lambda conn, code, reason: closed.set(), thread=True)
    servers.start(server)
    client = connect(server)
    client.send("go")
    get(held.begun)
    client.reset()
    settle(server)
    assert not closed.is_set()
    held.turns.release()
    wait(closed)


def test_headers_are_kept_until_on_open_has_ended(servers: Servers, connect: Connect) -> None:
    held, found = Held(), queue.Queue[str | None]()
    server = servers.make(keep_headers=False)

    @server.on_open(thread=True)
    def opened(conn: wspy.Connection) -> None:
        held(conn, "open")
        if conn.path == "/look":
            found.put(conn.headers.get("X-Name"))

    server.on_message(lambda conn, m: found.put(conn.headers.get("X-Name")), thread=True)
    servers.start(server)
    held.turns.release(2)
    client = connect(server, "/look", [("X-Name", "a")])
    assert get(found) == "a"
    client.send("kept by the object")
    assert get(found) == "a"
    client = connect(server, "/", [("X-Name", "a")])
    client.send("forgotten")
    assert get(found) is None


# -- errors --


def test_an_exception_is_told_on_the_loops_thread(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    told: queue.Queue[tuple[str, threading.Thread]] = queue.Queue()
    threads: queue.Queue[threading.Thread] = queue.Queue()

    @server.on_message(thread=True)
    def message(conn: wspy.Connection, message: str | bytes) -> None:
        if message == "raise":
            raise ValueError("raised")
        conn.send(message)

    @server.on_error
    def error(conn: wspy.Connection, exception: Exception) -> None:
        told.put((str(exception), threading.current_thread()))
        conn.send("error")

    servers.start(server)
    server.call_soon(lambda: threads.put(threading.current_thread()))
    client = connect(server)
    client.send_raw(text("raise"), text("next"))
    assert [client.receive(), client.receive()] == ["error", "next"]
    assert get(told) == ("raised", get(threads))


def test_without_on_error_the_connection_is_closed(
    servers: Servers, connect: Connect, log: Records
) -> None:
    server = servers.make()

    @server.on_message(thread=True)
    def message(conn: wspy.Connection, message: str | bytes) -> None:
        raise ValueError("raised")

    servers.start(server)
    client, other = connect(server), connect(server)
    client.send_raw(text("a"), text("b"))
    assert client.answer_close() == (1011, "")
    (record,) = log.take_errors()
    assert record.getMessage().startswith("on_message failed for <wspy.Connection 1 ")
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "raised"
    assert other.close() == (1000, "")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_program_ends_the_run(
    servers: Servers, kind: type[BaseException], connect: Connect
) -> None:
    server = servers.make()

    @server.on_message(thread=True)
    def message(conn: wspy.Connection, message: str | bytes) -> None:
        raise kind("end")

    thread = servers.start(server)
    client = connect(server)
    client.send("go")
    assert client.answer_close() == (1001, "")
    client.socket.close()
    with pytest.raises(kind, match="end"):
        thread.stop()


def test_no_thread_can_be_started(
    servers: Servers, connect: Connect, log: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is told; later it may be possible."""
    server = servers.make()
    server.on_message(lambda conn, message: conn.send(message), thread=True)
    servers.start(server)
    client = connect(server)

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr("wspy.pool.Worker.start", refuse)
        client.send("a")
        assert client.answer_close() == (1011, "")
    (record,) = log.take_errors()
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "can't start new thread"
    connect(server).echo("b")


def test_fewer_threads_than_wanted(
    servers: Servers, connect: Connect, log: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held()
    server = servers.make()
    server.on_message(held, thread=True)
    servers.start(server)
    connect(server).send("a")
    get(held.begun)

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("wspy.pool.Worker.start", refuse)
    connect(server).send("b")
    wait_until(lambda: server.stats()["received"] == 2)
    held.turns.release(2)
    assert [get(held.ended), get(held.ended)] == ["a", "b"]
    assert "no more threads for handlers than 1" in log.at(logging.WARNING)


# -- contexts --

NAME: contextvars.ContextVar[str] = contextvars.ContextVar("NAME", default="nobody")


def test_each_connection_has_a_context(servers: Servers, connect: Connect) -> None:
    seen: queue.Queue[tuple[str, str]] = queue.Queue()
    server = servers.make()
    server.on_open(lambda conn: NAME.set(conn.path) and None, thread=True)

    @server.on_message(thread=True)
    def message(conn: wspy.Connection, message: str | bytes) -> None:
        conn.send(NAME.get())
        NAME.set(f"{NAME.get()}+")

    server.on_close(lambda conn, code, reason: seen.put((conn.path, NAME.get())), thread=True)
    servers.start(server)
    clients = [connect(server, path) for path in ("/a", "/b")]
    for expected in ("/a", "/a+"), ("/b", "/b+"):
        client = clients.pop(0)
        client.send_raw(text("1"), text("2"))
        assert (client.receive(), client.receive()) == expected
        client.close()
        assert get(seen) == (expected[0], expected[1] + "+")
    assert NAME.get() == "nobody"


def test_concurrent_handlers_have_copies(servers: Servers, connect: Connect) -> None:
    barrier = threading.Barrier(2)
    server = servers.make()
    server.on_open(lambda conn: NAME.set("open") and None, thread=True)

    @server.on_message(thread=True, concurrent=True)
    def message(conn: wspy.Connection, message: str | bytes) -> None:
        barrier.wait(TIMEOUT)
        conn.send(f"{message!s} {NAME.get()}")
        NAME.set("changed")

    servers.start(server)
    client = connect(server)
    for _ in range(3):
        client.send_raw(text("1"), text("2"))
        assert {client.receive(), client.receive()} == {"1 open", "2 open"}


def test_async_and_threaded_handlers_share_a_context(log: Records) -> None:
    """Concurrent tasks go on while a thread is in the connection's context."""
    held = Held()

    async def main() -> list[str | bytes]:
        server = wspy.Server(port=0)
        go = asyncio.Event()

        @server.on_open
        async def opened(conn: wspy.Connection) -> None:
            NAME.set("open")

        @server.on_message(concurrent=True)
        async def message(conn: wspy.Connection, message: str | bytes) -> None:
            await go.wait()
            conn.send(f"{message!s} {NAME.get()}")

        server.on_ping(lambda conn, data: held(conn, NAME.get()), thread=True)
        async with server:
            with await asyncio.to_thread(Client, server) as client:
                client.send_raw(text("a"), frame(PING, b""))
                assert await asyncio.to_thread(get, held.begun) == "open"
                go.set()
                got = [await asyncio.to_thread(client.read_frame) for _ in range(2)]
                held.turns.release()
        return [f.payload for f in got]

    assert sorted(asyncio.run(main())) == [b"", b"a open"]
    assert pool_threads() == []


# -- how they are set --


def test_what_cannot_be_set(servers: Servers) -> None:
    server = servers.make()

    async def handler(conn: wspy.Connection, message: str | bytes) -> None: ...

    with pytest.raises(TypeError, match="thread is for a plain def"):
        server.on_message(handler, thread=True)
    with pytest.raises(ValueError, match="concurrent is for handlers that go on"):
        server.on_message(lambda conn, message: None, concurrent=True)
    with pytest.raises(TypeError):
        server.on_error(lambda conn, exc: None, thread=True)  # type: ignore[call-arg]


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("fast_switches")
def test_the_counts_add_up(servers: Servers, connect: Connect) -> None:
    """Forty connections, of whose handlers some raise and some close."""
    server = servers.make(handler_threads=6, max_queue=2)
    lock = threading.Lock()
    counts: dict[str, int] = defaultdict(int)

    def count(what: str) -> None:
        with lock:
            counts[what] += 1

    @server.on_open(thread=True)
    def opened(conn: wspy.Connection) -> None:
        count("opened")

    @server.on_message(thread=True)
    def message(conn: wspy.Connection, message: str | bytes) -> None:
        count("messages")
        if message == "raise":
            raise ValueError
        conn.send(message)

    @server.on_close(thread=True)
    def closed(conn: wspy.Connection, code: int, reason: str) -> None:
        count("closed")

    @server.on_error
    def error(conn: wspy.Connection, exception: Exception) -> None:
        count("errors")
        conn.send("error")

    servers.start(server)
    clients = [connect(server) for _ in range(40)]
    for client in clients:
        client.send_raw(*(text("raise" if n % 10 == 9 else str(n)) for n in range(50)))
    for client in clients:
        got = [client.receive() for _ in range(50)]
        assert got == ["error" if n % 10 == 9 else str(n) for n in range(50)]
    for client in clients:
        assert client.close() == (1000, "")
    wait_until(lambda: counts["closed"] == 40)
    assert counts == {"opened": 40, "messages": 2000, "errors": 200, "closed": 40}
