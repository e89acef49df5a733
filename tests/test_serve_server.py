"""The server of wspy.aio.serve: how it starts and ends, its options, and process_request."""

from __future__ import annotations

import asyncio
import base64
import http
import logging
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import websockets
from conftest import Records
from loops import closed, run, soon
from serving import Server, serving
from support import upgrade_request
from websockets.asyncio.client import unix_connect

import wspy
from wspy.aio import (
    ConnectionClosedOK,
    Request,
    Response,
    ServerConnection,
    State,
    basic_auth,
    serve,
    unix_serve,
)
from wspy.serving import LoopName


async def greet(ws: ServerConnection) -> None:
    await ws.send(f"hello {ws.username}")
    await ws.recv()


# ---- start and end ----


def test_closing_the_server(loop: LoopName, log: Records) -> None:
    """Clients see 1001, coroutines ConnectionClosedOK."""
    seen: list[object] = []

    async def handler(ws: ServerConnection) -> None:
        await ws.send("here")
        try:
            await ws.recv()
        except ConnectionClosedOK as exc:
            seen.append(exc.sent and exc.sent.code)

    async def main() -> None:
        server = await serve(handler, "127.0.0.1", 0)
        assert server.is_serving()
        assert server.get_loop() is asyncio.get_running_loop()
        clients = [await Server(server).connect() for _ in range(3)]
        for client in clients:
            assert await soon(client.recv()) == "here"
        assert len(server.connections) == 3
        server.close()
        server.close()
        assert not server.is_serving()
        assert server.sockets == ()
        for client in clients:
            assert await closed(client) == (1001, "")
        await soon(server.wait_closed())
        await soon(server.wait_closed())
        assert seen == [1001] * 3
        with pytest.raises(ConnectionRefusedError):
            await Server(server).connect()

    run(loop, main())


def test_coroutines_that_do_not_listen_are_cancelled(loop: LoopName, log: Records) -> None:
    ended: list[str] = []

    async def handler(ws: ServerConnection) -> None:
        try:
            await ws.send("here")
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def main() -> None:
        async with serving(handler, shutdown_timeout=0.05) as server:
            client = await server.connect()
            assert await soon(client.recv()) == "here"
        assert ended == ["cancelled"]
        assert await closed(client) == (1001, "")

    run(loop, main())


def test_a_coroutine_that_refuses_to_end_is_named(loop: LoopName, log: Records) -> None:
    async def stubborn(ws: ServerConnection) -> None:
        await ws.send("here")
        for _ in range(500):  # until it is, or never
            if any("does not end" in line for line in log.at(logging.WARNING)):
                break
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)

    async def main() -> None:
        async with serving(stubborn, shutdown_timeout=0.05) as server:
            client = await server.connect()
            assert await soon(client.recv()) == "here"

    run(loop, main())
    (line,) = log.at(logging.WARNING)
    assert line.startswith("the handler of <wspy.aio.ServerConnection of <wspy.Connection 1 ")
    assert line.endswith("was cancelled, and does not end: the server waits for it")


def test_a_full_inbox_does_not_hold_up_the_end(loop: LoopName, log: Records) -> None:
    async def handler(ws: ServerConnection) -> None:
        while len(ws._inbox.messages) < 1:
            await asyncio.sleep(0)
        ws.server.close()
        await ws.wait_closed()

    async def main() -> None:
        async with serving(handler, max_queue=1) as server:
            client = await server.connect()
            for _ in range(20):
                await client.send("x")
            await soon(server.server.wait_closed())
            assert await closed(client) == (1001, "")

    run(loop, main())


def test_serve_forever(loop: LoopName, log: Records) -> None:
    async def main() -> None:
        server = await serve(greet, "127.0.0.1", 0)
        task = asyncio.ensure_future(server.serve_forever())
        client = await Server(server).connect()
        assert await soon(client.recv()) == "hello None"
        task.cancel()
        await soon(asyncio.wait({task}))  # the coroutine hears of it, and ends
        assert task.cancelled()
        assert not server.is_serving()
        assert await closed(client) == (1001, "")

    run(loop, main())


@pytest.mark.parametrize("how", ["wait_closed", "serve_forever"])
def test_waiting_is_cancelled_while_a_coroutine_receives(
    loop: LoopName, how: str, log: Records
) -> None:
    """As by Ctrl-C in asyncio.run(): the coroutine hears of it by the close, and not before."""

    async def handler(ws: ServerConnection) -> None:
        await ws.send("here")
        async for _ in ws:
            pass

    async def main() -> None:
        async with serving(handler) as server:
            task = asyncio.ensure_future(getattr(server.server, how)())
            client = await server.connect()
            assert await soon(client.recv()) == "here"
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await soon(asyncio.shield(task))
            assert server.server.is_serving() == (how == "wait_closed")
        assert await closed(client) == (1001, "")

    run(loop, main())


