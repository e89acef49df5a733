"""A server inside somebody's own loop: serve(), async with, start_serving(), wait_closed()."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import weakref
from pathlib import Path

import aiohttp
import pytest
from conftest import Records
from loops import closed, connect, no_unhandled, run, until
from support import PING, PONG, TIMEOUT, Client, frame

import wspy
from wspy.serving import LoopName


async def echo(conn: wspy.Connection, message: str | bytes) -> None:
    await asyncio.sleep(0)
    conn.send(message)


def make(**options: object) -> wspy.Server:
    options.setdefault("on_message", echo)
    return wspy.Server(port=0, **options)  # type: ignore[arg-type]


def count_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


# -- ways to run --


def test_async_with(loop: LoopName, log: Records) -> None:
    async def main() -> None:
        for attempt in range(2):  # the first one opens what the loop keeps for itself
            gc.collect()
            before = count_descriptors()
            with no_unhandled():
                server = make()
                async with server as same:
                    assert same is server
                    async with connect(server) as client:
                        await client.send("hello")
                        assert await client.recv() == "hello"
                assert len(server) == 0
                assert server.stats()["opened"] == server.stats()["closed"] == 1
                await asyncio.sleep(0)  # the client's socket is closed in a turn of its own
            del server, same
            gc.collect()
            assert count_descriptors() == before or attempt == 0

    run(loop, main())


def test_async_with_closes_with_1001(loop: LoopName, log: Records) -> None:
    async def main() -> None:
        async with make() as server:
            client = await connect(server)
        assert await closed(client) == (1001, "")

    run(loop, main())


def test_an_exception_inside_async_with(loop: LoopName, log: Records) -> None:
    async def main() -> None:
        server = make()
        with pytest.raises(ZeroDivisionError):
            async with server:
                client = await connect(server)
                raise ZeroDivisionError
        assert await closed(client) == (1001, "")
        with pytest.raises(ConnectionRefusedError):
            await connect(server)

    run(loop, main())


def test_serve_until_a_stop(loop: LoopName, log: Records) -> None:
    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        conn.server.stop()

    async def main() -> None:
        server = make(on_message=on_message)
        serving = asyncio.ensure_future(server.serve())
        await asyncio.sleep(0)
        async with connect(server) as client:
            await client.send("stop")
            await serving
            assert await closed(client) == (1001, "")

    run(loop, main())


def test_serve_is_cancelled(loop: LoopName, log: Records) -> None:
    async def main() -> None:
        server = make()
        serving = asyncio.ensure_future(server.serve())
        await asyncio.sleep(0)
        client = await connect(server)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert await closed(client) == (1001, "")
        assert len(server) == 0

    run(loop, main())


def test_serve_is_cancelled_twice(loop: LoopName, log: Records) -> None:
    """The second time nobody waits for a peer that does not answer the close."""

    async def main() -> None:
        server = make(close_timeout=None, shutdown_timeout=None)
        ended: list[tuple[int, str | None]] = []
        server.on_close(lambda conn, code, reason: ended.append((code, conn.close_kind)))
        serving = asyncio.ensure_future(server.serve())
        await asyncio.sleep(0)
        mute = await asyncio.to_thread(Client, server)
        serving.cancel()
        assert await asyncio.to_thread(mute.expect_close) == (1001, "")
        assert not serving.done()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert ended == [(1006, "shutdown")]
        await asyncio.to_thread(mute.expect_end)
        mute.socket.close()

    run(loop, main())


def test_a_cut_calls_async_on_close(loop: LoopName, log: Records) -> None:
    """The task that was cancelled takes the last steps, and handlers begin inside it."""

    async def main() -> None:
        server = make(close_timeout=None, shutdown_timeout=None)
        calls: list[object] = []

        async def on_close(conn: wspy.Connection, code: int, reason: str) -> None:
            calls.append((code, conn.close_kind))
            task = asyncio.current_task()
            await asyncio.sleep(0)
            assert asyncio.current_task() is task
            calls.append("end")
            ended.set()

        ended = asyncio.Event()
        server.on_close(on_close)
        serving = asyncio.ensure_future(server.serve())
        await asyncio.sleep(0)
        mute = await asyncio.to_thread(Client, server)
        serving.cancel()
        assert await asyncio.to_thread(mute.expect_close) == (1001, "")
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        await asyncio.wait_for(ended.wait(), TIMEOUT)
        assert calls == [(1006, "shutdown"), "end"]
        mute.socket.close()

    run(loop, main())


def test_wait_closed_may_be_cancelled(loop: LoopName, log: Records) -> None:
    async def main() -> None:
        async with make() as server:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(server.wait_closed(), 0.01)
            async with connect(server) as client:  # it goes on
                await client.send("still")
                assert await client.recv() == "still"

    run(loop, main())


def test_stop_before_it_begins(loop: LoopName, log: Records) -> None:
    async def main() -> None:
        server = make()
        server.stop()
        await server.serve()
        await server.wait_closed()  # again: at once

    run(loop, main())


def test_a_stop_of_another_thread(loop: LoopName, log: Records) -> None:
    async def main() -> None:
        server = make()
        server.start_serving()
        thread = threading.Thread(target=server.stop)
        thread.start()
        await server.wait_closed()
        thread.join()

    run(loop, main())


def test_several_servers_on_one_loop(loop: LoopName, log: Records) -> None:
    async def main() -> None:
        async with make() as a, make() as b:

            async def forward(conn: wspy.Connection, message: str | bytes) -> None:
                async with connect(b) as client:
                    await client.send(message)
                    conn.send(f"forwarded {await client.recv()!s}")

            a.on_message(forward)
            async with connect(a) as first, connect(a) as second:
                await first.send("1")
                await second.send("2")
                assert await first.recv() == "forwarded 1"
                assert await second.recv() == "forwarded 2"

    run(loop, main())


def test_in_a_loop_of_another_thread(loop: LoopName, log: Records) -> None:
    server = make()
    with server.start_in_thread(loop=loop) as url, Client(url) as client:
        client.echo("hello")
        assert client.close() == (1000, "")


def test_other_libraries_in_a_handler(loop: LoopName, log: Records) -> None:
    """An aiohttp client and a subprocess on the loop that the server is in."""

    async def main() -> None:
        async with make() as server, aiohttp.ClientSession() as session:
            server_of_pages = wspy.Server(port=0)
            server_of_pages.page("/", "a page")

            async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
                if message == "page":
                    url = server_of_pages.url.replace("ws:", "http:")
                    async with session.get(url) as response:
                        conn.send(await response.text())
                else:
                    process = await asyncio.create_subprocess_exec(
                        sys.executable, "-c", "print('a process')", stdout=asyncio.subprocess.PIPE
                    )
                    out, _ = await process.communicate()
                    conn.send(out.decode().strip())

            server.on_message(on_message)
            async with server_of_pages, connect(server) as a, connect(server) as b:
                await b.send("process")
                await a.send("page")
                assert await a.recv() == "a page"
                assert await b.recv() == "a process"

    run(loop, main())


# -- misuse --


def test_start_serving_twice(loop: LoopName, log: Records) -> None:
    async def main() -> None:
        server = make()
        server.start_serving()
        with pytest.raises(RuntimeError, match="runs once"):
            server.start_serving()
        async with connect(server) as client:  # the first one goes on
            await client.send("hello")
            assert await client.recv() == "hello"
        server.stop()
        await server.wait_closed()
        for start in (server.start_serving, server.run):
            with pytest.raises(RuntimeError):
                start()

    run(loop, main())


def test_run_inside_a_loop(loop: LoopName, log: Records) -> None:
    async def main() -> None:
        server = make()
        with pytest.raises(RuntimeError, match="await serve"):
            server.run()
        async with server:  # it has not begun
            pass

    run(loop, main())


def test_wait_closed_before_the_start(loop: LoopName, log: Records) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="start_serving"):
            await make().wait_closed()

    run(loop, main())


def test_start_serving_without_a_loop(loop: LoopName, log: Records) -> None:
    server = make()
    with pytest.raises(RuntimeError, match="no running event loop: call this in a coroutine"):
        server.start_serving()
    server.stop()
    server.run(loop=loop)  # nothing had begun


def test_steps_belong_to_asyncio(loop: LoopName, log: Records) -> None:
    async def main() -> None:
        async with make() as server:
            with pytest.raises(RuntimeError, match="start_serving"):
                server.step()
        with pytest.raises(RuntimeError):
            server.step()

    run(loop, main())


def test_a_server_that_runs_elsewhere(loop: LoopName, log: Records) -> None:
    async def main() -> None:
        server = wspy.Server(port=0)
        with server.start_in_thread():
            with pytest.raises(RuntimeError, match="runs once"):
                server.start_serving()
            with pytest.raises(RuntimeError, match="wait_closed"):
                await server.wait_closed()

    run(loop, main())


# -- what can be awaited --


def test_drain(loop: LoopName, log: Records) -> None:
    """It returns once the peer has taken enough; nothing is dropped."""

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        for _ in range(100):
            if not conn.send(bytes(100_000)):
                assert conn.backlog > 200_000
                await conn.drain()
                assert conn.backlog <= 100_000
        assert conn.dropped == 0
        await conn.drain()
        conn.send("done")

    async def main() -> None:
        server = make(on_message=on_message, high_water=200_000)
        async with server, connect(server) as client:
            await client.send("go")
            for _ in range(100):
                assert await client.recv() == bytes(100_000)
            assert await client.recv() == "done"

    run(loop, main())


@pytest.mark.parametrize("way", ["peer", "local"])
def test_drain_of_a_connection_that_ends(loop: LoopName, log: Records, way: str) -> None:
    result: list[object] = []
    waits: list[bool] = []

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        while conn.backlog < 400_000:  # more than the kernel takes
            conn.send(bytes(500_000))
            await asyncio.sleep(0.001)
        if way == "local":
            asyncio.get_running_loop().call_soon(conn.close, 4000)
        waits.append(True)
        try:
            await conn.drain()
        except wspy.ConnectionClosed as exc:
            result.append(exc.code)
        with pytest.raises(wspy.ConnectionClosed):
            await conn.drain()

    async def main() -> None:
        server = make(on_message=on_message, high_water=100_000, max_backlog=None)
        async with server:
            client = await asyncio.to_thread(Client, server)
            client.send("go")
            if way == "peer":
                await until(lambda: server.connections[0].backlog >= 400_000 and waits)
                client.reset()
            await until(lambda: result)
            assert result == [1006 if way == "peer" else 4000]
            client.socket.close()

    run(loop, main())


def test_wait_closed_of_a_connection(loop: LoopName, log: Records) -> None:
    async def main() -> None:
        results: asyncio.Queue[object] = asyncio.Queue()

        async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
            results.put_nowait(await conn.wait_closed())  # on_close waits for us
            results.put_nowait(conn.close_code)

        async def on_close(conn: wspy.Connection, code: int, reason: str) -> None:
            results.put_nowait("close")
            results.put_nowait(await conn.wait_closed())

        async with make(on_message=on_message, on_close=on_close) as server:
            client = await connect(server)
            await client.send("go")
            await client.close(4001, "bye")
            for expected in ((4001, "bye"), None, "close", (4001, "bye")):
                assert await results.get() == expected

    run(loop, main())


def test_ping(loop: LoopName, log: Records) -> None:
    async def main() -> None:
        async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
            latency = await conn.ping()
            assert 0 <= latency == conn.latency
            first, second = conn.ping(b"first"), conn.ping("second")
            assert await second >= 0
            assert await first >= 0
            conn.send("pinged")

        async with make(on_message=on_message) as server, connect(server) as client:
            await client.send("go")
            assert await client.recv() == "pinged"

    run(loop, main())


def test_a_pong_answers_the_pings_before_it(loop: LoopName, log: Records) -> None:
    """RFC 6455 section 5.5.3: a peer may answer only the last one."""

    async def main() -> None:
        async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
            first, second, third = (conn.ping(name) for name in ("a", "b", "c"))
            await second
            await first
            assert not third.done()  # type: ignore[attr-defined]
            conn.send("two")
            await third
            conn.send("three")

        def act(client: Client) -> None:
            client.send("go")
            assert [client.read_frame().payload for _ in range(3)] == [b"a", b"b", b"c"]
            client.send_raw(frame(PONG, b"b"))
            assert client.receive() == "two"
            client.send_raw(frame(PONG, b"c"))
            assert client.receive() == "three"

        async with make(on_message=on_message) as server:
            client = await asyncio.to_thread(Client, server)
            await asyncio.to_thread(act, client)
            client.socket.close()

    run(loop, main())


def test_a_ping_of_a_peer_that_has_gone(loop: LoopName, log: Records) -> None:
    """A handler that on_close waits for does not wait for a pong that never comes."""

    async def main() -> None:
        results: asyncio.Queue[object] = asyncio.Queue()

        async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
            waiting = conn.ping()
            results.put_nowait("waits")
            for ping in (lambda: waiting, conn.ping):
                try:
                    await ping()  # type: ignore[no-untyped-call]
                except wspy.ConnectionClosed as exc:
                    results.put_nowait(exc.code)

        async with make(on_message=on_message) as server:
            client = await asyncio.to_thread(Client, server)
            client.send("go")
            assert await results.get() == "waits"
            client.socket.close()
            assert [await results.get(), await results.get()] == [1006, 1006]

    run(loop, main())


def test_nothing_can_be_awaited_outside(loop: LoopName, log: Records) -> None:
    """In a plain run, and on another thread than the loop's."""
    conns: list[wspy.Connection] = []

    async def use(conn: wspy.Connection) -> None:
        for awaitable in (conn.ping(), conn.drain(), conn.wait_closed()):
            with pytest.raises(RuntimeError, match="asyncio"):
                await awaitable

    for options in ({}, {"loop": loop}):
        server = wspy.Server(port=0, on_open=conns.append)
        with server.start_in_thread(**options) as url, Client(url) as client:
            client.send_raw(frame(PING, b""))
            assert client.read_frame().opcode == PONG
            run(loop, use(conns.pop()))


