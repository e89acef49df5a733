"""wspy.aio.serve: what a coroutine receives and sends, and how its connection ends."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
import weakref
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import suppress
from typing import Any

import pytest
import websockets
from conftest import Records
from loops import closed, run, soon, until
from serving import Server, serving
from websockets.asyncio.client import ClientConnection

import wspy
from wspy.aio import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    ServerConnection,
    State,
    broadcast,
    serve,
)
from wspy.errors import Close
from wspy.serving import LoopName


async def echo(ws: ServerConnection) -> None:
    async for message in ws:
        await ws.send(message)


class Meeting:
    """A handler that hands its connection to the test, and stays until it is let go."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[ServerConnection] = asyncio.Queue()
        self.leave = asyncio.Event()

    async def __call__(self, ws: ServerConnection) -> None:
        self.arrived.put_nowait(ws)
        await self.leave.wait()

    async def join(
        self, server: Server, **options: Any
    ) -> tuple[ServerConnection, ClientConnection]:
        client = await server.connect(**options)
        return await soon(self.arrived.get()), client


# ---- receiving ----


@pytest.mark.parametrize(
    "message", ["", "text", "ä€𝄞", b"", b"\x00\xff", b"x" * 200_000, "y" * 70_000]
)
def test_echo(loop: LoopName, message: str | bytes, log: Records) -> None:
    async def main() -> None:
        async with serving(echo) as server, server.connect() as client:
            for _ in range(3):
                await client.send(message)
                assert await soon(client.recv()) == message

    run(loop, main())


def test_decode(loop: LoopName, log: Records) -> None:
    async def main() -> None:
        meeting = Meeting()
        async with serving(meeting) as server:
            ws, client = await meeting.join(server)
            for message in ("ä", "ä", b"\xc3\xa4", b"\xc3\xa4", b"\xff", "end"):
                await client.send(message)
            assert await soon(ws.recv(True)) == "ä"
            assert await soon(ws.recv(decode=False)) == b"\xc3\xa4"
            assert await soon(ws.recv(decode=True)) == "ä"
            assert await soon(ws.recv(False)) == b"\xc3\xa4"
            with pytest.raises(UnicodeDecodeError):
                await soon(ws.recv(True))
            assert [part async for part in ws.recv_streaming()] == ["end"]
            meeting.leave.set()
            assert await closed(client) == (1000, "")

    run(loop, main())


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (1000, "bye", ConnectionClosedOK),
        (1001, "", ConnectionClosedOK),
        (1011, "", ConnectionClosedError),
        (4000, "own", ConnectionClosedError),
    ],
)
def test_the_peer_closes(
    loop: LoopName,
    code: int,
    reason: str,
    kind: type[ConnectionClosedOK | ConnectionClosedError],
    log: Records,
) -> None:
    """What it sent before comes first."""

    async def main() -> None:
        meeting = Meeting()
        async with serving(meeting) as server:
            ws, client = await meeting.join(server)
            assert (ws.close_code, ws.close_reason, ws.state) == (None, None, State.OPEN)
            await client.send("last")
            await client.close(code, reason)
            await soon(ws.wait_closed())
            assert ws.state == State.CLOSED
            assert await soon(ws.recv()) == "last"
            calls: list[Coroutine[Any, Any, object]]
            calls = [ws.recv(), ws.send("late"), ws.send(["late"]), ws.ping()]
            for coroutine in calls:
                with pytest.raises(kind) as caught:
                    await soon(coroutine)
                assert isinstance(caught.value, wspy.ConnectionClosed)
                assert type(caught.value) is kind
                assert (caught.value.code, caught.value.reason) == (code, reason)
                assert caught.value.rcvd == Close(code, reason)
                assert caught.value.sent == Close(code, "")
            assert (ws.close_code, ws.close_reason) == (code, reason)
            await soon(ws.close())
            meeting.leave.set()

    run(loop, main())


