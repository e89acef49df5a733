"""Handlers that block, and the end: of the server, of the process, of patience."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import queue
import re
import select
import signal
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from blocking import Held, pool_threads
from conftest import Records, Servers
from support import (
    PING,
    PONG,
    STRATEGIES,
    TEXT,
    TIMEOUT,
    Client,
    Connect,
    close_frame,
    connect_when_up,
    descriptors,
    finish,
    frame,
    get,
    read_line,
    script,
    settle,
    text,
    wait_until,
    write_line,
)

import wspy
from wspy.options import Strategy

WARNING = logging.WARNING


def stop_elsewhere(stop: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=stop)
    thread.start()
    return thread


# -- the server stops --


@pytest.mark.parametrize("concurrent", [False, True], ids=["ordered", "concurrent"])
def test_a_stop_waits_for_handlers(servers: Servers, connect: Connect, concurrent: bool) -> None:
    held = Held()
    server = servers.make(handler_threads=1)
    server.on_message(held, thread=True, concurrent=concurrent)
    run = servers.start(server)
    clients = [connect(server), connect(server)]
    clients[0].send("running")
    assert get(held.begun) == "running"
    clients[1].send("waiting")
    wait_until(lambda: server.stats()["received"] == 2)
    server.stop()
    for client in clients:
        assert client.expect_close() == (1001, "")
        client.send_raw(close_frame(1001))
        client.socket.close()
    settle(server)  # it still runs
    assert held.ended.empty()
    stopper = stop_elsewhere(run.stop)
    held.turns.release(2)
    stopper.join(TIMEOUT)
    assert not stopper.is_alive()
    # That which no thread had begun was called too.
    assert [get(held.ended), get(held.ended)] == ["running", "waiting"]
    assert pool_threads() == []


def test_a_stop_waits_for_the_handler_of_close(servers: Servers, connect: Connect) -> None:
    held = Held()
    server = servers.make()
    server.on_close(lambda conn, code, reason: held(conn, reason), thread=True)
    run = servers.start(server)
    client = connect(server)
    client.close(1000, "bye")
    client.socket.close()
    assert get(held.begun) == "bye"
    wait_until(lambda: len(server) == 0)
    server.stop()
    settle(server)
    stopper = stop_elsewhere(run.stop)
    held.turns.release()
    stopper.join(TIMEOUT)
    assert held.ended.qsize() == 1


def test_what_a_handler_raises_while_the_server_stops(servers: Servers, connect: Connect) -> None:
    held, errors = Held(), queue.Queue[str]()
    server = servers.make()

    @server.on_message(thread=True)
    def message(conn: wspy.Connection, message: str | bytes) -> None:
        held(conn, message)
        conn.send("late")

    server.on_error(lambda conn, exc: errors.put(str(exc)))
    run = servers.start(server)
    client = connect(server)
    client.send("go")
    get(held.begun)
    server.stop()
    settle(server)
    held.turns.release()
    assert client.answer_close() == (1001, "")
    client.socket.close()
    run.stop()
    assert get(errors) == "the connection is closed: 1001 (going away)"


def test_a_handler_that_hangs(servers: Servers, connect: Connect, log: Records) -> None:
    """It has shutdown_timeout, is named in the log, and no one waits for it any more."""
    held = Held()
    closed: queue.Queue[int] = queue.Queue()
    server = servers.make(handler_threads=2, shutdown_timeout=0.05, slow_handler=None)

    @server.on_message(thread=True)
    def hang(conn: wspy.Connection, message: str | bytes) -> None:
        held(conn, message)
        raise ValueError("much later")

    server.on_close(lambda conn, code, reason: closed.put(conn.id), thread=True)
    run = servers.start(server)
    for n in range(2):
        connect(server).send(str(n))
    assert {get(held.begun), get(held.begun)} == {"0", "1"}
    connect(server).send("2")
    wait_until(lambda: server.stats()["received"] == 3)
    threads = pool_threads()
    assert len(threads) == 2
    assert all(thread.daemon for thread in threads)
    run.stop()
    warnings = log.at(WARNING)
    # A message, and on_close of three connections.
    assert warnings.pop() == "4 handlers were not called: the server has ended"
    assert len(warnings) == 2
    for warning in warnings:
        assert warning.startswith("on_message (test_a_handler_that_hangs.<locals>.hang) of <wspy.")
        assert " does not end with the server, at " in warning
    assert closed.empty()
    held.turns.release(2)
    for thread in threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive()
    messages = [record.getMessage() for record in log.take_errors()]
    assert sorted(m[:40] for m in messages) == [
        "on_message failed for <wspy.Connection 1", "on_message failed for <wspy.Connection 2",
    ]  # fmt: skip
    assert held.begun.empty()


def test_on_close_is_called_though_another_handler_hangs(
    servers: Servers, connect: Connect, log: Records
) -> None:
    held = Held()
    closed: queue.Queue[tuple[int, bool]] = queue.Queue()
    server = servers.make(shutdown_timeout=0.05, slow_handler=None)
    server.on_message(held, thread=True)
    server.on_close(
        lambda conn, code, reason: closed.put((code, threading.current_thread().daemon)),
        thread=True,
    )
    run = servers.start(server)
    connect(server).send("hang")
    get(held.begun)
    run.stop()
    assert get(closed) == (1006, True)
    assert len(log.at(WARNING)) == 1
    held.turns.release()
    wait_until(lambda: pool_threads() == [])


@pytest.mark.parametrize("close_on_thread", [False, True])
def test_on_close_of_the_other_kind_beside_one_that_hangs(
    log: Records, close_on_thread: bool
) -> None:
    """One is in the connection's context still: the other has a copy."""
    server = wspy.Server(port=0, shutdown_timeout=0.05, slow_handler=None)
    seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen")
    begun, go = threading.Event(), threading.Event()
    calls: list[object] = []

    def block(conn: wspy.Connection, message: str | bytes) -> None:
        seen.set("message")
        begun.set()
        go.wait(TIMEOUT)

    async def suspend(conn: wspy.Connection, message: str | bytes) -> None:
        seen.set("message")
        begun.set()
        while not go.is_set():
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                calls.append("cancelled")
        calls.append("message is over")

    async def close(conn: wspy.Connection, code: int, reason: str) -> None:
        await asyncio.sleep(0)
        calls.append((code, seen.get()))
        go.set()

    loop: asyncio.AbstractEventLoop

    def close_here(conn: wspy.Connection, code: int, reason: str) -> None:
        turned = threading.Event()
        loop.call_soon_threadsafe(turned.set)
        assert turned.wait(TIMEOUT)  # the other task has been in its context, or has failed to
        calls.append((code, seen.get()))
        go.set()

    async def main() -> None:
        nonlocal loop
        loop = asyncio.get_running_loop()
        async with server:
            client = await asyncio.to_thread(Client, server)
            await asyncio.to_thread(client.send, "hang")
            assert await asyncio.to_thread(begun.wait, TIMEOUT)
        client.socket.close()

    if close_on_thread:
        server.on_message(suspend)
        server.on_close(close_here, thread=True)
    else:
        server.on_message(block, thread=True)
        server.on_close(close)
    asyncio.run(main())
    assert (1006, "message") in calls
    if close_on_thread:
        assert calls[-1] == "message is over"
    wait_until(lambda: pool_threads() == [])


