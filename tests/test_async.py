"""async handlers: order, concurrency, pausing, eager start, and what they find inside."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import sys
from typing import Any

import pytest
from conftest import Records, Servers
from loops import Doors
from support import PING, PONG, Connect, binary, frame, get, settle, text, wait_until

import wspy

# -- order and concurrency --


def test_handlers_of_one_connection_run_in_order(
    servers: Servers, connect: Connect, doors: Doors
) -> None:
    trace: queue.Queue[str] = queue.Queue()

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        trace.put(f"begin {message!s}")
        if message == "a":
            await doors.wait("a")
        else:
            await asyncio.sleep(0)
        trace.put(f"end {message!s}")
        conn.send(message)

    server = servers.run(on_message=on_message)
    client = connect(server)
    client.send_raw(text("a"), text("b"), text("c"))
    assert get(doors.arrived) == "a"
    assert get(trace) == "begin a"
    assert trace.empty()
    doors.open("a")
    assert [client.receive() for _ in range(3)] == ["a", "b", "c"]
    assert [get(trace) for _ in range(5)] == ["end a", "begin b", "end b", "begin c", "end c"]


def test_connections_go_on_beside_each_other(
    servers: Servers, connect: Connect, doors: Doors
) -> None:
    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        await doors.wait(message)
        conn.send(message)

    server = servers.run(on_message=on_message)
    first, second = connect(server), connect(server)
    first.send("first")
    second.send("second")
    assert {get(doors.arrived), get(doors.arrived)} == {"first", "second"}
    doors.open("second")
    assert second.receive() == "second"
    doors.open("first")
    assert first.receive() == "first"


def test_concurrent_handlers_of_one_connection(
    servers: Servers, connect: Connect, doors: Doors
) -> None:
    server = servers.make()

    @server.on_message(concurrent=True)
    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        await doors.wait(message)
        conn.send(message)

    servers.start(server)
    client = connect(server)
    client.send_raw(text("a"), text("b"), text("c"))
    assert [get(doors.arrived) for _ in range(3)] == ["a", "b", "c"]  # they begin in order
    for name in ("c", "a", "b"):
        doors.open(name)
        assert client.receive() == name


def test_concurrent_handlers_of_one_connection_are_max_queue_at_a_time(
    servers: Servers, connect: Connect, doors: Doors
) -> None:
    server = servers.make(max_queue=2)

    @server.on_message(concurrent=True)
    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        await doors.wait(message)

    servers.start(server)
    client, other = connect(server), connect(server)
    client.send_raw(*(text(str(n)) for n in range(10)))
    for n in range(0, 10, 2):
        assert [get(doors.arrived), get(doors.arrived)] == [str(n), str(n + 1)]
        other.send(f"turn {n}")  # behind which more would have begun
        assert get(doors.arrived) == f"turn {n}"
        assert doors.arrived.empty()
        for name in (str(n), str(n + 1), f"turn {n}"):
            doors.open(name)
    assert client.close() == (1000, "")


def test_open_ends_before_the_first_message(
    servers: Servers, connect: Connect, doors: Doors
) -> None:
    trace: list[str] = []

    async def on_open(conn: wspy.Connection) -> None:
        await doors.wait("open")
        trace.append("open")

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        trace.append("message")
        conn.send(",".join(trace))

    server = servers.run(on_open=on_open, on_message=on_message)
    client = connect(server)
    client.send("hello")
    assert get(doors.arrived) == "open"
    assert trace == []
    doors.open("open")
    assert client.receive() == "open,message"


def test_close_comes_last(servers: Servers, connect: Connect, doors: Doors) -> None:
    trace: queue.Queue[object] = queue.Queue()

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        await doors.wait(message)
        trace.put(message)

    async def on_close(conn: wspy.Connection, code: int, reason: str) -> None:
        await asyncio.sleep(0)
        trace.put((code, reason, conn.is_open))

    server = servers.run(on_message=on_message, on_close=on_close)
    client = connect(server)
    client.send_raw(text("a"), text("b"))
    assert get(doors.arrived) == "a"
    client.socket.close()
    doors.open("a")
    doors.open("b")
    assert [get(trace) for _ in range(3)] == ["a", "b", (1006, "", False)]


def test_json_packed_and_control_handlers(servers: Servers, connect: Connect) -> None:
    server = servers.make()

    @server.on_json
    async def on_json(conn: wspy.Connection, obj: Any) -> None:
        await asyncio.sleep(0)
        conn.send_json({"got": obj})

    @server.on_message(format="!HH")
    async def on_pair(conn: wspy.Connection, a: int, b: int) -> None:
        await asyncio.sleep(0)
        conn.send(str(a + b))

    @server.on_ping
    async def on_ping(conn: wspy.Connection, data: bytes) -> None:
        await asyncio.sleep(0)
        conn.send(b"ping " + data)

    servers.start(server)
    client = connect(server)
    client.send("[1]")
    assert client.receive() == '{"got":[1]}'
    client.send(b"\0\1\0\2")
    assert client.receive() == "3"
    client.send_raw(frame(PING, b"hi"))
    assert client.read_frame() == (PONG, b"hi", True)
    assert client.receive() == b"ping hi"


# -- handlers that change while one goes on --


@pytest.mark.parametrize("becomes_concurrent", [True, False])
def test_a_handler_that_is_replaced_while_it_goes_on(
    servers: Servers, connect: Connect, doors: Doors, becomes_concurrent: bool
) -> None:
    """What was said when it began counts: nothing waits for ever, and nothing goes on too early."""
    server = servers.make()

    async def second(conn: wspy.Connection, message: str | bytes) -> None:
        await doors.wait(message)
        conn.send(f"second {message!s}")

    @server.on_message(concurrent=not becomes_concurrent)
    async def first(conn: wspy.Connection, message: str | bytes) -> None:
        server.on_message(second, concurrent=becomes_concurrent)
        await doors.wait(message)
        conn.send(f"first {message!s}")

    servers.start(server)
    client = connect(server)
    client.send("a")
    assert get(doors.arrived) == "a"
    client.send("b")
    if becomes_concurrent:
        doors.open("a")
        assert client.receive() == "first a"
        client.send("c")
        assert [get(doors.arrived), get(doors.arrived)] == ["b", "c"]
        doors.open("c")
        assert client.receive() == "second c"
    else:
        assert get(doors.arrived) == "b"
        client.send("c")
        doors.open("a")  # nobody waits for it: c still waits for b
        assert client.receive() == "first a"
        assert doors.arrived.empty()
        doors.open("c")
    doors.open("b")
    assert client.receive() == "second b"
    if not becomes_concurrent:
        assert client.receive() == "second c"


def test_a_format_has_a_mode_of_its_own(servers: Servers, connect: Connect, doors: Doors) -> None:
    """Text waits for its handler, records do not."""
    server = servers.make()

    @server.on_message
    async def on_text(conn: wspy.Connection, message: str | bytes) -> None:
        await doors.wait(message)
        conn.send(message)

    @server.on_message(format="B", concurrent=True)
    async def on_record(conn: wspy.Connection, value: int) -> None:
        await doors.wait(value)
        conn.send(str(value))

    servers.start(server)
    client = connect(server)
    client.send_raw(binary(b"\1"), binary(b"\2"), text("a"), text("b"))
    assert [get(doors.arrived) for _ in range(3)] == [1, 2, "a"]
    doors.open(2)
    assert client.receive() == "2"
    doors.open(1)
    assert client.receive() == "1"
    assert doors.arrived.empty()
    doors.open("a")
    assert client.receive() == "a"
    assert get(doors.arrived) == "b"
    doors.open("b")
    assert client.receive() == "b"


# -- pausing --


def test_reading_pauses_above_max_queue(servers: Servers, connect: Connect, doors: Doors) -> None:
    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        await doors.wait(message)

    server = servers.run(on_message=on_message, max_queue=3)
    client = connect(server)
    client.send("0")
    assert get(doors.arrived) == "0"
    for n in range(1, 4):
        client.send_raw(text(str(n)), frame(PING, b"%d" % n))
        assert client.read_frame() == (PONG, b"%d" % n, True)  # three may wait
    client.send("4")
    settle(server)
    client.send_raw(frame(PING, b"4"))
    settle(server)
    assert client.has_nothing()
    assert doors.arrived.empty()
    for n in range(5):
        doors.open(str(n))
    assert client.read_frame() == (PONG, b"4", True)
    assert [get(doors.arrived) for _ in range(4)] == ["1", "2", "3", "4"]


# -- the first step --


def test_no_turn_of_the_loop_for_handlers_that_do_not_suspend(
    servers: Servers, connect: Connect
) -> None:
    """From the first to the last of a batch the loop runs nothing else."""
    turns: list[int] = []
    seen: list[object] = []

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        if not seen:
            asyncio.get_running_loop().call_soon(lambda: turns.append(len(seen)))
        seen.append(message)
        if len(seen) == 100:
            conn.send(f"{len(turns)}")

    server = servers.run(on_message=on_message)
    client = connect(server)
    client.send_raw(*(text(str(i)) for i in range(100)))  # one segment of loopback
    assert client.receive() == "0"
    wait_until(lambda: turns == [100])
    assert seen == [str(i) for i in range(100)]


def test_the_current_task(servers: Servers, connect: Connect) -> None:
    tasks: list[asyncio.Task[Any] | None] = []

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        tasks.append(asyncio.current_task())
        await asyncio.sleep(0)
        tasks.append(asyncio.current_task())
        conn.send(message)

    server = servers.run(on_message=on_message)
    client = connect(server)
    client.echo("a")
    client.echo("b")
    a, a_again, b, b_again = tasks
    assert isinstance(a, asyncio.Task)
    assert isinstance(b, asyncio.Task)
    assert asyncio.isfuture(a)
    assert a is a_again
    assert b is b_again
    assert a is not b
    # asyncio's names, by which lines of a log are told apart.
    numbers = [int(task.get_name().removeprefix("Task-")) for task in (a, b)]
    assert numbers[0] < numbers[1]
    wait_until(lambda: all(task is not None and task.done() for task in tasks))


def test_time_outs_inside(servers: Servers, connect: Connect) -> None:
    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        never = asyncio.get_running_loop().create_future()
        try:
            if message == "timeout" and sys.version_info >= (3, 11):
                async with asyncio.timeout(0.01):
                    await never
            else:
                await asyncio.wait_for(never, 0.01)
        except asyncio.TimeoutError:
            conn.send("timed out")

    server = servers.run(on_message=on_message)
    client = connect(server)
    for message in ("timeout", "wait_for"):
        client.send(message)
        assert client.receive() == "timed out"


def test_task_groups_inside(servers: Servers, connect: Connect) -> None:
    async def part(n: int) -> int:
        await asyncio.sleep(0)
        return n * n

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        if sys.version_info >= (3, 11):
            async with asyncio.TaskGroup() as group:
                parts = [group.create_task(part(n)) for n in range(4)]
            conn.send(str(sum(task.result() for task in parts)))
        else:
            conn.send(str(sum(await asyncio.gather(*map(part, range(4))))))

    server = servers.run(on_message=on_message)
    client = connect(server)
    client.send("go")
    assert client.receive() == "14"


name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")


def test_each_connection_has_a_context(servers: Servers, connect: Connect) -> None:
    async def on_open(conn: wspy.Connection) -> None:
        name.set(conn.path)

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        before = name.get()
        await asyncio.sleep(0)
        assert name.get() == before
        if message != "who":
            name.set(str(message))
        conn.send(before)

    server = servers.run(on_open=on_open, on_message=on_message)
    first, second = connect(server, "/first"), connect(server, "/second")
    for client, message, answer in (
        (first, "who", "/first"),
        (second, "changed", "/second"),
        (first, "who", "/first"),
        (second, "who", "changed"),
    ):
        client.send(message)
        assert client.receive() == answer
    assert name.get() == "nobody"


# -- refusals --


def test_async_handlers_need_epoll() -> None:
    async def on_message(conn: wspy.Connection, message: str | bytes) -> None: ...

    for strategy in ("select", "poll"):
        server = wspy.Server(port=0, strategy=strategy)
        with pytest.raises(ValueError, match=f"async handlers need epoll.*'{strategy}'"):
            server.on_message(on_message)
        with pytest.raises(ValueError, match="async handlers need epoll"):
            wspy.Server(port=0, strategy=strategy, on_message=on_message)
        with pytest.raises(ValueError, match="only epoll has"):
            server.run(loop="asyncio")
        server.stop()
        server.run()  # it was not begun: it runs as it can


def test_an_async_handler_for_a_plain_run(log: Records) -> None:
    async def on_message(conn: wspy.Connection, message: str | bytes) -> None: ...

    server = wspy.Server(port=0)
    with server.start_in_thread(), pytest.raises(RuntimeError, match="need asyncio"):
        server.on_message(on_message)


def test_what_cannot_be_a_handler() -> None:
    server = wspy.Server(port=0)

    async def generator(conn: wspy.Connection) -> Any:
        yield

    async def on_error(conn: wspy.Connection, exc: Exception) -> None: ...

    with pytest.raises(TypeError, match="generator"):
        server.on_open(generator)
    with pytest.raises(TypeError, match="use a plain def"):
        server.on_error(on_error)
    with pytest.raises(ValueError, match="concurrent"):
        server.on_open(lambda conn: None, concurrent=True)
    with pytest.raises(ValueError, match="loop must be"):
        server.run(loop="trio")  # type: ignore[arg-type]