def test_the_peer_is_lost(loop: LoopName, log: Records) -> None:
    async def main() -> None:
        meeting = Meeting()
        async with serving(meeting) as server:
            ws, client = await meeting.join(server)
            client.transport.abort()
            with pytest.raises(ConnectionClosedError) as caught:
                await soon(ws.recv())
            assert (caught.value.code, caught.value.rcvd, caught.value.sent) == (1006, None, None)
            assert ws.close_code == 1006
            meeting.leave.set()

    run(loop, main())


@pytest.mark.parametrize(("code", "ends_well"), [(1000, True), (1001, True), (1008, False)])
def test_iteration_ends(loop: LoopName, code: int, ends_well: bool, log: Records) -> None:
    ended: list[object] = []

    async def handler(ws: ServerConnection) -> None:
        try:
            async for message in ws:
                ended.append(message)
        except ConnectionClosedError as exc:
            ended.append(exc.code)
        else:
            ended.append("well")

    async def main() -> None:
        async with serving(handler) as server:
            client = await server.connect()
            await client.send("one")
            await client.close(code)
        assert ended == ["one", "well" if ends_well else code]

    run(loop, main())


def test_one_coroutine_receives(loop: LoopName, log: Records) -> None:
    async def main() -> None:
        meeting = Meeting()
        async with serving(meeting) as server:
            ws, client = await meeting.join(server)
            first = asyncio.ensure_future(ws.recv())
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="another coroutine waits in recv"):
                await ws.recv()
            await client.send("for the first")
            assert await soon(first) == "for the first"
            meeting.leave.set()
            assert await closed(client) == (1000, "")

    run(loop, main())


@pytest.mark.parametrize(("max_queue", "waiting"), [(4, 4), ((8, 2), 8), (1, 1), (None, 100)])
def test_max_queue(loop: LoopName, max_queue: Any, waiting: int, log: Records) -> None:
    """So many messages wait for the coroutine, the rest is not handled; the end stands behind all,
    and is not lost either."""

    async def main() -> None:
        meeting = Meeting()
        async with serving(meeting, max_queue=max_queue) as server:
            ws, client = await meeting.join(server)
            for number in range(100):
                await client.send(str(number))
            while len(ws._inbox.messages) < waiting:
                await asyncio.sleep(0)
            stats = server.server.server.stats
            assert stats()["received"] == waiting
            assert [int(await soon(ws.recv())) for _ in range(50)] == list(range(50))
            await client.send("100")
            closing = asyncio.ensure_future(client.close())
            assert [int(m) async for m in ws] == list(range(50, 101))
            await soon(closing)
            meeting.leave.set()

    run(loop, main())


def test_a_full_inbox_learns_of_the_end(loop: LoopName, log: Records) -> None:
    """The peer closes behind messages that are held up: sending fails, all messages come."""

    async def main() -> None:
        meeting = Meeting()
        async with serving(meeting, max_queue=1) as server:
            ws, client = await meeting.join(server)
            await client.send("1")
            await client.send("2")
            await soon(client.close())
            await soon(ws.wait_closed())
            with pytest.raises(ConnectionClosedOK):
                await soon(ws.send("late"))
            assert [m async for m in ws] == ["1", "2"]
            meeting.leave.set()

    run(loop, main())


def test_a_full_inbox_learns_of_a_reset(loop: LoopName, log: Records) -> None:
    """However much waits before it: what came is not lost."""

    async def main() -> None:
        meeting = Meeting()
        async with serving(meeting, max_queue=1) as server:
            ws, client = await meeting.join(server)
            for number in range(100):
                await client.send(str(number))
            while not ws._inbox.messages:
                await asyncio.sleep(0)
            sock = client.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.transport.abort()
            await soon(ws.wait_closed())
            assert ws.close_code == 1006
            received = []
            with pytest.raises(ConnectionClosedError):
                while True:
                    received.append(int(await ws.recv()))
            assert received == list(range(100))
            meeting.leave.set()

    run(loop, main())


