"""A handler may do anything, from each event, and whatever it does the others go on."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import json
import queue
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Records, Servers
from support import CLOSE, Connect, Gate, Recorder, close_frame, frame, get, text, wait, wait_until

import wspy

Action = Callable[[wspy.Connection], object]

EVENTS = ["open", "message", "close", "drain"]


class Stage:
    """Some connections, of which one, the actor, is about to have the event; its handler then
    does what the test says, once. The others are the bystanders: their messages are echoed, and
    stand in the same batch as the event."""

    def __init__(self, servers: Servers, connect: Connect, event: str, action: Action) -> None:
        self.event = event
        self.action = action
        self.done = threading.Event()  # the action was taken
        self.gate = Gate()
        self.closed: queue.Queue[wspy.Connection] = queue.Queue()
        # With a high-water mark of 1 every message is over it, and drained when it is written.
        options = {"high_water": 1} if event == "drain" else {}
        self.server = servers.make(close_timeout=1, **options)
        self.server.on_open(self.on_open)
        self.server.on_message(self.on_message)
        self.server.on_close(self.on_close)
        self.server.on_drain(self.on_drain)
        self.servers, self.connect = servers, connect
        self.thread = servers.start(self.server)
        self.holder = connect(self.server, "/bystander")
        self.bystanders = [connect(self.server, "/bystander") for _ in range(2)]
        for client in self.bystanders:
            client.echo("hello")
        self.actor = connect(self.server, "/actor", handshake=False)
        if event != "open":
            self.actor.send_raw(self.actor.request("/actor"))
            self.actor.check_upgrade()
            self.actor.echo("hello")

    # handlers

    def act(self, event: str, conn: wspy.Connection) -> None:
        if self.event == event and conn.path == "/actor" and not self.done.is_set():
            self.done.set()
            self.action(conn)

    def on_open(self, conn: wspy.Connection) -> None:
        self.act("open", conn)

    def on_message(self, conn: wspy.Connection, message: str | bytes) -> None:
        if message == "gate":
            self.gate.hold()
        elif message == "go":
            if self.event == "drain":
                self.armed = True  # the drain of the first hello has been told
                assert conn.send("over") is False
            self.act("message", conn)
        else:
            conn.send(message)

    def on_drain(self, conn: wspy.Connection) -> None:
        if conn.path == "/actor" and self.armed:
            self.act("drain", conn)

    def on_close(self, conn: wspy.Connection, code: int, reason: str) -> None:
        self.closed.put(conn)
        self.act("close", conn)

    # the course of events

    armed = False

    def run(self) -> None:
        """The event, with messages of the bystanders around it in one batch."""
        with self.gate.held(self.holder):
            self.bystanders[0].send("before")
            if self.event == "open":
                self.actor.send_raw(self.actor.request("/actor"))
            elif self.event == "close":
                self.actor.send_raw(close_frame(1000))
            else:
                self.actor.send("go")
            self.bystanders[1].send("after")
        wait(self.done)

    def others_go_on(self) -> None:
        for client, message in zip(self.bystanders, ("before", "after"), strict=True):
            assert client.receive() == message
            client.echo("still there")
        self.holder.echo("still there")
        newcomer = self.connect(self.server, "/bystander")
        newcomer.echo("hello")

    def actor_close(self) -> tuple[int | None, str]:
        """The close frame that the actor gets, behind whatever else."""
        if self.event == "open":
            self.actor.check_upgrade()
        answer = self.actor.read_close()
        if self.event != "close":
            self.actor.send_raw(close_frame(answer[0]))
        self.actor.expect_end()
        return answer

    def actor_goes_on(self) -> None:
        if self.event == "close":
            assert self.actor_close() == (1000, "")
            return
        if self.event == "open":
            self.actor.check_upgrade()
        if self.event == "drain":
            assert self.actor.receive() == "over"
        self.actor.echo("still there")


@pytest.fixture(params=EVENTS)
def event(request: pytest.FixtureRequest) -> str:
    return request.param  # type: ignore[no-any-return]


def test_it_closes_itself(servers: Servers, connect: Connect, event: str) -> None:
    stage = Stage(servers, connect, event, lambda conn: conn.close(4001, "myself"))
    stage.run()
    assert stage.actor_close() == ((1000, "") if event == "close" else (4001, "myself"))
    stage.others_go_on()


def test_it_closes_another_of_the_batch(servers: Servers, connect: Connect, event: str) -> None:
    def action(conn: wspy.Connection) -> None:
        victims = [c for c in server.connections if c.path == "/bystander"][1:]
        for victim in victims:
            victim.close(4002, "you")

    stage = Stage(servers, connect, event, action)
    server = stage.server
    stage.run()
    for client in stage.bystanders:
        assert client.read_close() == (4002, "you")
        client.send_raw(close_frame(4002))
        client.expect_end()
    stage.holder.echo("still there")
    stage.actor_goes_on()


def test_it_closes_every_connection(servers: Servers, connect: Connect, event: str) -> None:
    def action(conn: wspy.Connection) -> None:
        for each in server.connections:
            each.close(4003, "all")

    stage = Stage(servers, connect, event, action)
    server = stage.server
    stage.run()
    for client in (*stage.bystanders, stage.holder):
        assert client.read_close() == (4003, "all")
        client.send_raw(close_frame(4003))
        client.expect_end()
    assert stage.actor_close()[0] == (1000 if event == "close" else 4003)
    connect(server, "/bystander").echo("a new one is served")


def test_it_stops_the_server(servers: Servers, connect: Connect, event: str) -> None:
    stage = Stage(servers, connect, event, lambda conn: stop())
    stop = stage.server.stop
    stage.run()
    for client in (*stage.bystanders, stage.holder):
        assert client.read_close() == (1001, "")
        client.send_raw(close_frame(1001))
        client.expect_end()
    assert stage.actor_close()[0] == (1000 if event == "close" else 1001)
    for client in (*stage.bystanders, stage.holder, stage.actor):
        client.socket.close()
    stage.thread.stop()
    assert stage.closed.qsize() == 4
    assert {conn.close_kind for conn in stage.closed.queue} <= {"shutdown", "peer"}


def test_it_stops_and_closes_and_sends(servers: Servers, connect: Connect, event: str) -> None:
    def action(conn: wspy.Connection) -> None:
        server.stop()
        for each in server.connections:
            if each.is_open:
                each.send("bye")
            each.close(4004)
            each.close(4005)
        server.stop()

    stage = Stage(servers, connect, event, action)
    server = stage.server
    stage.run()
    assert stage.holder.receive() == "bye"
    assert stage.holder.read_close() == (4004, "")


class Oops(Exception):
    pass


def fail(conn: wspy.Connection) -> None:
    raise Oops("in the handler")


def test_it_raises(servers: Servers, connect: Connect, log: Records, event: str) -> None:
    stage = Stage(servers, connect, event, fail)
    stage.run()
    assert stage.actor_close() == ((1000, "") if event == "close" else (1011, ""))
    stage.others_go_on()
    conn = next(c for c in iter(lambda: get(stage.closed), None) if c.path == "/actor")
    assert conn.close_kind == ("peer" if event == "close" else "error")
    (record,) = log.take_errors()
    assert record.getMessage().startswith(f"on_{event} failed for <wspy.Connection")
    assert record.exc_info
    assert isinstance(record.exc_info[1], Oops)
    assert record.exc_info[2] is not None
    assert record.exc_info[2].tb_next is not None


def test_it_raises_and_on_error_is_told(servers: Servers, connect: Connect, event: str) -> None:
    errors: queue.Queue[tuple[wspy.Connection, Exception]] = queue.Queue()
    stage = Stage(servers, connect, event, fail)
    stage.server.on_error(lambda conn, exc: errors.put((conn, exc)))
    stage.run()
    conn, exc = get(errors)
    assert conn.path == "/actor"
    assert isinstance(exc, Oops)
    assert exc.__traceback__ is not None
    stage.actor_goes_on()  # on_error decides what becomes of it
    stage.others_go_on()
    assert errors.empty()


def test_on_error_closes(servers: Servers, connect: Connect, event: str) -> None:
    stage = Stage(servers, connect, event, fail)
    stage.server.on_error(lambda conn, exc: conn.close(4011, str(exc)))
    stage.run()
    expected = (1000, "") if event == "close" else (4011, "in the handler")
    assert stage.actor_close() == expected
    stage.others_go_on()


def test_on_error_raises(servers: Servers, connect: Connect, log: Records, event: str) -> None:
    def on_error(conn: wspy.Connection, exc: Exception) -> None:
        raise ValueError("in on_error")

    stage = Stage(servers, connect, event, fail)
    stage.server.on_error(on_error)
    stage.run()
    assert stage.actor_close() == ((1000, "") if event == "close" else (1011, ""))
    stage.others_go_on()
    texts = {r.getMessage().split(" for ")[0]: r.exc_info for r in log.take_errors()}
    assert set(texts) == {"on_error failed", f"on_{event} failed"}
    assert isinstance(texts["on_error failed"][1], ValueError)  # type: ignore[index]
    assert isinstance(texts[f"on_{event} failed"][1], Oops)  # type: ignore[index]


@pytest.mark.parametrize("thread", [False, True])
def test_the_result_of_something_cancelled(
    servers: Servers, connect: Connect, log: Records, thread: bool
) -> None:
    """asyncio.CancelledError is no Exception, and does not end the program either."""
    server = servers.make()

    @server.on_message(thread=thread)
    def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        future: concurrent.futures.Future[None] = concurrent.futures.Future()
        if message == "of a thread":
            future.cancel()
            future.result()
        elif message == "of asyncio":
            raise asyncio.CancelledError
        conn.send(message)

    servers.start(server)
    for message in ("of a thread", "of asyncio"):
        client = connect(server)
        client.send(message)
        assert client.answer_close() == (1011, "")
        assert len(log.take_errors()) == 1
    connect(server).echo("on")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_it_raises_what_ends_the_run(
    servers: Servers, connect: Connect, event: str, kind: type[BaseException]
) -> None:
    def action(conn: wspy.Connection) -> None:
        raise kind("enough")

    errors: list[object] = []
    stage = Stage(servers, connect, event, action)
    stage.server.on_error(lambda conn, exc: errors.append(exc))
    stage.run()
    for client in (*stage.bystanders, stage.holder):
        assert client.read_close() == (1001, "")
    for client in (*stage.bystanders, stage.holder, stage.actor):
        client.socket.close()
    with pytest.raises(kind, match="enough"):
        stage.thread.stop()
    assert errors == []


def test_on_error_raises_what_ends_the_run(
    servers: Servers, connect: Connect, log: Records, event: str
) -> None:
    def on_error(conn: wspy.Connection, exc: Exception) -> None:
        raise SystemExit(3)

    stage = Stage(servers, connect, event, fail)
    stage.server.on_error(on_error)
    stage.run()
    for client in (*stage.bystanders, stage.holder):
        assert client.read_close() == (1001, "")
        client.socket.close()
    stage.actor.socket.close()
    with pytest.raises(SystemExit):
        stage.thread.stop()
    (record,) = log.take_errors()  # what on_error was told of is not lost
    assert record.getMessage().startswith(f"on_{event} failed")


def test_it_drops_every_reference(servers: Servers, connect: Connect, event: str) -> None:
    def action(conn: wspy.Connection) -> None:
        kept.clear()
        conn.__dict__.clear()
        del conn
        gc.collect()

    kept: list[object] = []
    stage = Stage(servers, connect, event, action)
    for conn in stage.server.connections:
        conn.me = conn
        kept.append(conn)
    stage.run()
    stage.others_go_on()
    stage.actor_goes_on()


def test_it_replaces_handlers(servers: Servers, connect: Connect, event: str) -> None:
    def action(conn: wspy.Connection) -> None:
        server._set_handler("open", None)
        server._set_handler("close", None)
        server._set_handler("drain", None)
        server.on_message(lambda conn, message: conn.send(f"new {message!s}"))
        gc.collect()

    stage = Stage(servers, connect, event, action)
    server = stage.server
    stage.run()
    client = connect(server, "/bystander")
    client.send("hello")
    assert client.receive() == "new hello"


def test_it_sends_to_everyone(servers: Servers, connect: Connect, event: str) -> None:
    def action(conn: wspy.Connection) -> None:
        for each in server.connections:
            if each.is_open:
                each.send("to all")

    stage = Stage(servers, connect, event, action)
    server = stage.server
    stage.run()
    for client in stage.bystanders:
        got = {client.receive(), client.receive()}
        assert "to all" in got
        client.echo("still there")
    assert stage.holder.receive() == "to all"
    if event in ("message", "drain"):
        while stage.actor.receive() != "to all":
            pass


def test_it_looks_at_the_server(servers: Servers, connect: Connect, event: str) -> None:
    seen: queue.Queue[dict[str, bool]] = queue.Queue()

    def action(conn: wspy.Connection) -> None:
        is_open = event != "close"  # those that are closed are not among them
        connections = server.connections
        seen.put(
            {
                "get": server.get(conn.id) is (conn if is_open else None),
                "connections": (conn in connections) is is_open,
                "len": len(server) == len(connections) == (4 if is_open else 3),
                "bool": bool(server),
                "server": conn.server is server,
                "is_open": conn.is_open is is_open,
                "repr": repr(conn).startswith(f"<wspy.Connection {conn.id} 127.0.0.1:"),
                "order": connections == sorted(connections, key=lambda c: c.id),
            }
        )

    stage = Stage(servers, connect, event, action)
    server = stage.server
    stage.run()
    assert [name for name, right in get(seen).items() if not right] == []
    stage.others_go_on()


def test_a_closed_connection_is_not_among_them(servers: Servers, connect: Connect) -> None:
    seen: queue.Queue[tuple[object, ...]] = queue.Queue()

    def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        conn.close()
        server = conn.server
        seen.put((server.connections, len(server), server.get(conn.id)))

    server = servers.run(on_message=on_message)
    connect(server).send("go")
    assert get(seen) == ([], 0, None)


def test_what_get_takes(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    recorder = Recorder(server)
    servers.start(server)
    client = connect(server)
    conn = get(recorder.opened)
    assert server.get(conn.id) is conn
    for other in (0, -1, conn.id + 1, 2**63, 2**64 - 1, 2**64, -(2**100), 10**40):
        assert server.get(other) is None
    for bad in ("1", 1.0, None):
        with pytest.raises(TypeError):
            server.get(bad)  # type: ignore[arg-type]
    client.close()
    get(recorder.closed)
    wait_until(lambda: server.get(conn.id) is None)
    assert server.connections == []


def test_ids_are_never_used_again(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    recorder = Recorder(server)
    servers.start(server)
    ids = []
    for _ in range(20):
        connect(server).close()
        ids.append(get(recorder.closed).conn.id)
    assert len(set(ids)) == 20
    assert ids == sorted(ids)


def test_no_handlers_at_all(servers: Servers, connect: Connect) -> None:
    server = servers.run()
    client = connect(server)
    client.send_raw(text("x"), text("y" * 100_000), frame(2, bytes(10)))
    assert client.close() == (1000, "")
    connect(server).shutdown()
    connect(server).reset()
    bad = connect(server)
    bad.send_raw(frame(3))
    assert bad.expect_close()[0] == 1002


def test_one_object_for_a_connection(servers: Servers, connect: Connect) -> None:
    seen: queue.Queue[wspy.Connection] = queue.Queue()
    server = servers.make()
    server.on_open(seen.put)
    server.on_message(lambda conn, message: seen.put(conn))
    server.on_close(lambda conn, code, reason: seen.put(conn))
    servers.start(server)
    client = connect(server)
    client.send("x")
    client.close()
    first = get(seen)
    assert get(seen) is first
    assert get(seen) is first


def test_attributes_of_the_users_own(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    recorder = Recorder(server)

    def on_open(conn: wspy.Connection) -> None:
        conn.user = {"name": "ada"}
        conn.self = conn

    server.on_open(on_open)
    server.on_message(lambda conn, message: conn.send(conn.user["name"]))
    servers.start(server)
    client = connect(server)
    client.send("who?")
    assert client.receive() == "ada"
    client.close()
    closed = get(recorder.closed)
    conn = closed.conn
    assert conn.user == {"name": "ada"}
    with pytest.raises(AttributeError):
        conn.nothing  # noqa: B018
    with pytest.raises(AttributeError):
        conn.id = 5  # type: ignore[misc]
    ref = weakref.ref(conn)
    del conn, closed
    wait_until(lambda: gc.collect() >= 0 and ref() is None)


def test_a_handler_that_is_a_method_and_one_that_is_an_object(
    servers: Servers, connect: Connect
) -> None:
    class Game:
        def __init__(self) -> None:
            self.ended: queue.Queue[int] = queue.Queue()

        def message(self, conn: wspy.Connection, message: str | bytes) -> None:
            conn.send(message)

        def __call__(self, conn: wspy.Connection, code: int, reason: str) -> None:
            self.ended.put(code)

    game = Game()
    server = servers.run(on_message=game.message, on_close=game)
    client = connect(server)
    client.echo("hello")
    client.close(3000)
    assert get(game.ended) == 3000


def test_a_log_that_fails(servers: Servers, connect: Connect) -> None:
    def broken(*arguments: Any) -> None:
        raise ValueError("the log is full")

    server = servers.make(on_message=lambda conn, message: conn.send(message))
    server._set_handler("log", broken)
    servers.start(server)
    unraisable: list[object] = []
    hook, sys.unraisablehook = sys.unraisablehook, unraisable.append
    try:
        bad = connect(server, handshake=False)
        bad.send_raw(b"garbage\r\n\r\n")
        assert bad.response().status == 400
        connect(server).echo("still there")
    finally:
        sys.unraisablehook = hook
    assert len(unraisable) == 1


def test_handlers_are_called_in_the_loops_thread(servers: Servers, connect: Connect) -> None:
    seen: queue.Queue[int] = queue.Queue()
    server = servers.make()
    server.on_open(lambda conn: seen.put(threading.get_ident()))
    server.on_message(lambda conn, message: seen.put(threading.get_ident()))
    server.on_close(lambda conn, code, reason: seen.put(threading.get_ident()))
    thread = servers.start(server)
    client = connect(server)
    client.send("x")
    client.close()
    assert {get(seen), get(seen), get(seen)} == {thread._thread.ident}


def test_the_answer_to_the_peers_close_is_a_close(servers: Servers, connect: Connect) -> None:
    client = connect(servers.run())
    client.send_raw(close_frame(1000))
    assert client.read_frame().opcode == CLOSE


def test_json_loads_may_replace_the_handler(servers: Servers, connect: Connect) -> None:
    """The one that the message was for gets it, though nothing else holds it any more."""
    seen: queue.Queue[tuple[str, Any]] = queue.Queue()

    def handler(name: str) -> Callable[[wspy.Connection, Any], object]:
        return lambda conn, obj: seen.put((name, obj))

    def loads(message: str) -> Any:
        server.on_json(handler(f"after {message}"))
        gc.collect()
        return json.loads(message)

    server = servers.make(json_loads=loads)
    server.on_json(handler("first"))
    servers.start(server)
    client = connect(server)
    client.send("1")
    client.send("2")
    assert [get(seen), get(seen)] == [("first", 1), ("after 1", 2)]
