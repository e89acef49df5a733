"""Tries an installed wspy with nothing but the standard library.

Run it from a directory other than the checkout's, so that what is installed is imported:
``python /path/to/tests/smoke.py``. Prints "N passed, N failed" and exits with 1 if any failed.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

import wspy
from wspy.options import Strategy

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE = 0x1, 0x2, 0x8
STRATEGIES: tuple[Strategy, ...] = ("select", "poll", "epoll")
TIMEOUT = 20
CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Client:
    """A WebSocket client just good enough for an echo."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        assert address.hostname is not None
        self.socket = socket.create_connection((address.hostname, address.port or 80), TIMEOUT)
        self.stream = self.socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /echo?x=1 HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        status, *lines = self.read_head()
        assert status.startswith("HTTP/1.1 101"), status
        fields = {k.strip().lower(): v.strip() for k, v in (s.split(":", 1) for s in lines)}
        digest = hashlib.sha1((key + GUID).encode()).digest()
        assert fields["sec-websocket-accept"] == base64.b64encode(digest).decode(), fields

    def read_head(self) -> list[str]:
        lines = []
        while line := self.stream.readline().decode("latin-1").rstrip("\r\n"):
            lines.append(line)
        return lines

    def send(self, opcode: int, payload: bytes) -> None:
        mask = os.urandom(4)
        size = len(payload)
        if size < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
        elif size < 65536:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
        pad = mask * (size // 4 + 1)
        masked = int.from_bytes(payload, "big") ^ int.from_bytes(pad[:size], "big")
        self.socket.sendall(head + mask + masked.to_bytes(size, "big"))

    def receive(self) -> tuple[int, bytes]:
        first, size = self.stream.read(2)
        assert first & 0x80, "a fragment"
        assert not size & 0x80, "a masked frame from a server"
        if size == 126:
            (size,) = struct.unpack("!H", self.stream.read(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self.stream.read(8))
        return first & 0x0F, self.stream.read(size)

    def echo(self, opcode: int, payload: bytes) -> None:
        self.send(opcode, payload)
        answer = self.receive()
        assert answer == (opcode, payload), f"opcode {answer[0]}, {len(answer[1])} bytes"

    def close(self, code: int, reason: bytes) -> None:
        self.send(CLOSE, struct.pack("!H", code) + reason)
        opcode, answer = self.receive()
        assert (opcode, answer[:2]) == (CLOSE, struct.pack("!H", code)), answer
        assert self.stream.read() == b""
        self.stream.close()
        self.socket.close()


def check_echo(strategy: Strategy) -> None:
    seen: list[object] = []
    closed = threading.Event()
    server = wspy.Server(port=0, strategy=strategy)

    @server.on_open
    def join(conn: wspy.Connection) -> None:
        seen.append((conn.path, conn.query, conn.headers["upgrade"], len(server)))

    @server.on_message
    def echo(conn: wspy.Connection, message: str | bytes) -> None:
        conn.send(message)

    @server.on_close
    def leave(conn: wspy.Connection, code: int, reason: str) -> None:
        seen.append((code, reason, conn.close_kind, conn.is_open))
        closed.set()

    with server.start_in_thread() as url:
        assert server.strategy == strategy
        client = Client(url)
        client.echo(TEXT, b"hello")
        client.echo(TEXT, "Grüße, 世界 🎉".encode())
        client.echo(TEXT, b"")
        client.echo(BINARY, bytes(range(256)))
        client.echo(BINARY, os.urandom(300 * 1024))
        client.echo(TEXT, b"a" * (300 * 1024))
        client.echo(TEXT, ("ä" * (150 * 1024)).encode())
        client.close(1000, b"done")
        assert closed.wait(TIMEOUT), "on_close did not come"
    assert seen == [("/echo", "x=1", "websocket", 1), (1000, "done", "peer", False)], seen


def check_shutdown(strategy: Strategy) -> None:
    server = wspy.Server(port=0, strategy=strategy)
    with server.start_in_thread() as url:
        client = Client(url)
        server.stop()
        opcode, payload = client.receive()
        assert (opcode, payload[:2]) == (CLOSE, struct.pack("!H", 1001)), payload
        client.send(CLOSE, payload[:2])
        assert client.stream.read() == b""
        client.stream.close()
        client.socket.close()


def check_page(strategy: Strategy) -> None:
    server = wspy.Server(port=0, strategy=strategy)
    server.page("/", "<h1>hello</h1>", headers={"X-Test": "yes"})
    with server.start_in_thread() as url:
        host = urlsplit(url).netloc
        for path, status, body in (("/", b"200", b"<h1>hello</h1>"), ("/no", b"404", b"")):
            with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as sock:
                sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                answer = sock.makefile("rb").read()
            assert answer.startswith(b"HTTP/1.1 " + status), answer
            assert answer.endswith(body), answer


def check_parts(strategy: Strategy) -> None:
    """Records, and the parts for those who have the socket themselves."""
    server = wspy.Server(port=0, strategy=strategy)
    tick = wspy.Struct("!IHd")
    server.on_message(lambda conn, *values: conn.pack(tick, *values), format=tick)
    with server.start_in_thread() as url:
        client = Client(url)
        client.echo(BINARY, struct.pack("!IHd", 7, 1, -0.5))
        client.close(1000, b"")
    for form in ("<bBhHiIlLqQefd3s4p?", "@cnNP"):
        raw = os.urandom(struct.calcsize(form))
        assert repr(wspy.unpack(form, raw)) == repr(struct.unpack(form, raw)), (form, raw)
    assert wspy.sha1(GUID.encode()).digest() == hashlib.sha1(GUID.encode()).digest()
    ends = wspy.Protocol("server"), wspy.Protocol("client", url="ws://localhost/")
    ends[0].receive(ends[1].data_to_send())
    ends[1].receive(ends[0].data_to_send())
    ends[1].send("hello")
    (event,) = ends[0].receive(ends[1].data_to_send())
    assert getattr(event, "data", None) == "hello", event
    here, there = socket.socketpair()
    with here, there, wspy.Poller(strategy) as poller:
        poller.register(here, wspy.POLLIN)
        assert poller.poll(0) == []
        there.send(b"x")
        assert poller.poll(TIMEOUT) == [(here.fileno(), wspy.POLLIN)]


def check_going_on(strategy: Strategy) -> None:
    """Handlers that are not done when they return: on a thread, and in asyncio where that may be."""
    server = wspy.Server(port=0, strategy=strategy)

    @server.on_message(thread=True)
    def blocking(conn: wspy.Connection, message: str | bytes) -> None:
        conn.send(threading.current_thread().name.encode())

    async def later(conn: wspy.Connection, message: str | bytes) -> None:
        task = asyncio.current_task()
        assert task is not None
        if message == "later":
            await asyncio.sleep(0)
            await asyncio.wait_for(asyncio.sleep(0), TIMEOUT)
        elif message == "cancelled":
            asyncio.get_running_loop().call_soon(task.cancel)
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(TIMEOUT)
        assert asyncio.current_task() is task
        conn.send(message)

    if strategy == "epoll":
        server.on_message(later)
    else:
        try:
            server.on_message(later)
        except ValueError:
            pass
        else:
            raise AssertionError(f"an async handler was taken with {strategy}")
    with server.start_in_thread() as url:
        client = Client(url)
        for message in (b"at once", b"later", b"cancelled"):
            client.send(TEXT, message)
            answer = client.receive()[1]
            assert answer == message if strategy == "epoll" else b"handler" in answer, answer
        client.close(1000, b"")


def main() -> int:
    passed = failed = 0
    print(f"wspy {wspy.__version__} on Python {sys.version.split()[0]}: {wspy.__file__}")
    if os.path.abspath(wspy.__file__).startswith(os.path.join(CHECKOUT, "wspy", "")):
        sys.exit("this is the checkout's wspy; run it from elsewhere to try an installed one")
    checks: tuple[Callable[[Strategy], None], ...] = (
        check_echo,
        check_shutdown,
        check_page,
        check_parts,
        check_going_on,
    )
    for strategy in STRATEGIES:
        for check in checks:
            try:
                check(strategy)
                passed += 1
            except Exception:  # noqa: BLE001 (the others are tried too)
                failed += 1
                print(f"{check.__name__} with {strategy}:", file=sys.stderr)
                traceback.print_exc()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