# ---- sending ----


async def fragments(client: ClientConnection) -> list[str | bytes]:
    async def collect() -> list[str | bytes]:
        return [part async for part in client.recv_streaming()]

    return await soon(collect())


@pytest.mark.parametrize(
    ("message", "text", "expected"),
    [
        (bytearray(b"ab"), None, b"ab"),
        (memoryview(b"abcd")[::2], None, b"ac"),
        ("ä", False, b"\xc3\xa4"),
        (b"\xc3\xa4", True, "ä"),
        (b"ab", False, b"ab"),
    ],
)
def test_kinds(
    loop: LoopName, message: Any, text: bool | None, expected: str | bytes, log: Records
) -> None:
    async def handler(ws: ServerConnection) -> None:
        await ws.send(message, text)

    async def main() -> None:
        async with serving(handler) as server, server.connect() as client:
            assert await soon(client.recv()) == expected

    run(loop, main())


@pytest.mark.parametrize("parts", [["a", "b", "c"], [b"a", bytearray(b"b")], ["only"]])
@pytest.mark.parametrize("is_async", [False, True])
def test_fragments(loop: LoopName, parts: list[Any], is_async: bool, log: Records) -> None:
    async def later() -> AsyncIterator[Any]:
        for part in parts:
            await asyncio.sleep(0)
            yield part

    async def handler(ws: ServerConnection) -> None:
        await ws.send(later() if is_async else iter(parts))
        await ws.send([])  # no message
        await ws.send("whole")

    async def main() -> None:
        async with serving(handler) as server, server.connect() as client:
            assert await fragments(client) == [*parts, type(parts[0])()]  # the last one is empty
            assert await soon(client.recv()) == "whole"

    run(loop, main())


def test_fragments_of_another_kind(loop: LoopName, log: Records) -> None:
    async def handler(ws: ServerConnection) -> None:
        await ws.send([b"a", b"b"], text=True)
        await ws.send(["ä"], text=False)

    async def main() -> None:
        async with serving(handler) as server, server.connect() as client:
            assert await soon(client.recv()) == "ab"
            assert await soon(client.recv()) == b"\xc3\xa4"

    run(loop, main())


def test_fragments_take_turns(loop: LoopName, log: Records) -> None:
    """RFC 6455 section 5.4: those of two messages are not interleaved."""

    async def main() -> None:
        meeting = Meeting()
        begun, go = asyncio.Event(), asyncio.Event()

        async def slowly() -> AsyncIterator[str]:
            yield "a"
            begun.set()
            await go.wait()
            yield "b"

        async with serving(meeting) as server:
            ws, client = await meeting.join(server)
            first = asyncio.ensure_future(ws.send(slowly()))
            await soon(begun.wait())
            second = asyncio.ensure_future(ws.send(["c", "d"]))
            await soon(ws.send("whole"))
            assert not second.done()
            go.set()
            await soon(asyncio.gather(first, second))
            assert [await soon(client.recv()) for _ in range(3)] == ["ab", "whole", "cd"]
            meeting.leave.set()
            assert await closed(client) == (1000, "")

    run(loop, main())


class BrokenError(Exception):
    pass


def breaking() -> Iterator[str]:
    yield "a"
    raise BrokenError


def test_fragments_that_break_off(loop: LoopName, log: Records) -> None:
    async def main() -> None:
        meeting = Meeting()
        async with serving(meeting) as server:
            ws, client = await meeting.join(server)
            with pytest.raises(BrokenError):
                await soon(ws.send(breaking()))
            assert await closed(client) == (1011, "")
            meeting.leave.set()

    run(loop, main())


@pytest.mark.parametrize("message", [None, 5, {"a": 1}, [5], ["a", b"b"], [b"a", None]])
def test_no_message(loop: LoopName, message: Any, log: Records) -> None:
    async def main() -> None:
        meeting = Meeting()
        async with serving(meeting) as server:
            ws, client = await meeting.join(server)
            with pytest.raises(TypeError):
                await soon(ws.send(message))
            meeting.leave.set()
            has_begun = isinstance(message, list) and message[0] != 5
            assert await closed(client) == (1011 if has_begun else 1000, "")

    run(loop, main())


