"""A WebSocket client of raw bytes, and what else several test modules need.

The client is strict: whatever a server may not send is an AssertionError. Everything blocks with
a time-out, after which the test fails.
"""

from __future__ import annotations

import base64
import hashlib
import os
import queue
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from typing_extensions import Self

import wspy
from wspy.options import Strategy

TIMEOUT = 10
STRATEGIES: tuple[Strategy, ...] = ("select", "poll", "epoll")
ROOT = Path(__file__).resolve().parent.parent
MIB = 1024 * 1024
# How many times the usual number of random cases are tried.
EFFORT = int(os.environ.get("WSPY_TEST_EFFORT", "1"))

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
KEY = base64.b64encode(bytes(range(16))).decode()
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

T = TypeVar("T")


# -- what this process has --


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def resident_kib() -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


# -- bytes of the protocol --


def mask_bytes(payload: bytes, key: bytes) -> bytes:
    size = len(payload)
    pad = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")


def frame(
    opcode: int,
    payload: bytes | str = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = b"\x11\x22\x33\x44",
    announce: int | None = None,
) -> bytes:
    """The bytes of a client's frame. ``announce``: a length in the header that is not the true one."""
    data = payload.encode() if isinstance(payload, str) else bytes(payload)
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if mask else 0
    size = len(data) if announce is None else announce
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    return head + mask + mask_bytes(data, mask) if mask else head + data


def text(payload: str) -> bytes:
    return frame(TEXT, payload)


def binary(payload: bytes) -> bytes:
    return frame(BINARY, payload)


def close_payload(code: int | None, reason: str = "") -> bytes:
    return b"" if code is None else struct.pack("!H", code) + reason.encode()


def close_frame(code: int | None = 1000, reason: str = "") -> bytes:
    return frame(CLOSE, close_payload(code, reason))


def accept_of(key: str) -> str:
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def upgrade_request(
    host: str, path: str = "/", headers: Sequence[tuple[str, str]] = (), key: str = KEY
) -> bytes:
    fields = [
        ("Host", host),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", key),
        ("Sec-WebSocket-Version", "13"),
        *headers,
    ]
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Frame(NamedTuple):
    opcode: int
    payload: bytes
    fin: bool = True


class Response(NamedTuple):
    """An answer of HTTP, read to the end of the stream."""

    status: int
    phrase: str
    headers: wspy.Headers
    body: bytes


# -- the client --


def open_socket(target: wspy.Server | str, *, receive_buffer: int | None = None) -> socket.socket:
    """A connected socket to a server, or to an address such as ws://127.0.0.1:8000/."""
    url = target.url if isinstance(target, wspy.Server) else target
    address = urlsplit(url)
    if address.scheme == "ws+unix":
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        place: Any = address.path
    else:
        host, port = address.hostname, address.port
        assert host is not None
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(found[0], socket.SOCK_STREAM)
        place = found[4]
    try:
        sock.settimeout(TIMEOUT)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.connect(place)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock


class Client:
    """A connection to a server. With ``handshake=False`` nothing is sent yet."""

    def __init__(
        self,
        target: wspy.Server | str,
        path: str = "/",
        headers: Sequence[tuple[str, str]] = (),
        *,
        handshake: bool = True,
        receive_buffer: int | None = None,
        host: str | None = None,
    ) -> None:
        url = target.url if isinstance(target, wspy.Server) else target
        self.host = host or urlsplit(url).netloc or "localhost"
        self.buffer = bytearray()
        self.socket = open_socket(url, receive_buffer=receive_buffer)
        if handshake:
            try:
                self.send_raw(self.request(path, headers))
                self.check_upgrade()
            except BaseException:
                self.socket.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.socket.close()

    def request(self, path: str = "/", headers: Sequence[tuple[str, str]] = ()) -> bytes:
        return upgrade_request(self.host, path, headers)

    # bytes

    def send_raw(self, *pieces: bytes) -> None:
        self.socket.sendall(b"".join(pieces))

    def read(self, n: int) -> bytes:
        while len(self.buffer) < n:
            piece = self.socket.recv(max(65536, n - len(self.buffer)))
            assert piece, f"the stream ended; {len(self.buffer)} of {n} bytes: {self.buffer[:80]!r}"
            self.buffer += piece
        data = bytes(self.buffer[:n])
        del self.buffer[:n]
        return data

    def read_until(self, end: bytes) -> bytes:
        while (at := self.buffer.find(end)) < 0:
            piece = self.socket.recv(65536)
            assert piece, f"the stream ended before {end!r}: {bytes(self.buffer)!r}"
            self.buffer += piece
        return self.read(at + len(end))

    def read_all(self) -> bytes:
        """All up to the end of the stream."""
        while piece := self.socket.recv(65536):
            self.buffer += piece
        return self.read(len(self.buffer))

    def has_nothing(self) -> bool:
        """Whether nothing has come that was not read."""
        self.socket.setblocking(False)
        try:
            self.buffer += self.socket.recv(65536)
        except BlockingIOError:
            return not self.buffer
        finally:
            self.socket.settimeout(TIMEOUT)
        return False

    def expect_end(self) -> None:
        rest = self.read_all()
        assert rest == b"", rest[:80]

    def shutdown(self) -> None:
        """Sends our FIN."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Ends the connection with a TCP reset."""
        linger = struct.pack("ii", 1, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.socket.close()

    # HTTP

    def read_head(self) -> tuple[int, str, wspy.Headers]:
        head = self.read_until(b"\r\n\r\n").decode("ascii")
        status_line, *lines = head[:-4].split("\r\n")
        version, status, phrase = status_line.split(" ", 2)
        assert version == "HTTP/1.1", status_line
        pairs = []
        for line in lines:
            name, colon, value = line.partition(": ")
            assert colon, line
            pairs.append((name, value))
        return int(status), phrase, wspy.Headers(pairs)

    def check_upgrade(self, key: str = KEY) -> None:
        status, _, headers = self.read_head()
        if status != 101:
            raise AssertionError(f"{status}: {self.read_all()!r}")
        assert headers["Upgrade"].lower() == "websocket"
        assert headers["Connection"].lower() == "upgrade"
        assert headers["Sec-WebSocket-Accept"] == accept_of(key)
        assert len(headers) == 3, headers

    def response(self, *, head_only: bool = False) -> Response:
        """An answer behind which the server closes."""
        status, phrase, headers = self.read_head()
        body = self.read_all()
        if head_only:
            assert body == b""
        else:
            assert int(headers["Content-Length"]) == len(body)
        assert "close" in headers["Connection"].lower()
        return Response(status, phrase, headers, body)

    # frames

    def send(self, message: str | bytes) -> None:
        self.send_raw(text(message) if isinstance(message, str) else binary(message))

    def read_frame(self) -> Frame:
        first, second = self.read(2)
        assert not first & 0x70, f"reserved bits: {first:#x}"
        assert not second & 0x80, "a server's frame is masked"
        size = second
        if size == 126:
            (size,) = struct.unpack("!H", self.read(2))
            assert size >= 126, "the length is not minimal"
        elif size == 127:
            (size,) = struct.unpack("!Q", self.read(8))
            assert size >= 65536, "the length is not minimal"
        opcode = first & 0x0F
        assert opcode in (TEXT, BINARY, CLOSE, PING, PONG), f"opcode {opcode}"
        assert first & 0x80, "the server fragments nothing"
        assert opcode < CLOSE or size <= 125
        return Frame(opcode, self.read(size))

    def receive(self) -> str | bytes:
        opcode, payload, _ = self.read_frame()
        if opcode == TEXT:
            return payload.decode()
        assert opcode == BINARY, f"opcode {opcode} with {payload!r}"
        return payload

    def expect_close(self) -> tuple[int | None, str]:
        """Reads the close frame; None: it was empty."""
        opcode, payload, _ = self.read_frame()
        assert opcode == CLOSE, f"opcode {opcode} with {payload[:80]!r}"
        if not payload:
            return None, ""
        return int.from_bytes(payload[:2], "big"), payload[2:].decode()

    def read_close(self) -> tuple[int | None, str]:
        """Reads up to the close frame, whatever comes before it."""
        while True:
            opcode, payload, _ = self.read_frame()
            if opcode == CLOSE:
                code = int.from_bytes(payload[:2], "big") if payload else None
                return code, payload[2:].decode()

    def answer_close(self) -> tuple[int | None, str]:
        """The server closes: reads its close frame, answers it, and sees the end of the stream."""
        code, reason = self.expect_close()
        self.send_raw(close_frame(code))
        self.expect_end()
        return code, reason

    def close(self, code: int | None = 1000, reason: str = "") -> tuple[int | None, str]:
        """Closes, and gives what the server answered."""
        self.send_raw(close_frame(code, reason))
        answer = self.expect_close()
        self.expect_end()
        return answer

    def echo(self, message: str | bytes) -> None:
        """Sends a message to an echo server and checks what comes back."""
        self.send(message)
        got = self.receive()
        assert got == message, f"{got[:80]!r} for {message[:80]!r}"


Connect = Callable[..., Client]  # the fixture: arguments as for Client


# -- what handlers saw --


class Closed(NamedTuple):
    conn: wspy.Connection
    code: int
    reason: str
    kind: str | None
    sent: tuple[int, str] | None


class Recorder:
    """Handlers that put what they see into queues. ``echo``: on_message sends it back too."""

    def __init__(self, server: wspy.Server, *, echo: bool = False) -> None:
        self.opened: queue.Queue[wspy.Connection] = queue.Queue()
        self.messages: queue.Queue[str | bytes] = queue.Queue()
        self.closed: queue.Queue[Closed] = queue.Queue()
        self.drained: queue.Queue[wspy.Connection] = queue.Queue()
        self.echo = echo
        server.on_open(self.opened.put)
        server.on_message(self.on_message)
        server.on_close(self.on_close)
        server.on_drain(self.drained.put)

    def on_message(self, conn: wspy.Connection, message: str | bytes) -> None:
        self.messages.put(message)
        if self.echo:
            conn.send(message)

    def on_close(self, conn: wspy.Connection, code: int, reason: str) -> None:
        self.closed.put(Closed(conn, code, reason, conn.close_kind, conn.sent_close))


def get(items: queue.Queue[T]) -> T:
    return items.get(timeout=TIMEOUT)


def wait(event: threading.Event) -> None:
    assert event.wait(TIMEOUT), "the event did not come"


def wait_until(condition: Callable[[], bool]) -> None:
    """For what no event tells: another thread's counters."""
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        time.sleep(0.001)


def settle(server: wspy.Server) -> None:
    """What was sent to the server by now, it has read, if it reads."""
    for _ in range(3):
        told = threading.Event()
        server.call_soon(told.set)
        wait(told)


class Gate:
    """A message handler's rest until the test lets go: what clients send meanwhile is one batch."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.leave = threading.Event()

    def hold(self) -> None:
        self.entered.set()
        wait(self.leave)

    @contextmanager
    def held(self, client: Client, message: str = "gate") -> Iterator[None]:
        client.send(message)
        wait(self.entered)
        try:
            yield
        finally:
            self.leave.set()


# -- payloads --

_rng = random.Random(6455)
_BYTES = _rng.randbytes(2 * MIB)
_CHARS = "".join(_rng.choices("abcdefgh ÄÖÜßéñλЖ世界€🎉𝄞", k=MIB)).encode()


def make_binary(size: int, seed: int = 0) -> bytes:
    start = seed * 7919 % MIB
    return _BYTES[start : start + size]


def make_text(size: int, seed: int = 0) -> str:
    """Text of exactly that many bytes of UTF-8; every other one is ASCII."""
    if seed % 2:
        return (_BYTES[seed % 1000 : seed % 1000 + 4096].hex() * (size // 8192 + 1))[:size]
    start = seed * 7919 % (len(_CHARS) - MIB - 8)
    some = _CHARS[start : start + size].decode(errors="ignore")
    return some + "x" * (size - len(some.encode()))


# -- other processes --


@contextmanager
def script(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that runs ``code``; it is killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise AssertionError(f"the process ended: {process.stderr and process.stderr.read()}")
    return line.strip()


def write_line(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Waits for the end: exit status, the rest of stdout, stderr."""
    # Not communicate(): it does not see what readline() has in its buffer.
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.close()
    out, err = process.stdout.read(), process.stderr.read()
    return process.wait(TIMEOUT), out, err


def connect_when_up(url: str, **options: Any) -> Client:
    """A client of a server in another process, which may not take connections yet."""
    end = time.monotonic() + TIMEOUT
    while True:
        try:
            return Client(url, **options)
        except ConnectionRefusedError:
            assert time.monotonic() < end, "the server did not come up"
            time.sleep(0.005)
