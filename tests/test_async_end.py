"""async handlers, and the end: what they raise, the server that stops, the connection that ends."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from typing import Any

import loops
import pytest
from conftest import Records, Servers
from loops import Doors
from support import Connect, close_frame, get, text, wait, wait_until

import wspy
from wspy.runner import Runner
from wspy.serving import LoopName

# -- exceptions --


async def fail_at_once() -> None:
    raise ZeroDivisionError("at once")


async def fail_later() -> None:
    await asyncio.sleep(0)
    raise ZeroDivisionError("later")


FAILURES: list[Callable[[], Any]] = [fail_at_once, fail_later]


@pytest.mark.parametrize("fail", FAILURES)
def test_what_a_handler_raises_is_logged_and_closes(
    servers: Servers, connect: Connect, log: Records, fail: Callable[[], Any]
) -> None:
    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        await fail()

    server = servers.run(on_message=on_message)
    client = connect(server)
    client.send_raw(text("a"), text("b"))
    assert client.answer_close() == (1011, "")
    (record,) = log.take_errors()
    assert "on_message" in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ZeroDivisionError)


@pytest.mark.parametrize("fail", FAILURES)
def test_what_a_handler_raises_reaches_on_error(
    servers: Servers, connect: Connect, fail: Callable[[], Any]
) -> None:
    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        if message == "fail":
            await fail()
        conn.send(message)

    def on_error(conn: wspy.Connection, exc: Exception) -> None:
        conn.send(f"error {exc}")

    server = servers.run(on_message=on_message, on_error=on_error)
    client = connect(server)
    client.send_raw(text("fail"), text("next"))
    assert client.receive() == f"error {'at once' if fail is fail_at_once else 'later'}"
    assert client.receive() == "next"  # it decided not to close


@pytest.mark.parametrize("fail", FAILURES)
def test_on_close_that_fails(
    servers: Servers, connect: Connect, log: Records, fail: Callable[[], Any]
) -> None:
    async def on_close(conn: wspy.Connection, code: int, reason: str) -> None:
        await fail()

    server = servers.run(on_close=on_close)
    connect(server).close()
    wait_until(lambda: any(r.levelname == "ERROR" for r in log.records))
    (record,) = log.take_errors()
    assert "on_close" in record.getMessage()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_exit_at_once_stops_the_server(
    servers: Servers, connect: Connect, error: type[BaseException]
) -> None:
    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        raise error

    server = servers.make(on_message=on_message)
    thread = servers.start(server)
    client = connect(server)
    client.send("go")
    assert client.answer_close() == (1001, "")
    client.socket.close()
    with pytest.raises(error):
        thread.stop()


def test_a_handler_that_is_cancelled_by_the_user(servers: Servers, connect: Connect) -> None:
    tasks: queue.Queue[asyncio.Task[Any]] = queue.Queue()

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        if message == "wait":
            task = asyncio.current_task()
            assert task is not None
            task.get_loop().call_soon(task.cancel)
            tasks.put(task)
            await asyncio.get_running_loop().create_future()
        conn.send(message)

    server = servers.run(on_message=on_message)
    client = connect(server)
    client.send_raw(text("wait"), text("next"))
    assert client.receive() == "next"  # it is no error, and the connection stays
    assert get(tasks).cancelled()


# -- the shutdown --


@pytest.mark.parametrize("method", ["watch", "submit"])
def test_an_exit_behind_the_start_of_a_handler(
    servers: Servers, connect: Connect, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a signal's may come: the handler goes on, and the run does not wait for it for ever."""
    real = getattr(Runner, method)

    def start(self: Runner, *args: Any) -> None:
        real(self, *args)
        raise KeyboardInterrupt

    def block(conn: wspy.Connection, message: str | bytes) -> None:
        called.put(message)

    async def suspend(conn: wspy.Connection, message: str | bytes) -> None:
        called.put(message)
        await asyncio.sleep(0)

    called: queue.Queue[str | bytes] = queue.Queue()
    monkeypatch.setattr(Runner, method, start)
    server = servers.make(shutdown_timeout=None)
    server.on_message(block if method == "submit" else suspend, thread=method == "submit")
    thread = servers.start(server)
    client = connect(server)
    client.send("go")
    assert get(called) == "go"
    assert client.answer_close() == (1001, "")
    client.socket.close()
    with pytest.raises(KeyboardInterrupt):
        thread.stop()