def test_a_handler_stops_the_server(servers: Servers, connect: Connect) -> None:
    """Also by way of what waits for the server's thread, which waits for the handler."""
    server = servers.make(shutdown_timeout=None)
    server.on_message(lambda conn, message: servers.threads[0].stop(), thread=True)
    run = servers.start(server)
    client = connect(server)
    client.send("stop")
    assert client.answer_close() == (1001, "")
    client.socket.close()
    run.stop()
    assert pool_threads() == []


def test_a_run_in_steps(log: Records) -> None:
    held = Held()
    server = wspy.Server(port=0)
    server.on_message(held, thread=True)
    server.on_close(lambda conn, code, reason: held(conn, "close"), thread=True)
    fd = server.fileno()
    poll = select.poll()
    poll.register(fd, select.POLLIN)

    def step_until(condition: Callable[[], bool]) -> None:
        while not condition():
            assert poll.poll(TIMEOUT * 1000)
            assert server.step()

    clients: list[Client] = []
    thread = threading.Thread(target=lambda: clients.append(Client(server)))
    thread.start()
    wait_until(lambda: server.step() and bool(clients))
    thread.join()
    with clients[0] as client:
        client.send_raw(text("a"), text("b"))
        held.turns.release(3)
        step_until(lambda: held.begun.qsize() == 2)
    step_until(lambda: held.begun.qsize() == 3)
    server.stop()
    while server.step():
        assert poll.poll(TIMEOUT * 1000)
    assert [get(held.ended) for _ in range(3)] == ["a", "b", "close"]
    assert pool_threads() == []