def test_back_pressure(loop: LoopName, log: Records) -> None:
    """send() waits for a peer that does not read, and the end of the connection wakes it."""

    async def main() -> None:
        meeting = Meeting()
        async with serving(meeting, write_limit=10_000, max_backlog=None) as server:
            ws, client = await meeting.join(server, max_queue=1)
            count = 0

            async def flood() -> None:
                nonlocal count
                while True:
                    await ws.send(b"%8d" % count + bytes(100_000))
                    count += 1

            task = asyncio.ensure_future(flood())
            await until(lambda: ws._inbox.drains)  # send() waits
            before = count
            for number in range(before):
                assert ws._conn.backlog <= 10_000 + 100_100
                message = await soon(client.recv())
                assert int(message[:8]) == number
            await until(lambda: count > before)
            assert not task.done()
            client.transport.abort()
            with pytest.raises(ConnectionClosedError):
                await soon(task)
            meeting.leave.set()

    run(loop, main())


# ---- pings ----


def test_ping(loop: LoopName, log: Records) -> None:
    async def main() -> None:
        meeting = Meeting()
        async with serving(meeting) as server:
            ws, client = await meeting.join(server)
            assert ws.latency == 0
            seconds = await soon(await ws.ping())
            assert seconds == ws.latency > 0
            assert await soon(await ws.ping("data")) > 0
            assert await soon(await ws.ping(b"")) > 0
            with pytest.raises(ValueError, match="125"):
                await ws.ping(bytes(126))
            client.transport.pause_reading()
            waiting = await ws.ping()
            client.transport.abort()
            with pytest.raises(ConnectionClosedError):
                await soon(waiting)
            meeting.leave.set()

    run(loop, main())


# ---- the end ----


def test_close(loop: LoopName, log: Records) -> None:
    async def main() -> None:
        meeting = Meeting()
        async with serving(meeting) as server:
            ws, client = await meeting.join(server)
            receiving = asyncio.ensure_future(ws.recv())
            await asyncio.sleep(0)
            closing = asyncio.ensure_future(ws.close(4001, "why"))
            await asyncio.sleep(0)
            assert ws.state is State.CLOSING
            await soon(closing)
            assert ws.state.name == "CLOSED"
            assert (ws.close_code, ws.close_reason) == (4001, "why")
            assert server.server.connections == set()
            with pytest.raises(ConnectionClosedError) as caught:
                await soon(receiving)
            assert caught.value.sent == Close(4001, "why")
            assert await closed(client) == (4001, "why")
            meeting.leave.set()

    run(loop, main())


def test_the_coroutine_returns(loop: LoopName, log: Records) -> None:
    """The connection is closed with 1000, and what has come and was not asked for is dropped."""

    async def handler(ws: ServerConnection) -> None:
        await ws.send(await ws.recv())

    async def main() -> None:
        async with serving(handler, max_queue=1) as server, server.connect() as client:
            for _ in range(10):
                await client.send("x")
            assert await soon(client.recv()) == "x"
            assert await closed(client) == (1000, "")

    run(loop, main())


@pytest.mark.parametrize("error", [BrokenError(), asyncio.CancelledError()])
@pytest.mark.parametrize("late", [False, True])
def test_the_coroutine_raises(
    loop: LoopName, error: BaseException, late: bool, log: Records
) -> None:
    async def handler(ws: ServerConnection) -> None:
        if late:
            await ws.recv()
        raise error

    async def main() -> None:
        async with serving(handler) as server, server.connect() as client:
            with suppress(websockets.ConnectionClosed):  # early: it may be closed by now
                await client.send("go")
            is_error = isinstance(error, Exception)
            assert await closed(client) == (1011 if is_error else 1001, "")
        [*errors] = log.take_errors()
        assert len(errors) == is_error
        for record in errors:
            assert "the handler of <wspy.aio.ServerConnection of" in record.getMessage()
            assert record.exc_info is not None
            assert record.exc_info[1] is error

    run(loop, main())