def test_closing_from_a_coroutine(loop: LoopName, log: Records) -> None:
    """The one that waits for the end does not wait for itself."""

    async def handler(ws: ServerConnection) -> None:
        ws.server.close()
        await ws.server.wait_closed()

    async def main() -> None:
        server = await serve(handler, "127.0.0.1", 0)
        client = await Server(server).connect()
        await soon(server.serve_forever())
        assert await closed(client) == (1001, "")

    run(loop, main())


def test_unix(loop: LoopName, tmp_path: Path, log: Records) -> None:
    async def main() -> None:
        path = str(tmp_path / "socket")
        async with unix_serve(greet, path) as server:
            assert server.sockets[0].getsockname() == path
            async with unix_connect(path, compression=None) as client:
                assert await soon(client.recv()) == "hello None"
                (ws,) = server.connections
                assert (ws.local_address, ws.remote_address) == (None, None)

    run(loop, main())


def test_a_taken_address(loop: LoopName, log: Records) -> None:
    async def main() -> None:
        async with serving(greet) as server:
            with pytest.raises(OSError, match="in use"):
                await serve(greet, "127.0.0.1", server.server.server.port)

    run(loop, main())


# ---- options ----


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"ssl": object()}, TypeError, "ssl: not here, TLS is the reverse proxy's"),
        ({"extensions": []}, TypeError, "extensions: not here"),
        ({"process_response": print}, TypeError, "process_response: not here"),
        ({"on_message": print}, TypeError, "on_message: callbacks are for wspy.Server"),
        (
            {"max_sise": 5},
            TypeError,
            r"serve\(\) has no option 'max_sise'; did you mean 'max_size'",
        ),
        ({"max_size": 0}, ValueError, "^max_size must be"),
        ({"max_message_size": 5}, TypeError, "max_message_size: the name is max_size here"),
        ({"handshake_timeout": 5}, TypeError, "the name is open_timeout here"),
        ({"high_water": 5}, TypeError, "the name is write_limit here"),
        ({"write_limit": (2, 1)}, TypeError, "^write_limit must be an int"),
        ({"process_request": 5}, TypeError, "process_request must be a function to call, not int"),
        (
            {"process_request": lambda ws: None},
            TypeError,
            r"process_request is called with \(ws, request\), which .* does not take",
        ),
        ({"max_queue": 0}, ValueError, "max_queue must be"),
        ({"max_queue": "5"}, ValueError, "max_queue must be"),
        ({"max_queue": (5, -1)}, ValueError, "max_queue must be"),
        ({"max_queue": (5,)}, ValueError, "max_queue must be"),
        ({"compression": "gzip"}, ValueError, "compression must be 'deflate' or None"),
        ({"origins": ["nonsense"]}, ValueError, "origins"),
        ({"open_timeout": -1}, ValueError, "^open_timeout must be"),
        ({"strategy": "poll"}, ValueError, "only epoll"),
    ],
)
def test_wrong_options(
    loop: LoopName, options: dict[str, Any], error: type[Exception], words: str, log: Records
) -> None:
    async def main() -> None:
        with pytest.raises(error, match=words):
            await serve(greet, "127.0.0.1", 0, **options)

    run(loop, main())


def test_no_handler() -> None:
    with pytest.raises(TypeError, match="handler must be a coroutine function, not NoneType"):
        serve(None)  # type: ignore[arg-type]


async def old_handler(ws: ServerConnection, path: str) -> None: ...


async def yields_late(ws: ServerConnection) -> AsyncIterator[None]:
    yield


