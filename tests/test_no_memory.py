"""Each allocation fails once, in turn: that is a MemoryError, and nothing is left half done."""

from __future__ import annotations

import gc
import importlib
import os
import traceback
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
from machine import skip_unless

import wspy
from wspy import frames, handshake

hooks: ModuleType | None
try:
    hooks = importlib.import_module("_testcapi")
except ImportError:  # Debian packs it apart
    hooks = None

POINT = wspy.Struct("<iq4sd?")
VALUES = (10**6, 10**15, b"abcd", 1.5, True)
RAW = POINT.pack(*VALUES)
REQUEST = (
    b"GET /chat?x=1 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
ENOUGH = 100  # calls in a row that went well: there is no allocation left that could fail


def use_protocol() -> None:
    server = wspy.Protocol("server")
    client = wspy.Protocol("client", url="ws://localhost/chat", headers={"X-Name": "value"})
    server.receive(client.data_to_send())
    client.receive(server.data_to_send())
    client.send("x" * 300)
    client.ping(b"1")
    client.close(1000, "bye")
    server.receive(client.data_to_send())
    client.receive(server.data_to_send())
    assert (client.sent_close, server.close_code) == ((1000, "bye"), 1000)


def use_poller(strategy: str) -> None:
    with wspy.Poller(strategy) as poller:  # type: ignore[arg-type]
        poller.register(1, wspy.POLLOUT)
        poller.poll(0)
        poller.modify(1, 0)
        poller.unregister(1)


def use_sha1() -> None:
    assert wspy.sha1(b"a" * 5000).copy().digest() == wspy.sha1(b"a" * 5000).digest()


def ignore(fd: int, mask: int) -> None:
    pass


def use_register(server: wspy.Server, fd: int) -> None:
    server.register(fd, wspy.POLLIN, ignore)
    try:
        server.modify(fd, 0)
    finally:
        while True:
            try:
                server.unregister(fd)
                break
            except MemoryError:
                pass


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def alone(body: Callable[[], None]) -> None:
    """Calls it in a child process, which has no other threads: the allocation that fails may be any
    thread's, and that which brings a worker of xdist its tests would end by it."""
    skip_unless(hooks is not None, "this Python has no _testcapi")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads
        child = os.fork()
    if child == 0:
        try:
            body()
        except BaseException:  # noqa: BLE001 (its end is the status)
            os.write(2, traceback.format_exc().encode())
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def fail_each(use: Callable[[], object]) -> None:
    assert hooks is not None
    use()
    gc.collect()
    gc.disable()
    n = good = failed = 0
    try:
        while good < ENOUGH:
            hooks.set_nomemory(n, n + 1)
            try:
                use()
                good += 1
            except MemoryError:
                good = 0
                failed += 1
            finally:
                hooks.remove_mem_hooks()
            n += 1
    finally:
        gc.enable()
    assert failed > 0
    use()


@pytest.mark.parametrize(
    "use",
    [
        lambda: POINT.pack(*VALUES),
        lambda: POINT.unpack(RAW),
        lambda: list(POINT.iter_unpack(RAW * 3)),
        lambda: wspy.Struct("!3iH"),
        lambda: wspy.pack_into("<hq", bytearray(16), 2, 1, 10**15),
        lambda: frames.unpack(frames.pack(frames.TEXT, "hello", mask=b"1234")),
        lambda: frames.pack_into(bytearray(9), 1, frames.BINARY, memoryview(b"abcdef")[::2]),
        lambda: handshake.parse_request(REQUEST),
        lambda: handshake.accept_key("dGhlIHNhbXBsZSBub25jZQ=="),
        use_sha1,
        use_protocol,
        lambda: use_poller("select"),
        lambda: use_poller("poll"),
        lambda: use_poller("epoll"),
    ],
)
def test_functions(use: Callable[[], object]) -> None:
    alone(lambda: fail_each(use))


def test_register(pipe: tuple[int, int]) -> None:
    def register() -> None:
        server = wspy.Server(port=0)
        fail_each(lambda: use_register(server, pipe[0]))
        server.register(pipe[0], wspy.POLLIN, lambda fd, mask: server.stop())
        os.write(pipe[1], b"x")
        server.run()

    alone(register)