# -- exits --


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_exit_of_a_plain_handler(
    loop: LoopName, log: Records, error: type[BaseException]
) -> None:
    def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        raise error

    async def main(waits: bool) -> None:
        server = make(on_message=on_message)
        async with server:
            client = await connect(server)
            await client.send("go")
            if waits:
                await server.wait_closed()
            else:  # nobody would be told: it leaves the loop
                await asyncio.sleep(TIMEOUT)
        raise AssertionError("it went on")

    for waits in (True, False):
        with pytest.raises(error):
            run(loop, main(waits))


class OddError(BaseException):
    """No Exception, and nothing that a loop knows."""


def test_another_exception_that_ends_the_run(loop: LoopName, log: Records) -> None:
    """Whoever waits for the end gets it, though nobody waits yet."""

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        raise OddError

    async def main() -> None:
        server = make(on_message=on_message)
        async with server:
            client = await connect(server)
            await client.send("go")
            assert await closed(client) == (1001, "")

    with pytest.raises(OddError):
        run(loop, main())


# -- memory --


def test_a_server_is_freed_when_it_is_dropped(loop: LoopName, log: Records) -> None:
    """Without the collector: its address is free at once."""
    gc.collect()
    gc.disable()
    try:
        server = make()
        port, gone = server.port, weakref.ref(server)
        del server
        assert gone() is None
        wspy.Server(port=port)
    finally:
        gc.enable()