def test_a_stop_cancels_handlers_and_waits_for_them(servers: Servers, connect: Connect) -> None:
    trace: list[str] = []
    entered = threading.Event()

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        entered.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            trace.append("cancelled")
            await asyncio.sleep(0.02)
            trace.append("cleaned up")

    async def on_close(conn: wspy.Connection, code: int, reason: str) -> None:
        trace.append("close")
        await asyncio.sleep(0.02)
        trace.append(f"closed {conn.close_kind}")

    server = servers.make(on_message=on_message, on_close=on_close)
    thread = servers.start(server)
    client = connect(server)
    client.send("go")
    wait(entered)
    server.stop()
    assert client.answer_close() == (1001, "")
    client.socket.close()
    thread.stop()
    assert trace == ["cancelled", "cleaned up", "close", "closed shutdown"]


def test_a_handler_that_refuses_to_end_is_named(
    servers: Servers, connect: Connect, log: Records
) -> None:
    entered = threading.Event()
    released: list[asyncio.Event] = []

    async def stubborn(conn: wspy.Connection, message: str | bytes) -> None:
        loop, release = asyncio.get_running_loop(), asyncio.Event()
        released.append(release)
        entered.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                if any("stubborn" in r.getMessage() for r in log.records):
                    raise
                loop.call_later(3, release.set)

    server = servers.make(on_message=stubborn, shutdown_timeout=0.1)
    thread = servers.start(server)
    client = connect(server)
    client.send("go")
    wait(entered)
    thread.stop()
    (line,) = [r.getMessage() for r in log.records if "stubborn" in r.getMessage()]
    assert line.startswith("on_message of connection 1 goes on behind the end of the server: ")


def test_it_is_named_once_whoever_waits(log: Records, server_kind: LoopName) -> None:
    refused: asyncio.Future[None]
    n_cancelled: list[None] = []

    async def stubborn(conn: wspy.Connection, message: str | bytes) -> None:
        while not refused.done():
            try:
                await asyncio.shield(refused)
            except asyncio.CancelledError:
                n_cancelled.append(None)

    async def main() -> None:
        nonlocal refused
        refused = asyncio.get_running_loop().create_future()
        server = wspy.Server(port=0, on_message=stubborn, shutdown_timeout=0.1)
        async with server:
            async with loops.connect(server) as client:
                await client.send("go")
                await client.send("behind it")
                while not server._runner.tasks:
                    await asyncio.sleep(0)
                server.stop()
                await asyncio.gather(server.wait_closed(), server.wait_closed())
            await server.wait_closed()
        assert len(server._runner.tasks) == 1
        refused.set_result(None)
        while server._runner.tasks:
            await asyncio.sleep(0)
        assert server._runner.refusing == set()

    loops.run(server_kind, main())
    assert len(n_cancelled) >= 2
    lines = [r.getMessage() for r in log.records if "stubborn" in r.getMessage()]
    assert len(lines) == 1


def test_a_task_that_outlives_its_connection(servers: Servers, connect: Connect) -> None:
    errors: queue.Queue[object] = queue.Queue()
    tasks = set()

    async def outlive(conn: wspy.Connection) -> None:
        errors.put(await conn.wait_closed())
        for use in (
            lambda: conn.send("x"),
            conn.drain,
            conn.ping,
            lambda: conn.send_json([]),
        ):
            try:
                result = use()
                if asyncio.iscoroutine(result):
                    await result
                errors.put(f"{use} did not raise")
            except wspy.ConnectionClosed as exc:
                errors.put(exc.code)
        conn.close()
        errors.put(await conn.wait_closed())

    async def on_open(conn: wspy.Connection) -> None:
        tasks.add(asyncio.get_running_loop().create_task(outlive(conn)))

    server = servers.run(on_open=on_open)
    client = connect(server)
    client.close(4000, "over")
    assert get(errors) == (4000, "over")
    assert [get(errors) for _ in range(4)] == [4000] * 4
    assert get(errors) == (4000, "over")