def test_a_lost_peer_is_no_error(loop: LoopName, log: Records) -> None:
    async def handler(ws: ServerConnection) -> None:
        await ws.recv()

    async def main() -> None:
        async with serving(handler) as server:
            client = await server.connect()
            client.transport.abort()
        assert any("1006" in line for line in log.at(20))

    run(loop, main())


def test_an_exit_in_a_coroutine_stops_the_server(loop: LoopName, log: Records) -> None:
    async def handler(ws: ServerConnection) -> None:
        await ws.recv()
        raise SystemExit(5)

    async def main() -> None:
        server = await serve(handler, "127.0.0.1", 0)
        async with Server(server).connect() as client:
            await client.send("go")
            with pytest.raises(SystemExit, match="5"):
                await server.wait_closed()  # in no task of its own: it would end the loop

    run(loop, main())


# ---- what is known ----


def test_what_a_connection_is(loop: LoopName, log: Records) -> None:
    async def main() -> None:
        meeting = Meeting()
        async with serving(meeting, subprotocols=["b", "a"]) as server:
            client = await server.connect(
                "/p/%20?q=1", subprotocols=["a", "b"], additional_headers={"X-Name": "me"}
            )
            ws = await soon(meeting.arrived.get())
            assert ws.request.path == "/p/%20?q=1"
            assert ws.request.headers["x-name"] == "me"
            assert ws.request is ws.request
            assert ws.subprotocol == client.subprotocol == "b"
            assert ws.remote_address == client.local_address
            assert ws.local_address == client.remote_address
            assert server.server.sockets[0].getsockname() == ws.local_address
            assert server.server.connections == {ws}
            assert ws.logger is server.server.logger
            assert ws.username is None
            assert len({ws.id, *(w.id for w in server.server.connections)}) == 1
            meeting.leave.set()
            assert await closed(client) == (1000, "")

    run(loop, main())


def test_broadcast(loop: LoopName, log: Records) -> None:
    async def main() -> None:
        meeting = Meeting()
        async with serving(meeting) as server:
            pairs = [await meeting.join(server) for _ in range(3)]
            await pairs[0][1].close()
            await soon(pairs[0][0].wait_closed())
            broadcast([ws for ws, _ in pairs], "all")
            broadcast((ws for ws, _ in pairs), b"\xc3\xa4", text=True)
            for _, client in pairs[1:]:
                assert [await soon(client.recv()) for _ in range(2)] == ["all", "ä"]
            with pytest.raises(TypeError, match="not list"):
                broadcast([], ["a"])  # type: ignore[arg-type]
            meeting.leave.set()
            for _, client in pairs[1:]:
                assert await closed(client) == (1000, "")

    run(loop, main())


def test_nothing_is_left(loop: LoopName, log: Records) -> None:
    """Without help of the collector."""
    left: list[weakref.ref[Any]] = []

    async def handler(ws: ServerConnection) -> None:
        left.extend((weakref.ref(ws), weakref.ref(ws._conn), weakref.ref(ws._inbox)))
        with suppress(ConnectionClosed):
            await ws.send(await ws.recv())
            await (await ws.ping())
            await ws.recv()

    async def main() -> None:
        async with serving(handler) as server:
            for number in range(30):
                client = await server.connect()
                if number % 3:
                    await client.send("x")
                    assert await soon(client.recv()) == "x"
                if number % 2:
                    client.transport.abort()
                else:
                    await client.close()
        await asyncio.sleep(0)

    gc.collect()
    gc.disable()
    try:
        run(loop, main())
        assert len(left) == 90
        assert [ref() for ref in left if ref() is not None] == []
    finally:
        gc.enable()