def test_connections_are_freed_when_they_end(loop: LoopName, log: Records) -> None:
    """No cycle is left of a handler, a context and who waits."""
    conns: list[weakref.ref[wspy.Connection]] = []

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        conns.append(weakref.ref(conn))
        await conn.ping()
        await conn.drain()
        conn.send("drained")
        await asyncio.sleep(0)
        if message == "fail":
            raise ZeroDivisionError

    async def main() -> None:
        server = make(on_message=on_message, on_error=lambda conn, exc: conn.close(4000))
        async with server:
            gc.collect()
            gc.disable()
            try:
                for message in ("fail", "end"):
                    client = await connect(server)
                    await client.send(message)
                    assert await client.recv() == "drained"
                    await (closed(client) if message == "fail" else client.close())
                await until(lambda: len(server) == 0 and server.stats()["closed"] == 2)
                await asyncio.sleep(0)
                assert [conn() for conn in conns] == [None, None]
            finally:
                gc.enable()

    run(loop, main())


def test_a_run_that_was_left_is_garbage(loop: LoopName, log: Records) -> None:
    """The loop is gone and nobody had stopped the server: the collector closes what is open."""
    gc.collect()
    before = count_descriptors()
    gone: list[weakref.ref[wspy.Server]] = []

    async def main() -> None:
        server = make()
        gone.append(weakref.ref(server))
        server.start_serving()
        client = await connect(server)
        await client.send("hello")
        assert await client.recv() == "hello"
        assert len(server) == 1
        client.transport.abort()

    run(loop, main())
    gc.collect()
    gc.collect()
    assert gone[0]() is None
    assert count_descriptors() == before


def test_a_fork_amid_it(loop: LoopName, log: Records, tmp_path: Path) -> None:
    """The child lets go of the server without a word to the peers."""

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        await asyncio.sleep(0)
        if message == "fork":
            child = os.fork()
            if child == 0:
                os._exit(0 if not conn.is_open else 1)
            _, status = os.waitpid(child, 0)  # noqa: ASYNC222 (it ends at once)
            conn.send(str(os.waitstatus_to_exitcode(status)))
        else:
            conn.send(message)

    async def main() -> None:
        async with make(on_message=on_message) as server, connect(server) as client:
            for message, answer in (("fork", "0"), ("hello", "hello"), ("fork", "0")):
                await client.send(message)
                assert await client.recv() == answer

    run(loop, main())