def yields(ws: ServerConnection) -> Iterator[None]:
    yield


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (old_handler, r"handler is called with \(ws\), which .*\(ws: .*, path: .* does not take"),
        (yields_late, "handler: a generator's body would never run"),
        (yields, "handler: a generator's body would never run"),
    ],
)
def test_wrong_handlers(handler: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        serve(handler)


def test_none_for_what_is_not_here(loop: LoopName, log: Records) -> None:
    async def main() -> None:
        async with serving(greet, ssl=None, extensions=None, server_header=None) as server:
            assert await soon((await server.connect()).recv()) == "hello None"

    run(loop, main())


@pytest.mark.parametrize(
    ("origins", "origin", "is_let_in"),
    [
        (None, "https://example.com", True),
        (["https://example.com", None], "https://example.com", True),
        (["https://example.com", None], None, True),
        (["https://example.com"], "https://example.org", False),
        ("same-origin", "https://example.com", False),
    ],
)
def test_origins(loop: LoopName, origins: Any, origin: Any, is_let_in: bool, log: Records) -> None:
    async def main() -> None:
        async with serving(greet, origins=origins) as server:
            if is_let_in:
                async with server.connect(origin=origin) as client:
                    assert await soon(client.recv()) == "hello None"
            else:
                with pytest.raises(websockets.InvalidStatus, match="403"):
                    await server.connect(origin=origin)

    run(loop, main())


def test_options_reach_the_server(loop: LoopName, log: Records) -> None:
    async def main() -> None:
        options = {"max_size": 10, "max_connections": 1}
        async with serving(greet, **options) as server, server.connect() as client:
            assert (await ask(server, "GET", "/")).startswith(b"HTTP/1.1 503 ")
            await client.send("x" * 11)
            await soon(client.wait_closed())
            assert client.close_code == 1009

    run(loop, main())


@pytest.mark.parametrize("compression", ["deflate", wspy.Compression(level=1), None])
def test_compression(loop: LoopName, compression: Any, log: Records) -> None:
    async def main() -> None:
        async with (
            serving(greet, compression=compression) as server,
            server.connect(compression="deflate") as client,
        ):
            assert await soon(client.recv()) == "hello None"
            (ws,) = server.server.connections
            assert (ws._conn.compression is not None) == (compression is not None)
            assert len(client.protocol.extensions) == (compression is not None)

    run(loop, main())


# ---- process_request ----


async def ask(server: Server, method: str, path: str) -> bytes:
    """A request of a client that wants no WebSocket: all of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.server.server.port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    answer = await soon(reader.read())
    writer.close()
    await writer.wait_closed()
    return answer


def health(ws: ServerConnection, request: Request) -> Response | None:
    assert ws.state == State.CONNECTING
    if request.path == "/healthz":
        return ws.respond(http.HTTPStatus.OK, "OK\n")
    if request.path == "/hidden":
        return Response(404, "Gone", wspy.Headers([("A", "1"), ("a", "2"), ("Connection", "x")]))
    return None


async def late_health(ws: ServerConnection, request: Request) -> Response | None:
    await asyncio.sleep(0.001)
    return health(ws, request)


@pytest.mark.parametrize("process_request", [health, late_health])
def test_process_request(loop: LoopName, process_request: Any, log: Records) -> None:
    async def main() -> None:
        async with serving(greet, process_request=process_request) as server:
            head = (
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n"
                b"Content-Type: text/plain; charset=utf-8\r\n\r\n"
            )
            assert await ask(server, "GET", "/healthz") == head + b"OK\n"
            assert await ask(server, "HEAD", "/healthz") == head
            assert (await ask(server, "GET", "/other")).startswith(b"HTTP/1.1 426 ")
            assert await ask(server, "GET", "/hidden") == (
                b"HTTP/1.1 404 Gone\r\nConnection: close\r\nContent-Length: 0\r\n"
                b"A: 1\r\nA: 2\r\n\r\n"
            )
            with pytest.raises(websockets.InvalidStatus, match="404"):
                await server.connect("/hidden")
            for _ in range(3):
                async with server.connect("/chat") as client:
                    assert await soon(client.recv()) == "hello None"
            assert server.server.server.stats()["refused"] == 3
            assert server.server.server.stats()["opened"] == 3

    run(loop, main())


def fail(_ws: ServerConnection, _request: Request) -> None:
    raise LookupError("broken")


async def fail_late(_ws: ServerConnection, _request: Request) -> None:
    await asyncio.sleep(0)
    raise LookupError("broken")


def answer_nonsense(_ws: ServerConnection, _request: Request) -> Any:
    return 404


def answer_two_lines(_ws: ServerConnection, _request: Request) -> Response:
    return Response(200, "", {"A": "1\r\nB: 2"})


async def use_it(ws: ServerConnection, _request: Request) -> None:
    """It is not open yet."""
    await ws.send("early")


async def close_it(ws: ServerConnection, _request: Request) -> None:
    await ws.close()


@pytest.mark.parametrize(
    "process_request", [fail, fail_late, answer_nonsense, answer_two_lines, use_it, close_it]
)
def test_process_request_fails(loop: LoopName, process_request: Any, log: Records) -> None:
    async def main() -> None:
        async with serving(greet, process_request=process_request) as server:
            with pytest.raises(websockets.InvalidStatus, match="500"):
                await server.connect()
        [record] = log.take_errors()
        assert record.getMessage().startswith("process_request failed for <wspy.aio.Server")
        assert record.exc_info is not None

    run(loop, main())


def test_process_request_takes_too_long(loop: LoopName, log: Records) -> None:
    async def never(_ws: ServerConnection, _request: Request) -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        async with serving(greet, process_request=never, open_timeout=0.05) as server:
            with pytest.raises(websockets.InvalidStatus, match="408"):
                await server.connect()

    run(loop, main())


@pytest.mark.parametrize("is_reset", [False, True])
def test_the_peer_leaves_before_the_answer(loop: LoopName, is_reset: bool, log: Records) -> None:
    """Nothing of it is left, and the next one is served. A mere end of its stream is seen once
    the connection is open: bytes may stand before it."""

    async def main() -> None:
        asked, go = asyncio.Event(), asyncio.Event()

        async def wait(_ws: ServerConnection, _request: Request) -> None:
            asked.set()
            await go.wait()

        async with serving(greet, process_request=wait) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.server.server.port)
            writer.write(upgrade_request("localhost"))
            await soon(asked.wait())
            if is_reset:
                linger = struct.pack("ii", 1, 0)
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
            await asyncio.sleep(0.02)  # before or after the server sees it: both have to do
            go.set()
            async with server.connect() as client:
                assert await soon(client.recv()) == "hello None"
            assert reader.at_eof()

    run(loop, main())


def test_the_server_stops_before_the_answer(loop: LoopName, log: Records) -> None:
    async def main() -> None:
        asked = asyncio.Event()

        async def wait(_ws: ServerConnection, _request: Request) -> None:
            asked.set()
            await asyncio.get_running_loop().create_future()

        async with serving(greet, process_request=wait, shutdown_timeout=0.05) as server:
            first = asyncio.ensure_future(soon(server.connect().__aenter__()))
            await soon(asked.wait())
        with pytest.raises(Exception, match=r"did not receive a valid HTTP response|EOF|closed"):
            await first

    run(loop, main())


# ---- basic_auth ----


async def check_late(name: str, password: str) -> bool:
    await asyncio.sleep(0)
    return (name, password) == ("ann", "sécret")


AUTHS: dict[str, Callable[[], Any]] = {
    "a pair": lambda: basic_auth("realm", ("ann", "sécret")),
    "several": lambda: basic_auth(credentials=[("bob", "x"), ("ann", "sécret")]),
    "a function": lambda: basic_auth(check_credentials=lambda *pair: pair == ("ann", "sécret")),
    "a coroutine": lambda: basic_auth(check_credentials=check_late),
}


@pytest.mark.parametrize("kind", AUTHS)
def test_basic_auth(loop: LoopName, kind: str, log: Records) -> None:
    def header(value: str) -> dict[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(value.encode()).decode()}

    async def main() -> None:
        async with serving(greet, process_request=AUTHS[kind]()) as server:
            good = header("ann:sécret")
            async with server.connect(additional_headers=good) as client:
                assert await soon(client.recv()) == "hello ann"
            wrong = [header("ann:secret"), header("ann"), header("bob:sécret"), header(":"), {}]
            wrong += [{"Authorization": value} for value in ("Basic !", "Basic /w==", "Bearer x")]
            for headers in wrong:
                with pytest.raises(websockets.InvalidStatus) as caught:
                    await server.connect(additional_headers=headers)
                response = caught.value.response
                assert response.status_code == 401
                realm = "realm" if kind == "a pair" else ""
                challenge = f'Basic realm="{realm}", charset="UTF-8"'
                assert response.headers["WWW-Authenticate"] == challenge

    run(loop, main())


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, TypeError),
        ({"credentials": ("a", "b"), "check_credentials": check_late}, TypeError),
        ({"credentials": 5}, TypeError),
        ({"credentials": ["ab"]}, TypeError),
        ({"credentials": []}, TypeError),
        ({"credentials": ("a", "b"), "realm": "a\nb"}, ValueError),
        ({"credentials": ("a", "b"), "realm": 5}, TypeError),
        ({"check_credentials": "ab"}, TypeError),
        ({"check_credentials": lambda name: True}, TypeError),
    ],
)
def test_wrong_auth(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        basic_auth(**arguments)


def test_wrong_response() -> None:
    with pytest.raises(ValueError, match="from 200 to 599"):
        Response(101)
    with pytest.raises(ValueError, match="reason_phrase"):
        Response(200, "a\nb").head()