@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("closes", [False, True])
def test_a_handler_that_sends_for_ever_ends_with_its_connection(
    servers: Servers, connect: Connect, closes: bool, asks: bool
) -> None:
    ends: queue.Queue[object] = queue.Queue()
    code = 1000 if closes else 1006

    async def on_open(conn: wspy.Connection) -> None:
        try:
            while not asks or conn.is_open:
                conn.send("tick")
                await asyncio.sleep(0.001)
            ends.put("asked")
        except wspy.ConnectionClosed as exc:
            ends.put(exc.code)

    server = servers.run(
        on_open=on_open, on_close=lambda conn, code, reason: ends.put(conn.close_kind)
    )
    client = connect(server)
    assert client.receive() == "tick"
    if closes:
        client.send_raw(close_frame())
        assert client.read_close() == (1000, "")
    else:
        client.reset()
    assert get(ends) == ("asked" if asks else code)
    assert get(ends) == ("peer" if closes else "reset")


def test_a_broadcast_meets_one_that_leaves(servers: Servers, connect: Connect) -> None:
    """Who sends to all of a set, until on_close takes one out of it, is told of no peer's end. The
    handler that waits is, and what it has begun."""
    clients: set[wspy.Connection] = set()
    cut_off: queue.Queue[object] = queue.Queue()
    release = asyncio.Event()

    async def on_open(conn: wspy.Connection) -> None:
        clients.add(conn)
        if len(clients) == 1:
            await conn.wait_closed()
            try:
                await asyncio.create_task(begun(conn))
            except wspy.ConnectionClosed as exc:
                cut_off.put(exc.code)
            await release.wait()

    async def begun(conn: wspy.Connection) -> None:
        conn.send("never")

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        assert len(clients) == 2
        for client in clients:
            client.send(message)
        await asyncio.sleep(0)
        for client in clients:
            client.send(message)
        release.set()

    server = servers.make(on_open=on_open, on_message=on_message)
    server.on_close(lambda conn, code, reason: clients.discard(conn))
    servers.start(server)
    first, second = connect(server), connect(server)
    first.reset()
    assert get(cut_off) == 1006
    second.send("to all")
    assert [second.receive(), second.receive()] == ["to all", "to all"]
    wait_until(lambda: len(clients) == 1)


def test_a_stream_breaks_off_with_its_peer(servers: Servers, connect: Connect) -> None:
    """It has left: its close is answered with its own code, amid the message."""
    ends: queue.Queue[object] = queue.Queue()

    async def on_open(conn: wspy.Connection) -> None:
        with conn.stream(text=True) as stream:
            while True:
                stream.write("part")
                await asyncio.sleep(0.001)

    server = servers.run(
        on_open=on_open, on_close=lambda conn, code, reason: ends.put((code, conn.close_kind))
    )
    client = connect(server)
    client.read_until(b"part")
    client.send_raw(close_frame(4000, "bye"))
    client.read_until(b"\x88\x02" + (4000).to_bytes(2, "big"))
    assert get(ends) == (4000, "peer")