# -- handlers that take long --


def test_a_slow_handler_is_named_once(servers: Servers, connect: Connect, log: Records) -> None:
    held = Held()
    server = servers.make(handler_threads=2, slow_handler=0.01)

    @server.on_message(thread=True)
    def query(conn: wspy.Connection, message: str | bytes) -> None:
        held(conn, message)

    servers.start(server)
    connect(server).send("a")
    wait_until(lambda: len(log.at(WARNING)) == 1)
    connect(server).send("b")
    wait_until(lambda: len(log.at(WARNING)) == 2)
    connect(server).send("c")
    wait_until(lambda: server.stats()["received"] == 3)
    held.turns.release()
    wait_until(lambda: len(log.at(WARNING)) == 3)
    held.turns.release(2)
    for n, warning in enumerate(log.at(WARNING), 1):
        assert warning.startswith(
            "on_message (test_a_slow_handler_is_named_once.<locals>.query) of "
            f"<wspy.Connection {n} 127.0.0.1:"
        )
        assert re.search(r" has run for \d+\.\d s, at .*; 0 handlers wait for a thread$", warning)
    assert {get(held.ended) for _ in range(3)} == {"a", "b", "c"}


def test_where_a_slow_handler_stands(servers: Servers, connect: Connect, log: Records) -> None:
    server = servers.make(slow_handler=0.01)

    class Spin:
        go = False

        def __call__(self, conn: wspy.Connection, message: str | bytes) -> None:
            while not self.go:
                pass

        def __repr__(self) -> str:
            return "<one of ours>"

    spin = Spin()
    server.on_message(spin, thread=True)
    servers.start(server)
    connect(server).send("a")
    wait_until(lambda: len(log.at(WARNING)) == 1)
    spin.go = True
    (warning,) = log.at(WARNING)
    assert warning.startswith("on_message (<one of ours>) of <wspy.Connection 1 ")
    assert f", at {__file__}:" in warning
    assert " in __call__: " in warning


def test_nobody_looks_with_none(servers: Servers, connect: Connect, log: Records) -> None:
    held = Held()
    server = servers.make(slow_handler=None)
    server.on_message(held, thread=True)
    servers.start(server)
    connect(server).send("a")
    get(held.begun)
    assert server._runner.pool.watch is None
    held.turns.release()
    get(held.ended)
    assert log.at(WARNING) == []


# -- what is left behind --


def test_a_server_that_does_not_run_has_no_threads(servers: Servers) -> None:
    before = threading.active_count()
    server = servers.make()
    server.on_message(lambda conn, message, server=server: server.stop(), thread=True)
    assert threading.active_count() == before
    gone = weakref.ref(server)
    del server
    gc.collect()
    assert gone() is None


def use_in_steps() -> weakref.ref[wspy.Server]:
    """A server whose run is not ended."""
    server = wspy.Server(port=0)
    server.on_message(lambda conn, message: conn.send(message), thread=True)
    server.fileno()
    echoed = threading.Event()

    def echo() -> None:
        with Client(server) as client:
            client.echo("a")
            echoed.set()

    thread = threading.Thread(target=echo)
    thread.start()
    wait_until(lambda: server.step() and echoed.is_set() and len(server) == 0)
    thread.join()
    return weakref.ref(server)


def test_a_server_that_nobody_has_any_more(log: Records) -> None:
    """Its threads go with it."""
    gone = use_in_steps()
    gc.collect()
    assert gone() is None
    wait_until(lambda: pool_threads() == [])


@pytest.mark.timeout(300)
@pytest.mark.parametrize("server_kind", ["epoll", "asyncio"])
def test_a_thousand_servers(servers: Servers) -> None:
    def rounds(n: int) -> None:
        for i in range(n):
            server = servers.make()
            server.on_message(lambda conn, message, server=server: server.stop(), thread=True)
            servers.start(server)
            with Client(server) as client:
                client.send("stop")
                client.answer_close()
            servers.threads.pop().stop()
            if i % 50 == 0:
                gc.collect()
        gc.collect()

    rounds(20)
    fds, threads = descriptors(), threading.active_count()
    rounds(1000)
    assert descriptors() == fds
    assert threading.active_count() == threads