@pytest.mark.parametrize("is_amid", [False, True])
def test_what_waits_behind_a_stream_that_broke_off(
    servers: Servers, connect: Connect, log: Records, is_amid: bool
) -> None:
    """Its handler is called, and may stream too, if no part of that one has been sent."""
    told: queue.Queue[object] = queue.Queue()

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        told.put(message)
        with conn.stream(text=True) as stream:
            if message != "first":
                stream.write(f"answer to {message!s}")
                return
            while True:  # until it is to end
                if is_amid:
                    stream.write("part")
                else:
                    conn.ping()
                await asyncio.sleep(0.001)

    server = servers.make(close_timeout=0.5)
    server.on_message(on_message)
    server.on_close(lambda conn, code, reason: told.put((code, conn.close_kind)))
    servers.start(server)
    client = connect(server)
    client.send_raw(text("first"), text("second"), text("third"), close_frame(4000, "bye"))
    sent = client.read_until(b"\x88\x02" + (4000).to_bytes(2, "big"))
    assert [get(told) for _ in range(4)] == ["first", "second", "third", (4000, "peer")]
    assert (b"answer to second" in sent, b"answer to third" in sent) == (not is_amid,) * 2
    assert log.take_errors() == []


def test_what_was_asked_is_answered_behind_the_close(servers: Servers, connect: Connect) -> None:
    """All of it, though its handlers wait; to them the connection is not open any more."""

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        while conn.is_open:
            await asyncio.sleep(0)
        for part in "ab":
            conn.send(f"{message!s}{part}")
            await asyncio.sleep(0)

    client = connect(servers.run(on_message=on_message))
    client.send_raw(text("1"), text("2"), close_frame())
    assert [client.receive() for _ in range(4)] == ["1a", "1b", "2a", "2b"]
    assert client.expect_close() == (1000, "")


def test_a_message_is_answered_for_ever(servers: Servers, connect: Connect) -> None:
    """Behind the peer's close frame only for close_timeout: then the frame is answered."""
    ends: queue.Queue[object] = queue.Queue()

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        try:
            while True:
                conn.send("tick")
                await asyncio.sleep(0.001)
        except wspy.ConnectionClosed as exc:
            ends.put((exc.code, exc.reason))

    server = servers.make(close_timeout=0.5)
    server.on_message(on_message)
    server.on_close(lambda conn, code, reason: ends.put(conn.close_kind))
    servers.start(server)
    client = connect(server)
    client.send("go")
    assert client.receive() == "tick"
    client.send_raw(close_frame(4000, "bye"))
    assert client.read_close() == (4000, "")
    assert get(ends) == (4000, "bye")
    assert get(ends) == "peer"


def test_what_came_before_the_end_is_told_though_nothing_can_be_sent(
    servers: Servers, connect: Connect, doors: Doors
) -> None:
    told: queue.Queue[object] = queue.Queue()

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        told.put(message)
        if message == "first":
            await doors.wait("in")
            await conn.wait_closed()
            told.put(conn.is_open)

    server = servers.run(
        on_message=on_message, on_close=lambda conn, code, reason: told.put(conn.close_kind)
    )
    client = connect(server)
    client.send("first")
    client.send("second")
    assert get(doors.arrived) == "in"
    client.socket.close()
    doors.open("in")
    assert [get(told) for _ in range(4)] == ["first", False, "second", "eof"]


@pytest.mark.parametrize("has_on_error", [False, True])
def test_a_handler_that_ends_with_its_connection_has_not_failed(
    servers: Servers, connect: Connect, doors: Doors, log: Records, has_on_error: bool
) -> None:
    errors: queue.Queue[object] = queue.Queue()

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        if message == "ask":
            await doors.wait("in")
            await conn.wait_closed()
        await conn.drain()  # of the second message: in the first step

    async def on_close(conn: wspy.Connection, code: int, reason: str) -> None:
        errors.put(conn.close_kind)

    server = servers.make(on_message=on_message, on_close=on_close)
    if has_on_error:
        server.on_error(lambda conn, exc: errors.put(type(exc)))
    servers.start(server)
    client = connect(server)
    client.send("ask")
    client.send("and again")
    assert get(doors.arrived) == "in"
    client.socket.close()
    doors.open("in")
    for _ in range(2 * has_on_error):
        assert get(errors) is wspy.ConnectionClosed
    assert get(errors) == "eof"
    lines = [line for line in log.at(logging.INFO) if line.startswith("on_message")]
    assert len(lines) == (0 if has_on_error else 2)