@pytest.mark.timeout(300)
def test_a_thousand_connections(servers: Servers) -> None:
    conns: weakref.WeakSet[wspy.Connection] = weakref.WeakSet()
    server = servers.make(handler_threads=2)
    server.on_open(conns.add, thread=True)

    @server.on_message(thread=True)
    def message(conn: wspy.Connection, message: Any) -> None:
        conn.last = message
        if message == "raise":
            raise ValueError(message)
        conn.send(message)

    ended = threading.Semaphore(0)
    server.on_close(lambda conn, code, reason: ended.release(), thread=True)
    server.on_error(lambda conn, exc: conn.close(4000))
    servers.start(server)

    def rounds(n: int) -> None:
        for i in range(n):
            with Client(server) as client:
                client.echo("a")
                client.send("raise" if i % 2 else "b")
                if i % 3 == 0:
                    client.reset()
                elif i % 2:
                    assert client.answer_close() == (4000, "")
                else:
                    client.receive()
            assert ended.acquire(timeout=TIMEOUT)

    def settled() -> bool:
        """The last of them are held by a frame of a thread a moment longer."""
        gc.collect()
        return len(conns) == 0

    rounds(20)
    wait_until(settled)
    with Client(server) as client:
        client.close()
        fds = descriptors()
    rounds(1000)
    wait_until(settled)
    wait_until(lambda: descriptors() <= fds)
    assert len(pool_threads()) <= 2


# -- processes --

HANG = """
import sys, threading, time
import wspy

server = wspy.Server(port=0, strategy=sys.argv[1], shutdown_timeout=eval(sys.argv[3]))

@server.on_message(thread=True)
def message(conn, message):
    conn.send(message)
    while True:
        time.sleep(1000)

print(server.url, flush=True)
if sys.argv[2] == "run":
    try:
        server.run()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
else:
    thread = server.start_in_thread()
    input()
print("over", flush=True)
"""


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("how", ["run", "thread"])
def test_the_interpreter_exits_though_a_handler_hangs(strategy: Strategy, how: str) -> None:
    with script(HANG, strategy, how, "0.05") as process:
        with connect_when_up(read_line(process)) as client:
            client.echo("hang")
            if how == "run":
                process.send_signal(signal.SIGTERM)
            else:
                write_line(process, "end")
            assert client.answer_close() == (1001, "")
        code, out, err = finish(process)
        assert (code, out) == (0, "over\n")
        assert "does not end with the server, at <string>:11 in message" in err


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_second_ctrl_c_does_not_wait_for_handlers(strategy: Strategy) -> None:
    with script(HANG, strategy, "run", "None") as process:
        with connect_when_up(read_line(process)) as client:
            client.echo("hang")
            process.send_signal(signal.SIGINT)
            assert client.expect_close() == (1001, "")
        process.send_signal(signal.SIGINT)
        code, out, err = finish(process)
        assert (code, out) == (0, "interrupted\nover\n")
        assert "does not end with the server" in err


FORK = """
import os, sys, threading
import wspy

server = wspy.Server(port=0, strategy=sys.argv[1])
parent = os.getpid()

def fork():
    pid = os.fork()
    if pid == 0:
        return True
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

@server.on_message(thread=True)
def message(conn, message):
    if message == "exit":
        code = fork()
        if code is True:
            assert not conn.is_open
            os._exit(7)
        message += f" {code}"
    elif message == "return":
        code = fork()
        if code is True:
            return
        message += f" {code}"
    elif message == "stop":
        server.stop()
        return
    conn.send(message)

@server.on_ping
def ping(conn, data):  # on the loop's thread, while the pool has threads
    code = fork()
    if code is not True:
        conn.send(f"ping {code}")

print(server.url, flush=True)
server.run()
if os.getpid() != parent:
    assert len(threading.enumerate()) == 1, threading.enumerate()
    os._exit(9)
print(threading.active_count(), flush=True)
"""


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_fork_beside_a_pool(strategy: Strategy) -> None:
    with script(FORK, strategy) as process:
        with connect_when_up(read_line(process)) as client:
            for _ in range(3):
                client.echo("hello")
                client.send("exit")
                assert client.receive() == "exit 7"
                client.send("return")
                assert client.receive() == "return 0"
                client.send_raw(frame(PING, b""))
                while (got := client.read_frame()).opcode != TEXT:
                    assert got.opcode == PONG
                assert got.payload == b"ping 9"
            client.send("stop")
            client.read_close()
        assert finish(process) == (0, "1\n", "")
